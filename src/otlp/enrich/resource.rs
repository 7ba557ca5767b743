//! The bytes of a Resource with attributes set in it. A function of the old bytes and the edits, so that its result
//! can be kept for the next request with the same Resource.

use bytes::Bytes;

use crate::model::Existing;
use crate::otlp::Malformed;
use crate::otlp::wire::{Field, Fields, Value, put_bytes, put_key, put_varint, varint_length};

/// One attribute to be set. Of two edits with the same key the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    pub key: &'a str,
    pub value: &'a str,
    pub existing: Existing,
}

/// What [`new_resource`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewResource {
    /// The whole `resource` field, with key and length.
    pub field: Bytes,
    /// `false` when the message is, byte for byte, the one that was given.
    pub is_changed: bool,
}

/// Sets attributes in a Resource message (see [`crate::otlp::wire::Block::resource`]). Everything else stays as it
/// is, in its order: other attributes, counts, entity references and fields that nobody knows.
pub fn new_resource(old: &[u8], edits: &[Edit<'_>]) -> Result<NewResource, Malformed> {
    let mut kept = Vec::with_capacity(old.len() + edits.iter().map(length_of).sum::<usize>());
    let mut present = vec![false; edits.len()];
    for field in Fields::new(old) {
        let field = field?;
        if !is_replaced(&field, edits, &mut present)? {
            kept.extend_from_slice(&old[field.start..field.end]);
        }
    }
    for (at, edit) in edits.iter().enumerate() {
        let is_first = !edits[..at].iter().any(|earlier| earlier.key == edit.key);
        let is_wanted = edit.existing == Existing::Replace || !present[at];
        if is_first && is_wanted {
            put_attribute(&mut kept, edit);
        }
    }
    let mut whole = Vec::with_capacity(1 + varint_length(kept.len() as u64) + kept.len());
    put_bytes(&mut whole, 1, &kept);
    Ok(NewResource { field: whole.into(), is_changed: kept != old })
}

/// Whether the field is an attribute that makes way for an edit.
fn is_replaced(field: &Field<'_>, edits: &[Edit<'_>], present: &mut [bool]) -> Result<bool, Malformed> {
    let (1, Value::Bytes(attribute)) = (field.number, field.value) else { return Ok(false) };
    let key = key_of(attribute)?;
    let Some(at) = edits.iter().position(|edit| edit.key.as_bytes() == key) else { return Ok(false) };
    present[at] = true;
    Ok(edits[at].existing == Existing::Replace)
}

/// The last of several keys counts, and one that is missing is empty.
fn key_of(attribute: &[u8]) -> Result<&[u8], Malformed> {
    let mut key: &[u8] = &[];
    for field in Fields::new(attribute) {
        if let Field { number: 1, value: Value::Bytes(text), .. } = field? {
            key = text;
        }
    }
    Ok(key)
}

fn put_attribute(out: &mut Vec<u8>, edit: &Edit<'_>) {
    let value_length = field_length(edit.value.len());
    let length = field_length(edit.key.len()) + field_length(value_length);
    put_key(out, 1, 2);
    put_varint(out, length as u64);
    put_bytes(out, 1, edit.key.as_bytes());
    put_key(out, 2, 2);
    put_varint(out, value_length as u64);
    put_bytes(out, 1, edit.value.as_bytes());
}

/// How many bytes [`put_attribute`] writes.
fn length_of(edit: &Edit<'_>) -> usize {
    field_length(field_length(edit.key.len()) + field_length(field_length(edit.value.len())))
}

/// A field with a number of one byte and a payload of `length` bytes.
const fn field_length(length: usize) -> usize {
    1 + varint_length(length as u64) + length
}

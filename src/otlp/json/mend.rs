//! Ids in protobuf that hold the letters of their hex instead of their bytes (a slip of several exporters, which
//! receivers answer by refusing whole batches). Changes such ids and the lengths around them; every other field stays as it is.

use super::id;
use super::out::{Open, Out};
use super::table::{self, Field, Kind, Message, Part};
use super::{Read, Repair, Repairs};
use crate::model::Signal;
use crate::otlp::Malformed;
use crate::otlp::wire::{Fields, Value};

/// Rewrites a protobuf request whose ids are 32 or 16 ASCII hex digits where 16 or 8 bytes belong; nothing when there
/// are none. Walks the whole request, so call it only when a scan has found ids of the wrong length. Profiles are left
/// alone.
pub fn mend_hex_ids(signal: Signal, request: &[u8]) -> Result<Option<Read>, Malformed> {
    let Some(message) = table::request(signal) else { return Ok(None) };
    let mut mending = Mending { out: Out::with_capacity(request.len()), repairs: Repairs::default() };
    mending.message(message, request)?;
    let Mending { out, repairs } = mending;
    Ok((!repairs.is_empty()).then_some(Read { protobuf: out.bytes, repairs }))
}

struct Mending {
    out: Out,
    repairs: Repairs,
}

impl Mending {
    /// Recursion ends: values of attributes, which alone hold themselves, hold no ids and are not entered.
    fn message(&mut self, message: &'static Message, bytes: &[u8]) -> Result<(), Malformed> {
        for field in Fields::new(bytes) {
            let field = field?;
            let known = message.fields.iter().find(|known| known.number == field.number);
            match (known, field.value) {
                (Some(Field { kind: Kind::Message(inner), .. }), Value::Bytes(content)) if may_hold_ids(inner) => {
                    let open: Open = self.out.open(field.number, inner.length_bytes);
                    self.message(inner, content)?;
                    self.out.close(open);
                }
                (Some(Field { kind: Kind::TraceId, .. }), Value::Bytes(id)) if id.len() == 32 => {
                    self.id::<16>(field.number, id);
                }
                (Some(Field { kind: Kind::SpanId, .. }), Value::Bytes(id)) if id.len() == 16 => {
                    self.id::<8>(field.number, id);
                }
                (Some(_) | None, _) => self.out.bytes.extend_from_slice(&bytes[field.start..field.end]),
            }
        }
        Ok(())
    }

    fn id<const N: usize>(&mut self, number: u32, given: &[u8]) {
        let open = self.out.open(number, 1);
        match id::from_hex::<N>(given) {
            Some(id) => {
                self.repairs.add(Repair::HexTextId);
                self.out.bytes.extend_from_slice(&id);
            }
            None => self.out.bytes.extend_from_slice(given),
        }
        self.out.close(open);
    }
}

fn may_hold_ids(message: &'static Message) -> bool {
    match message.part {
        Part::Envelope | Part::Item => true,
        Part::Piece => message.fields.iter().any(|field| match field.kind {
            Kind::TraceId | Kind::SpanId => true,
            // Data and its points: exemplars have ids.
            Kind::Message(_) => matches!(field.json, "dataPoints" | "exemplars"),
            Kind::Text
            | Kind::Bytes
            | Kind::Bool
            | Kind::Int32
            | Kind::Sint32
            | Kind::Uint32
            | Kind::Fixed32
            | Kind::Int64
            | Kind::Sfixed64
            | Kind::Uint64
            | Kind::Fixed64
            | Kind::Double
            | Kind::Enum(_) => false,
        }),
    }
}

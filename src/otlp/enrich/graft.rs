//! A compressed request whose Resource is replaced without compressing anything again. Never touches the sender's deflate
//! stream, and never makes more than one gzip member or more than one Resource.
//!
//! A block that is stored, not compressed, goes before the sender's stream. It holds the new head, the whole new Resource,
//! and the key and length of a field that nobody knows; the old head and the old Resource, which the stream inflates to
//! first, become the payload of that field. All of the old request stays in one piece, so every distance that the stream
//! goes back still ends at the byte that was meant.

use bytes::Bytes;
use crc32fast::Hasher;

use crate::otlp::wire::{Block, ResourcePlace, put_key, put_varint, varint_length};

use super::NewResource;
use super::seam::spare_bit_count;

/// The field of a `ResourceSpans`, `ResourceLogs` or `ResourceMetrics` that holds what was before: far from the numbers
/// that OTLP uses or has used (1, 2, 3 and 1000), and from those that protobuf keeps for itself.
pub const HELD_FIELD: u32 = 536_870_000;

/// What a stored block of deflate holds at most.
const STORED_BYTES_MAX: usize = 0xffff;
/// The head of a member without a name, a comment or a time.
pub const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The only gzip member that a request came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// From its first block to its last.
    pub deflate: Bytes,
    /// Of what it inflates to.
    pub crc: u32,
}

/// A request as one gzip member: slices to be written one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grafted(pub [Bytes; 3]);

/// The request with a new Resource. `None`: it is not of the one shape for which this can be done, which is one block and
/// nothing beside it, and its only Resource first in it.
///
/// `body_length` is that of the request as it came, inflated; the scan has accepted it.
pub fn graft(member: &Member, body_length: usize, block: &Block, resource: &NewResource) -> Option<Grafted> {
    let ResourcePlace::One { field, .. } = &block.resource else { return None };
    if block.field != (0..body_length) || field.start != block.payload.start {
        return None;
    }
    let front = if resource.is_changed { front(body_length, field.end, resource) } else { Vec::new() };
    let mut head = Vec::with_capacity(GZIP_HEAD.len() + 5 + front.len());
    head.extend_from_slice(&GZIP_HEAD);
    if !front.is_empty() {
        let length = u16::try_from(front.len()).ok().filter(|length| usize::from(*length) <= STORED_BYTES_MAX)?;
        // Not the last block, and stored: three bits that are zero, and then the next whole byte.
        head.push(0);
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&(!length).to_le_bytes());
        head.extend_from_slice(&front);
    }
    let mut crc = Hasher::new();
    crc.update(&front);
    crc.combine(&Hasher::new_with_initial_len(member.crc, body_length as u64));
    let trailer = trailer(crc, front.len() as u64 + body_length as u64);
    Some(Grafted([head.into(), member.deflate.clone(), trailer.into()]))
}

fn trailer(crc: Hasher, length: u64) -> Vec<u8> {
    let mut trailer = Vec::with_capacity(8);
    trailer.extend_from_slice(&crc.finalize().to_le_bytes());
    // That of the last 4 GiB.
    trailer.extend_from_slice(&length.to_le_bytes()[..4]);
    trailer
}

/// The checksum and the length.
fn read_trailer(trailer: &[u8]) -> Option<(u32, u64)> {
    let (crc, length) = trailer.split_first_chunk()?;
    Some((u32::from_le_bytes(*crc), u64::from(u32::from_le_bytes(length.try_into().ok()?))))
}

/// Several grafted requests as one: their blocks one after another in one member. `None`: two of the streams do not say
/// where they end; one that does not is the last.
pub fn join(requests: &[&Grafted]) -> Option<Vec<Bytes>> {
    let (followed, last) = in_order(requests)?;
    let mut slices = Vec::with_capacity(2 * requests.len() + 1);
    let mut head = GZIP_HEAD.to_vec();
    let mut before = None;
    for (Grafted([own_head, deflate, _]), spare) in &followed {
        put_start(&mut head, &own_head[GZIP_HEAD.len()..], before);
        // No longer the last block.
        head.push(deflate.first()? & !1);
        slices.extend([std::mem::take(&mut head).into(), deflate.slice(1..)]);
        before = Some(*spare);
    }
    let Grafted([own_head, deflate, _]) = last;
    put_start(&mut head, &own_head[GZIP_HEAD.len()..], before);
    slices.extend([head.into(), deflate.clone()]);
    let mut crc = Hasher::new();
    let mut length = 0;
    for Grafted([_, _, own]) in followed.iter().map(|(request, _)| *request).chain([last]) {
        let (own_crc, own_length) = read_trailer(own)?;
        crc.combine(&Hasher::new_with_initial_len(own_crc, own_length));
        length += own_length;
    }
    slices.push(trailer(crc, length).into());
    Some(slices)
}

/// Those that another can follow, each with the bits that its stream has left, and the last one.
fn in_order<'a>(requests: &[&'a Grafted]) -> Option<(Vec<(&'a Grafted, u32)>, &'a Grafted)> {
    let spare = |Grafted([_, deflate, _]): &Grafted| spare_bit_count(deflate);
    let (mut last, others) = requests.split_last()?;
    let mut followed = Vec::with_capacity(others.len());
    let mut has_blunt = false;
    for request in others {
        match spare(request) {
            Some(spare) => followed.push((*request, spare)),
            None if has_blunt => return None,
            None => {
                followed.push((*last, spare(last)?));
                (last, has_blunt) = (request, true);
            }
        }
    }
    Some((followed, last))
}

/// A stored block, or what leads to the next whole byte. `spare`: how many bits the stream before it has left.
fn put_start(head: &mut Vec<u8>, stored: &[u8], spare: Option<u32>) {
    const EMPTY: &[u8] = &[0, 0, 0, 0xff, 0xff];
    let stored = if stored.is_empty() && spare.is_some() { EMPTY } else { stored };
    // The three bits at its start are zeroes, and so are those that are left.
    let is_begun = spare.is_some_and(|spare| spare >= 3);
    head.extend_from_slice(&stored[usize::from(is_begun)..]);
}

/// What stands before the old request: the rest of the block is all of it.
fn front(body_length: usize, held_length: usize, resource: &NewResource) -> Vec<u8> {
    let mut held_head = Vec::with_capacity(10);
    put_key(&mut held_head, HELD_FIELD, 2);
    put_varint(&mut held_head, held_length as u64);
    let length = (resource.field.len() + held_head.len() + body_length) as u64;
    let mut front = Vec::with_capacity(1 + varint_length(length) + resource.field.len() + held_head.len());
    put_key(&mut front, 1, 2);
    put_varint(&mut front, length);
    front.extend_from_slice(&resource.field);
    front.extend_from_slice(&held_head);
    front
}

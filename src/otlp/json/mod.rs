//! OTLP/JSON (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding") rewritten as protobuf in one walk
//! over the text. Never builds a tree, and never turns what it could not understand into an empty request.

mod cursor;
mod fault;
mod id;
mod mend;
mod number;
mod out;
mod repairs;
mod table;
mod value;
mod walk;

pub use fault::JsonFault;
pub use mend::mend_hex_ids;
pub use repairs::{Repair, Repairs};

use cursor::{Cursor, Outcome, Slips};
use fault::Fault;
use out::Out;
use walk::{Unknown, Walk};

use serde::{Deserialize, Serialize};

use crate::model::Signal;

/// How much is forgiven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// OTLP/JSON as it is written down.
    Strict,
    /// Also what senders are known to get wrong, as long as there is no doubt about what was meant. Each repair is
    /// counted.
    #[default]
    Lenient,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The same request in protobuf.
    pub protobuf: Vec<u8>,
    /// In strict mode nothing is mended.
    pub repairs: Repairs,
}

/// Why there is no protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRead {
    Fault(JsonFault),
    /// It would be larger than was allowed.
    Outgrown,
}

/// Rewrites one export request. Takes time in the length of the body and, besides the body, the memory of the result
/// alone: usually less than half of the body, and never more than [`BYTES_TIMES_MAX`] as much. The first fault refuses it
/// whole. `{}` is an empty request; one that is empty because none of its keys is known is a fault.
pub fn to_protobuf(signal: Signal, body: &[u8], mode: Mode) -> Result<Read, JsonFault> {
    read(signal, body, mode, Out::with_capacity(first_capacity(body)), usize::MAX).map_err(|fault| fault.told(body))
}

/// The same within so many bytes of memory for the result, at least as many as the body has. Only lists of numbers can
/// be larger in protobuf than as text.
pub fn to_protobuf_within(signal: Signal, body: &[u8], mode: Mode, bytes_max: usize) -> Result<Read, NotRead> {
    // Doubled once it holds any body whose numbers do not outgrow it; beyond that there is one place for all.
    let capacity = if bytes_max > body.len() { bytes_max } else { first_capacity(body) };
    read(signal, body, mode, Out::with_capacity(capacity), bytes_max)
        .map_err(|fault| if fault.is_outgrown { NotRead::Outgrown } else { NotRead::Fault(fault.told(body)) })
}

/// A number of two bytes, with its comma, takes eight.
pub const BYTES_TIMES_MAX: usize = 4;

/// Keys, quotes and hex are half of a request or more. A large buffer that had to grow would be there twice for a moment,
/// and costs nothing where it is never written.
fn first_capacity(body: &[u8]) -> usize {
    const LARGE_BYTES: usize = 1 << 20;
    if body.len() >= LARGE_BYTES { body.len() } else { body.len().div_ceil(2) }
}

fn read(signal: Signal, body: &[u8], mode: Mode, out: Out, bytes_max: usize) -> Outcome<Read> {
    let Some(request) = table::request(signal) else {
        return Err(Fault::at(0, "profiles are taken in protobuf only"));
    };
    if simdutf8::basic::from_utf8(body).is_err() {
        let valid = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
        return Err(Fault::at(valid, "the body is not UTF-8"));
    }
    let cursor = Cursor::new(body, if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 });
    let mut walk = Walk::new(cursor.clone(), mode, Unknown::PassedOver, out);
    walk.bytes_max = bytes_max;
    walk.request(request)?;
    if walk.item_count == 0 && walk.has_unknown {
        // Rare, and refused: a second walk finds the place.
        Walk::new(cursor, mode, Unknown::Told, Out::default()).request(request)?;
    }
    let mut repairs = walk.repairs;
    if let Slips::Taken { half_count } = walk.slips {
        repairs.add_several(Repair::HalfPair, half_count);
    }
    Ok(Read { protobuf: walk.out.bytes, repairs })
}

/// Some editors and frameworks begin with it; RFC 8259 lets a reader pass over it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[cfg(test)]
mod tests;

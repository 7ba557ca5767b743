//! Protobuf's wire format, read where it lies: the fields of a message, and the scan of a whole request. Gives slices
//! of the input and never a copy; what is not well formed is an error, never an absent field.

mod attributes;
mod check;
mod field;
mod log;
mod metric;
mod read;
mod scan;
mod schema;
mod span;
mod text;

pub use field::{Field, Fields, Value, put_bytes, put_key, put_varint, varint_length};
pub use scan::{BLOCK_COUNT_MAX, Block, ResourcePlace, Scan, SeenSpan, Watch, scan};

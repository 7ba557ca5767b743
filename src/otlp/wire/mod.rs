//! Protobuf's wire format, read where it lies. Gives slices of the input and never a copy; what is not well formed
//! is an error, never an absent field.

mod field;

pub use field::{Field, Fields, Value, put_bytes, put_key, put_varint, varint_length};

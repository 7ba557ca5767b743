//! OTLP on its own bytes: scanned, spliced, read from JSON, answered. Never builds a span, and never changes a
//! byte that it was not asked to change.

pub mod alerts;
pub mod answer;
pub mod enrich;
pub mod exceptions;
pub mod function;
pub mod json;
pub mod resource;
pub mod wire;

#[cfg(test)]
mod tests;

/// Why bytes are not the message they claim to be. The whole request is refused: no part of it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a field reaches beyond its message")]
    Truncated,
    #[error("a varint is longer than ten bytes")]
    Varint,
    #[error("a field number is zero or too large")]
    FieldNumber,
    #[error("a field has wire type 6 or 7")]
    WireType,
    #[error("a group is not closed, or closed without being open")]
    Group,
    #[error("a known field has the wrong wire type")]
    WrongType,
    #[error("a text is not UTF-8")]
    Utf8,
    #[error("messages are nested too deeply")]
    TooDeep,
    #[error("more than 65536 resources in one request")]
    TooManyResources,
}

//! The known hard cases of reading and splicing OTLP, each by its bytes.

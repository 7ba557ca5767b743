//! OTLP on its own bytes: scanned, spliced, read from JSON, answered. Never builds a span, and never changes a
//! byte that it was not asked to change.

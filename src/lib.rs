//! Tawny: alerts and telemetry come in, each gets where it ran and whose it is, and they leave for the tools people read.

pub mod model;
pub mod rules;
pub mod sinks;
pub mod sources;

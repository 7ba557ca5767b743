//! Tawny: alerts and telemetry come in, each gets where it ran and whose it is, and they leave for the tools people read.

pub mod app;
pub mod cli;
pub mod incidents;
pub mod io;
pub mod model;
pub mod otlp;
pub mod rules;
pub mod settings;
pub mod sinks;
pub mod sources;
pub mod store;
pub mod stories;
pub mod telemetry;
pub mod web;

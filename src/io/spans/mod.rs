//! The road of telemetry through the world: doors, budget, promise, queues, sinks. Never decodes a span and never
//! waits in order to batch.

pub mod alerts;
pub mod book;
mod cork;
pub mod door;
pub mod errors;
pub mod faces;
mod nudge;
pub mod out;
pub mod resends;
pub mod road;
pub mod routes;
pub mod spool;
pub mod tally;
mod waking;
pub mod workers;

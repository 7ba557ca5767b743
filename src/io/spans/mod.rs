//! The road of telemetry through the world: doors, budget, promise, queues, sinks. Never decodes a span and never
//! waits in order to batch.

pub mod faces;
pub mod resends;
pub mod routes;

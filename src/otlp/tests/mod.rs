//! The span road's bytes against prost and the official messages.

mod attributes;
mod dice;
mod differential;
mod graft;
mod hard_cases;
mod mangle;
mod oracle;
mod requests;

// The oracle is shared with the fuzz target, which has these from the crate.
use crate::{model, otlp};

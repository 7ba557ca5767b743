//! What a sender of OTLP is answered, and what an answer of a peer means: bodies in protobuf and JSON, gRPC codes and
//! their HTTP counterparts. Never decides whether something was taken; it only words the decision.

mod body;
mod trailer;

pub use crate::model::Code;
pub use body::{Detail, Encoding, Status, partial_body, success_body};
pub use trailer::{grpc_message, status_details_bin};

#[cfg(test)]
mod tests;

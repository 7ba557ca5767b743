//! The span road through the real binary: what senders are told, what arrives behind, and what is counted of it.
//! Knows of the daemon nothing but its doors and its metrics.

mod content;
mod cors;
mod exceptions;
mod explain;
mod graft;
pub mod kit;
mod overload;
mod promise;
mod reload;
mod resends;
mod routing;
mod token;

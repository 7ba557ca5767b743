//! Any bytes as a request of traces, logs or metrics: taken or refused as prost does, and spliced as it would edit.
#![no_main]

#[path = "../../src/otlp/tests/oracle.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;
use tawny::{model, otlp};

fuzz_target!(|bytes: &[u8]| {
    if let Some((first, body)) = bytes.split_first() {
        oracle::compare(oracle::SIGNALS[usize::from(*first) % oracle::SIGNALS.len()], body);
    }
});

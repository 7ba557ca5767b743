//! What a gRPC answer carries in its trailers. Never a byte that a header may not hold.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{Encoding, Status};

/// Longest `grpc-message` we send, before encoding: many peers bound a header list at 8 KiB.
const MESSAGE_BYTES_MAX: usize = 1024;

/// A text as the value of `grpc-message`: everything but printable ASCII, and `%`, is percent-encoded (grpc,
/// doc/PROTOCOL-HTTP2.md, "Responses").
pub fn grpc_message(text: &str) -> Cow<'_, str> {
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    Cow::Owned(encoded)
}

/// The value of `grpc-status-details-bin`: the Status in protobuf, in base64 without padding.
pub fn status_details_bin(status: &Status) -> String {
    STANDARD_NO_PAD.encode(status.body(Encoding::Protobuf))
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'%'
}

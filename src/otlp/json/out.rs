//! Protobuf in the making: fields behind one another, lengths put in once they are known. One buffer, no copies but
//! the move of a message whose length took more or fewer bytes than was guessed.

use crate::otlp::wire::{put_key, put_varint, varint_length};

/// The longest varint of a length.
const LENGTH_BYTES_MAX: usize = 10;

#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
}

/// A value that is not a message, a text or bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
}

impl Scalar {
    pub(super) fn is_default(self) -> bool {
        match self {
            Scalar::Varint(bits) | Scalar::Fixed64(bits) => bits == 0,
            Scalar::Fixed32(bits) => bits == 0,
        }
    }

    const fn wire_type(self) -> u8 {
        match self {
            Scalar::Varint(_) => 0,
            Scalar::Fixed64(_) => 1,
            Scalar::Fixed32(_) => 5,
        }
    }
}

/// A field with a length that is not closed yet.
#[must_use]
pub(super) struct Open {
    length_at: usize,
    length_bytes: usize,
}

impl Out {
    pub(super) fn with_capacity(bytes: usize) -> Out {
        Out { bytes: Vec::with_capacity(bytes) }
    }

    /// Starts a field whose length is guessed to take so many bytes.
    #[inline]
    pub(super) fn open(&mut self, number: u32, length_bytes: usize) -> Open {
        put_key(&mut self.bytes, number, 2);
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH_BYTES_MAX][..length_bytes]);
        Open { length_at, length_bytes }
    }

    #[inline]
    pub(super) fn close(&mut self, open: Open) {
        let Open { length_at, length_bytes } = open;
        let content_at = length_at + length_bytes;
        let mut length = (self.bytes.len() - content_at) as u64;
        let needed = varint_length(length);
        if needed != length_bytes {
            self.shift(content_at, length_at + needed);
        }
        for byte in &mut self.bytes[length_at..length_at + needed - 1] {
            *byte = length.to_le_bytes()[0] | 0x80;
            length >>= 7;
        }
        self.bytes[length_at + needed - 1] = length.to_le_bytes()[0];
    }

    /// Moves everything from one place on to another.
    fn shift(&mut self, from: usize, to: usize) {
        let end = self.bytes.len();
        self.bytes.resize(end.max(end - from + to), 0);
        self.bytes.copy_within(from..end, to);
        self.bytes.truncate(end - from + to);
    }

    #[inline]
    pub(super) fn put_scalar(&mut self, number: u32, scalar: Scalar) {
        put_key(&mut self.bytes, number, scalar.wire_type());
        self.put_packed(scalar);
    }

    /// Without its key, as in a packed list.
    #[inline]
    pub(super) fn put_packed(&mut self, scalar: Scalar) {
        match scalar {
            Scalar::Varint(bits) => put_varint(&mut self.bytes, bits),
            Scalar::Fixed32(bits) => self.bytes.extend_from_slice(&bits.to_le_bytes()),
            Scalar::Fixed64(bits) => self.bytes.extend_from_slice(&bits.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::wire::{Fields, Value};

    #[test]
    fn a_length_is_right_whatever_was_guessed() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            for guess in 1..=4 {
                let mut out = Out::default();
                out.put_scalar(1, Scalar::Varint(7));
                let open = out.open(2, guess);
                let content: Vec<u8> = (0..length).map(|place: u32| place.to_le_bytes()[0]).collect();
                out.bytes.extend_from_slice(&content);
                out.close(open);
                out.put_scalar(3, Scalar::Fixed32(9));
                let values: Vec<_> = Fields::new(&out.bytes).map(|field| field.unwrap().value).collect();
                assert_eq!(values, [Value::Varint(7), Value::Bytes(&content), Value::Fixed32(9)]);
            }
        }
    }
}

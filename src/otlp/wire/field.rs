//! The fields of one message, in the order they stand (protobuf.dev, "Encoding"). Skips unknown fields of any wire
//! type whole, and reads nothing beyond the slice it was given.

use crate::otlp::Malformed;

use super::read;

/// One field: its number, what it holds, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub number: u32,
    pub value: Value<'a>,
    /// From its key to its end, as offsets into the message.
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// A group is never one of OTLP's own fields; it was skipped whole.
    Group,
}

impl<'a> Value<'a> {
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) | Value::Group => None,
        }
    }
}

/// Walks a message.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// What was not walked yet.
    tail: &'a [u8],
    length: usize,
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { tail: message, length: message.len() }
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.length - self.tail.len();
        let (number, wire_type) = read::key(&mut self.tail)?;
        let value = match wire_type {
            read::VARINT => Value::Varint(read::varint(&mut self.tail)?),
            read::FIXED64 => Value::Fixed64(u64::from_le_bytes(read::fixed(&mut self.tail)?)),
            read::DELIMITED => Value::Bytes(read::delimited(&mut self.tail)?),
            read::FIXED32 => Value::Fixed32(u32::from_le_bytes(read::fixed(&mut self.tail)?)),
            _ => {
                read::skip(&mut self.tail, number, wire_type, read::DEPTH)?;
                Value::Group
            }
        };
        Ok(Field { number, value, start, end: self.length - self.tail.len() })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    /// Ends after the first error.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.tail.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.tail = &[];
        }
        Some(field)
    }
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub fn put_key(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

/// A text, bytes or message field.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_key(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// How many bytes [`put_varint`] writes.
pub const fn varint_length(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn each_wire_type_is_read_with_its_place() {
        let mut bytes = vec![0x08, 0x96, 0x01];
        put_bytes(&mut bytes, 2, b"hey");
        bytes.extend([0x1d, 1, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0, 0, 0]);
        let values: Vec<_> = read(&bytes).unwrap().into_iter().map(|field| (field.number, field.value)).collect();
        let expected =
            [(1, Value::Varint(150)), (2, Value::Bytes(b"hey")), (3, Value::Fixed32(1)), (4, Value::Fixed64(2))];
        assert_eq!(values, expected);
        assert_eq!((read(&bytes).unwrap()[1].start, read(&bytes).unwrap()[1].end), (3, 8));
    }

    #[test]
    fn lengths_varints_and_numbers_beyond_the_rules_are_refused() {
        assert_eq!(read(&[0x12, 5, b'a']), Err(Malformed::Truncated));
        assert_eq!(read(&[0x08, 0x80]), Err(Malformed::Truncated));
        assert_eq!(read(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), Err(Malformed::Varint));
        assert_eq!(read(&[0x00, 0x00]), Err(Malformed::FieldNumber));
        assert_eq!(read(&[0x0e]), Err(Malformed::WireType));
        assert_eq!(read(&[0x0c]), Err(Malformed::Group));
        let widest = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&widest).unwrap()[0].value, Value::Varint(u64::MAX));
        assert_eq!(read(&[0x08, 0x81, 0x00]).unwrap()[0].value, Value::Varint(1));
    }

    #[test]
    fn a_group_is_skipped_whole_and_an_open_one_is_refused() {
        let fields = read(&[0x0b, 0x13, 0x18, 7, 0x14, 0x0c, 0x10, 1]).unwrap();
        assert_eq!((fields[0].value, fields[0].end, fields[1].number), (Value::Group, 6, 2));
        assert_eq!(read(&[0x0b, 0x18, 7]), Err(Malformed::Truncated));
        assert_eq!(read(&[0x0b, 0x14]), Err(Malformed::Group));
    }

    #[test]
    fn written_varints_have_the_length_that_was_foretold() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_length(value));
        }
    }
}

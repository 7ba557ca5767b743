//! The fields of one message, in the order they stand (protobuf.dev, "Encoding"). Skips unknown fields of any wire
//! type whole, and reads nothing beyond the slice it was given.

use crate::otlp::Malformed;

/// Groups inside groups that are followed before the input is called malformed; prost's own limit.
const GROUP_DEPTH_MAX: usize = 100;

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
    message: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { message, at: 0 }
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.at;
        let (number, wire_type) = self.key()?;
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            3 => {
                self.skip_group(number)?;
                Value::Group
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            4 => return Err(Malformed::Group),
            _ => return Err(Malformed::WireType),
        };
        Ok(Field { number, value, start, end: self.at })
    }

    fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed::FieldNumber)?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed::FieldNumber);
        }
        Ok((number, (key & 7).to_le_bytes()[0]))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let bytes = &self.message[self.at..];
        match bytes.first() {
            Some(first) if *first < 0x80 => {
                self.at += 1;
                Ok(u64::from(*first))
            }
            _ => {
                let (value, length) = long_varint(bytes)?;
                self.at += length;
                Ok(value)
            }
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("the slice was taken with this length"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let rest = &self.message[self.at..];
        let taken = rest.get(..length).ok_or(Malformed::Truncated)?;
        self.at += length;
        Ok(taken)
    }

    /// Behind the start key of a group: to behind its end key.
    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            let (number, wire_type) = self.key()?;
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => {
                    let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                    self.take(length)?;
                }
                3 if open.len() < GROUP_DEPTH_MAX => open.push(number),
                4 if number == innermost => drop(open.pop()),
                3 | 4 => return Err(Malformed::Group),
                5 => drop(self.take(4)?),
                _ => return Err(Malformed::WireType),
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.message.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.message.len();
        }
        Some(field)
    }
}

/// Non-minimal forms are legal; the tenth byte may only hold the last bit.
#[cold]
fn long_varint(bytes: &[u8]) -> Result<(u64, usize), Malformed> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        if place == 9 && *byte > 1 {
            return Err(Malformed::Varint);
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return Ok((value, place + 1));
        }
    }
    Err(if bytes.len() < 10 { Malformed::Truncated } else { Malformed::Varint })
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

//! Writes states as MessagePack, without names, exactly as `rmp_serde` does, which reads them back. Never writes a byte
//! that it would not have written: the bytes are the format of the store.

use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// What most states need, so that the bytes are not moved while they are written.
pub(super) const MEMBER_BYTES: usize = 1024;
pub(super) const INCIDENT_BYTES: usize = 2048;

/// The bytes of a state. A state is a hundred short texts and numbers, and here each is written in place, while the
/// library hands every single byte to a writer that may fail.
pub(super) fn packed<T: Serialize>(value: &T, usual_bytes: usize) -> Vec<u8> {
    let mut packer = Packer(Vec::with_capacity(usual_bytes));
    if value.serialize(&mut packer).is_err() {
        packer.0.clear();
        rmp_serde::encode::write(&mut packer.0, value).expect("our own types always serialise");
    }
    packer.0
}

struct Packer(Vec<u8>);

/// What this has no way to write; the library has.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unpackable(String);

impl ser::Error for Unpackable {
    fn custom<T: std::fmt::Display>(what: T) -> Unpackable {
        Unpackable(what.to_string())
    }
}

type Done = Result<(), Unpackable>;

impl Packer {
    /// A marker, and the shortest number that holds a length.
    #[inline]
    fn length(&mut self, length: usize, [of_byte, of_two, of_four]: [Option<u8>; 3]) -> Done {
        if let (Some(marker), Ok(length)) = (of_byte, u8::try_from(length)) {
            self.0.extend_from_slice(&[marker, length]);
        } else if let (Some(marker), Ok(length)) = (of_two, u16::try_from(length)) {
            let [high, low] = length.to_be_bytes();
            self.0.extend_from_slice(&[marker, high, low]);
        } else {
            let length = u32::try_from(length).map_err(ser::Error::custom)?;
            self.0.extend(of_four);
            self.0.extend_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    #[inline]
    fn text(&mut self, text: &str) -> Done {
        match u8::try_from(text.len()) {
            Ok(length @ ..32) => self.0.push(0xa0 | length),
            Ok(_) | Err(_) => self.length(text.len(), [Some(0xd9), Some(0xda), Some(0xdb)])?,
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    #[inline]
    fn list(&mut self, length: usize) -> Done {
        match u8::try_from(length) {
            Ok(length @ ..16) => self.0.push(0x90 | length),
            Ok(_) | Err(_) => self.length(length, [None, Some(0xdc), Some(0xdd)])?,
        }
        Ok(())
    }

    #[inline]
    fn map(&mut self, length: usize) -> Done {
        match u8::try_from(length) {
            Ok(length @ ..16) => self.0.push(0x80 | length),
            Ok(_) | Err(_) => self.length(length, [None, Some(0xde), Some(0xdf)])?,
        }
        Ok(())
    }

    #[inline]
    fn whole(&mut self, number: u64) {
        if let Ok(number) = u8::try_from(number) {
            if number < 128 {
                self.0.push(number);
            } else {
                self.0.extend_from_slice(&[0xcc, number]);
            }
        } else if let Ok(number) = u16::try_from(number) {
            self.marked(0xcd, number.to_be_bytes());
        } else if let Ok(number) = u32::try_from(number) {
            self.marked(0xce, number.to_be_bytes());
        } else {
            self.marked(0xcf, number.to_be_bytes());
        }
    }

    fn negative(&mut self, number: i64) {
        if let Ok(number) = i8::try_from(number) {
            let byte = number.to_be_bytes();
            if number >= -32 { self.0.extend_from_slice(&byte) } else { self.marked(0xd0, byte) }
        } else if let Ok(number) = i16::try_from(number) {
            self.marked(0xd1, number.to_be_bytes());
        } else if let Ok(number) = i32::try_from(number) {
            self.marked(0xd2, number.to_be_bytes());
        } else {
            self.marked(0xd3, number.to_be_bytes());
        }
    }

    #[inline]
    fn marked<const COUNT: usize>(&mut self, marker: u8, bytes: [u8; COUNT]) {
        self.0.push(marker);
        self.0.extend_from_slice(&bytes);
    }
}

fn known(length: Option<usize>) -> Result<usize, Unpackable> {
    length.ok_or_else(|| ser::Error::custom("a list begins with its length"))
}

impl Serializer for &mut Packer {
    type Ok = ();
    type Error = Unpackable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Done {
        self.0.push(if value { 0xc3 } else { 0xc2 });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Done {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Done {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Done {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Done {
        match u64::try_from(value) {
            Ok(whole) => self.whole(whole),
            Err(_) => self.negative(value),
        }
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Done {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Done {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Done {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Done {
        self.whole(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Done {
        self.marked(0xca, value.to_be_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Done {
        self.marked(0xcb, value.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Done {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Done {
        self.text(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Done {
        self.length(value.len(), [Some(0xc4), Some(0xc5), Some(0xc6)])?;
        self.0.extend_from_slice(value);
        Ok(())
    }

    fn serialize_none(self) -> Done {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        self.0.push(0xc0);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Done {
        self.list(0)
    }

    fn serialize_unit_variant(self, _name: &'static str, _number: u32, variant: &'static str) -> Done {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _name: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        _number: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        self.map(1)?;
        self.text(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Unpackable> {
        self.list(known(length)?).map(|()| self)
    }

    fn serialize_tuple(self, length: usize) -> Result<Self, Unpackable> {
        self.list(length).map(|()| self)
    }

    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<Self, Unpackable> {
        self.list(length).map(|()| self)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self, Unpackable> {
        self.serialize_struct_variant(name, number, variant, length)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, Unpackable> {
        self.map(known(length)?).map(|()| self)
    }

    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Self, Unpackable> {
        self.list(length).map(|()| self)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _number: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self, Unpackable> {
        self.map(1)?;
        self.text(variant)?;
        self.list(length).map(|()| self)
    }
}

/// Elements follow each other, and nothing stands behind the last.
macro_rules! follow {
    ($compound:ident: $($method:ident),+) => {
        impl $compound for &mut Packer {
            type Ok = ();
            type Error = Unpackable;

            $(fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Done {
                value.serialize(&mut **self)
            })+

            fn end(self) -> Done {
                Ok(())
            }
        }
    };
}

follow!(SerializeSeq: serialize_element);
follow!(SerializeTuple: serialize_element);
follow!(SerializeTupleStruct: serialize_field);
follow!(SerializeTupleVariant: serialize_field);
follow!(SerializeMap: serialize_key, serialize_value);

macro_rules! follow_named {
    ($compound:ident) => {
        impl $compound for &mut Packer {
            type Ok = ();
            type Error = Unpackable;

            fn serialize_field<T: ?Sized + Serialize>(&mut self, _name: &'static str, value: &T) -> Done {
                value.serialize(&mut **self)
            }

            fn end(self) -> Done {
                Ok(())
            }
        }
    };
}

follow_named!(SerializeStruct);
follow_named!(SerializeStructVariant);

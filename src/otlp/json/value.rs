//! Values that hold no others: texts, bytes, ids, numbers, booleans, enums. Never guesses: what is not of the kind its
//! field wants, and no known slip either, is a fault.

use super::cursor::Outcome;
use super::fault::{Fault, shortened};
use super::id::{self, Id};
use super::number::{self, Number};
use super::out::Scalar;
use super::table::Kind;
use super::walk::{Keep, Walk};
use super::{Mode, Repair};
use crate::otlp::wire::put_bytes;

impl Walk<'_> {
    #[inline]
    pub(super) fn text(&mut self, number: u32, keep: Keep) -> Outcome<()> {
        let text = self.cursor.quoted("a text")?;
        match text.plain() {
            Some([]) if keep == Keep::NoDefault => Ok(()),
            Some(plain) => {
                put_bytes(&mut self.out.bytes, number, plain);
                Ok(())
            }
            None => {
                let open = self.out.open(number, 1);
                text.decode_into(&mut self.out.bytes, &mut self.slips)?;
                self.out.close(open);
                Ok(())
            }
        }
    }

    pub(super) fn base64(&mut self, number: u32, keep: Keep) -> Outcome<()> {
        if self.mode == Mode::Lenient && matches!(self.cursor.peek(), Some(b'[' | b'{')) {
            return self.bytes_of_numbers(number);
        }
        let text = self.cursor.quoted("bytes in base64")?;
        let bytes = id::base64_of(&text.decoded(&mut self.slips)?)
            .ok_or_else(|| Fault::at(text.start, "bytes are not in base64"))?;
        if keep == Keep::Default || !bytes.is_empty() {
            put_bytes(&mut self.out.bytes, number, &bytes);
        }
        Ok(())
    }

    /// Bytes as JavaScript prints them: a list of numbers, an object of numbers by their places (`Uint8Array`), or a
    /// list of numbers with its type beside it (`Buffer`).
    #[cold]
    fn bytes_of_numbers(&mut self, number: u32) -> Outcome<()> {
        self.repairs.add(Repair::NumberBytes);
        let open = self.out.open(number, 1);
        if self.cursor.eat(b'[') {
            self.bytes_of_list()?;
        } else {
            self.bytes_of_object()?;
        }
        self.out.close(open);
        Ok(())
    }

    /// Behind the bracket.
    fn bytes_of_list(&mut self) -> Outcome<()> {
        let mut goes_on = !self.cursor.eat(b']');
        while goes_on {
            self.byte()?;
            goes_on = self.cursor.another(b']')?;
        }
        Ok(())
    }

    fn bytes_of_object(&mut self) -> Outcome<()> {
        self.cursor.expect(b'{', "bytes")?;
        let mut place = 0_usize;
        let mut goes_on = !self.cursor.eat(b'}');
        while goes_on {
            let key = self.cursor.key()?;
            match key.plain() {
                Some(b"type") if place == 0 => drop(self.cursor.quoted("a text")?),
                Some(b"data") if place == 0 => {
                    self.cursor.expect(b'[', "a list of bytes")?;
                    self.bytes_of_list()?;
                }
                Some(name) if name == place.to_string().as_bytes() => {
                    self.byte()?;
                    place += 1;
                }
                Some(_) | None => return Err(Fault::at(key.start, "a byte is not at its place")),
            }
            goes_on = self.cursor.another(b'}')?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Outcome<()> {
        let number = self.cursor.number("a byte")?;
        let offset = self.cursor.offset() - number.length();
        let value = number.unsigned(u8::MAX.into()).map_err(|what| Fault::at(offset, what))?;
        self.out.bytes.push(u8::try_from(value).expect("the range was checked"));
        Ok(())
    }

    #[inline]
    pub(super) fn id<const N: usize>(&mut self, number: u32, keep: Keep) -> Outcome<()> {
        let text = self.cursor.quoted("an id in hex")?;
        let read =
            id::read::<N>(&text.decoded(&mut self.slips)?, self.mode).map_err(|what| Fault::at(text.start, what))?;
        match read {
            Id::Empty if keep == Keep::NoDefault => {}
            Id::Empty => put_bytes(&mut self.out.bytes, number, &[]),
            Id::Given(id) => put_bytes(&mut self.out.bytes, number, &id),
            Id::Mended(id, repair) => {
                self.repairs.add(repair);
                put_bytes(&mut self.out.bytes, number, &id);
            }
        }
        Ok(())
    }
}

/// A number, a boolean or an enum; none where a lenient reading found nothing in its place.
#[inline]
pub(super) fn scalar(walk: &mut Walk<'_>, kind: Kind) -> Outcome<Option<Scalar>> {
    if matches!(kind, Kind::Bool) {
        return boolean(walk).map(Some);
    }
    if walk.cursor.peek() == Some(b'"') {
        return if let Kind::Enum(names) = kind { enum_text(walk, names) } else { quoted_number(walk, kind) };
    }
    if matches!(kind, Kind::Double)
        && walk.mode == Mode::Lenient
        && let Some(value) = walk.cursor.bare_non_finite()
    {
        walk.repairs.add(Repair::BareNonFinite);
        return Ok(Some(double(value)));
    }
    bare_number(walk, kind).map(Some)
}

#[inline]
fn bare_number(walk: &mut Walk<'_>, kind: Kind) -> Outcome<Scalar> {
    let number = walk.cursor.number(if matches!(kind, Kind::Enum(_)) { "an integer" } else { "a number" })?;
    let offset = walk.cursor.offset() - number.length();
    converted(kind, number).map_err(|what| Fault::at(offset, what))
}

/// Numbers of any kind may be texts in protobuf's JSON; 64-bit integers usually are.
#[inline]
fn quoted_number(walk: &mut Walk<'_>, kind: Kind) -> Outcome<Option<Scalar>> {
    let quoted = walk.cursor.quoted("a number")?;
    let text = quoted.decoded(&mut walk.slips)?;
    if text.is_empty() {
        walk.repair(Repair::EmptyNumber, "an empty text is no number")?;
        return Ok(None);
    }
    if matches!(kind, Kind::Double) {
        let special = match &*text {
            b"NaN" => Some(f64::NAN),
            b"Infinity" => Some(f64::INFINITY),
            b"-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        };
        if let Some(special) = special {
            return Ok(Some(double(special)));
        }
    }
    let number = number::scan(&text)
        .filter(|number| number.length() == text.len())
        .ok_or_else(|| Fault::at(quoted.start, format!("`{}` is no number", shortened(&text))))?;
    converted(kind, number).map(Some).map_err(|what| Fault::at(quoted.start, what))
}

fn boolean(walk: &mut Walk<'_>) -> Outcome<Scalar> {
    if walk.cursor.peek() == Some(b'"') {
        let start = walk.cursor.clone();
        let text = walk.cursor.quoted("a boolean")?.decoded(&mut walk.slips)?;
        let value = match &*text {
            b"true" => Some(1),
            b"false" => Some(0),
            _ => None,
        };
        if let (Some(value), Mode::Lenient) = (value, walk.mode) {
            walk.repairs.add(Repair::BoolText);
            return Ok(Scalar::Varint(value));
        }
        walk.cursor = start;
    } else if walk.cursor.eat_word("true") {
        return Ok(Scalar::Varint(1));
    } else if walk.cursor.eat_word("false") {
        return Ok(Scalar::Varint(0));
    }
    Err(walk.cursor.unexpected("a boolean"))
}

/// OTLP allows no names here; protobuf's JSON writers make them all the same.
fn enum_text(walk: &mut Walk<'_>, names: &'static [&'static str]) -> Outcome<Option<Scalar>> {
    if walk.mode == Mode::Strict {
        return Err(walk.cursor.unexpected("an integer (OTLP/JSON has no names of enums)"));
    }
    let quoted = walk.cursor.quoted("an integer")?;
    let text = quoted.decoded(&mut walk.slips)?;
    if text.is_empty() {
        walk.repairs.add(Repair::EmptyNumber);
        return Ok(None);
    }
    let named = (0..).zip(names).find(|(_, name)| name.as_bytes() == &*text).map(|(value, _)| Scalar::Varint(value));
    let scalar = named.or_else(|| {
        let number = number::scan(&text).filter(|number| number.length() == text.len())?;
        converted(Kind::Enum(names), number).ok()
    });
    let unknown = || Fault::at(quoted.start, format!("`{}` is not a name of this enum", shortened(&text)));
    let scalar = scalar.ok_or_else(unknown)?;
    walk.repairs.add(Repair::EnumText);
    Ok(Some(scalar))
}

const fn double(value: f64) -> Scalar {
    Scalar::Fixed64(value.to_bits())
}

/// The number as its field has it on the wire.
#[inline]
fn converted(kind: Kind, number: Number<'_>) -> Result<Scalar, &'static str> {
    Ok(match kind {
        Kind::Double => double(number.double()?),
        Kind::Uint64 => Scalar::Varint(number.unsigned(u64::MAX)?),
        Kind::Fixed64 => Scalar::Fixed64(number.unsigned(u64::MAX)?),
        Kind::Uint32 => Scalar::Varint(number.unsigned(u32::MAX.into())?),
        Kind::Fixed32 => {
            let value = number.unsigned(u32::MAX.into())?;
            Scalar::Fixed32(u32::try_from(value).expect("the range was checked"))
        }
        Kind::Int64 => Scalar::Varint(number.signed(i64::MIN, i64::MAX)?.cast_unsigned()),
        Kind::Sfixed64 => Scalar::Fixed64(number.signed(i64::MIN, i64::MAX)?.cast_unsigned()),
        // Negative ones take ten bytes: they are extended to 64 bits.
        Kind::Int32 | Kind::Enum(_) => Scalar::Varint(number.signed(i32::MIN.into(), i32::MAX.into())?.cast_unsigned()),
        // Zigzag, so that small negative ones stay short.
        Kind::Sint32 => {
            let value = number.signed(i32::MIN.into(), i32::MAX.into())?;
            Scalar::Varint((value << 1 ^ value >> 63).cast_unsigned())
        }
        Kind::Text | Kind::Bytes | Kind::TraceId | Kind::SpanId | Kind::Bool | Kind::Message(_) => {
            return Err("a number stands where none is expected");
        }
    })
}

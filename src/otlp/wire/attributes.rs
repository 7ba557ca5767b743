//! Attributes as nearly every sender writes them, recognised at a glance: most of a request is these. Leaves whatever
//! looks different to the tables of the schema, and judges nothing otherwise than they do.

use crate::otlp::Malformed;

use super::check;
use super::read::key;
use super::schema::Message;
use super::text::is_ascii;

/// From the start of an attribute, bytes that are looked at without asking for its length: its key and length, those
/// of a name of up to 255 bytes and of its value, the key of what the value holds, and a number. As many bytes as a
/// length of one byte can say may be passed without asking, too.
const WINDOW: usize = 4 + 255 + 3 + 8;

/// Is shown the names of attributes, some of them twice.
pub(super) trait Look {
    /// Whether it wants to see them.
    const LOOKS: bool;

    fn name(&mut self, name: &[u8]);
}

/// Looks at nothing.
impl Look for () {
    const LOOKS: bool = false;

    #[inline(always)]
    fn name(&mut self, _name: &[u8]) {}
}

/// Whether a name began with `exception.`.
#[derive(Default)]
pub(super) struct Exceptions(pub(super) bool);

impl Look for Exceptions {
    const LOOKS: bool = true;

    #[inline(always)]
    fn name(&mut self, name: &[u8]) {
        self.0 |= name.starts_with(b"exception.");
    }
}

/// Goes over the attributes at the start of `tail`, each in a field with the key `TAG`, as long as they are of the
/// usual shape: a name and a text or number, no length over 127. The message ends where `beyond` bytes are left; a
/// caller finds a smaller rest when an attribute reached out of it.
#[inline(always)]
pub(super) fn run<const TAG: u8, L: Look>(tail: &mut &[u8], beyond: usize, look: &mut L) -> Result<(), Malformed> {
    match plain::<TAG, L>(tail, beyond, look) {
        Some(rest) if rest.len() >= WINDOW || rest.len() <= beyond => *tail = rest,
        Some(rest) => *tail = others::<TAG, L>(rest, beyond, look)?,
        None => *tail = others::<TAG, L>(tail, beyond, look)?,
    }
    Ok(())
}

/// Texts are not checked one by one: what lies between two numbers must be ASCII. If it is not, nothing is given.
#[inline(never)]
pub(super) fn plain<'a, const TAG: u8, L: Look>(tail: &'a [u8], beyond: usize, look: &mut L) -> Option<&'a [u8]> {
    let mut rest = tail;
    // What was passed but not yet seen to be ASCII starts here.
    let mut unchecked = rest;
    // One bound for both: the message goes on, and a window is there.
    let floor = beyond.max(WINDOW - 1);
    while rest.len() > floor
        && let Some(window) = rest.first_chunk::<WINDOW>()
        && let Some(shape) = Shape::read::<TAG>(window)
    {
        if L::LOOKS {
            look.name(&rest[4..4 + shape.name]);
        }
        if let Some(binary) = shape.binary {
            if !is_ascii(&unchecked[..unchecked.len() - rest.len() + binary]) {
                return None;
            }
            unchecked = &rest[shape.length..];
        }
        rest = &rest[shape.length..];
    }
    is_ascii(&unchecked[..unchecked.len() - rest.len()]).then_some(rest)
}

/// As [`run`], where texts are not ASCII, and near the end of the request.
#[inline(never)]
fn others<'a, const TAG: u8, L: Look>(mut tail: &'a [u8], beyond: usize, look: &mut L) -> Result<&'a [u8], Malformed> {
    while tail.len() > beyond
        && let Some(shape) = Shape::read_short::<TAG>(tail)
    {
        let name = &tail[4..4 + shape.name];
        check::text(name)?;
        check::text(&tail[shape.length - shape.text..shape.length])?;
        look.name(name);
        tail = &tail[shape.length..];
    }
    Ok(tail)
}

/// A whole message of which most is attributes with the key `TAG`; `depth` as for [`check::message`].
pub(super) fn message<const TAG: u8>(schema: &'static Message, mut tail: &[u8], depth: u32) -> Result<(), Malformed> {
    while let [first, ..] = tail {
        let before = tail.len();
        if *first == TAG {
            run::<TAG, ()>(&mut tail, 0, &mut ())?;
        }
        if tail.len() == before {
            let (number, wire_type) = key(&mut tail)?;
            check::value(schema.kind(number), number, wire_type, &mut tail, depth)?;
        }
    }
    Ok(())
}

/// Where the parts of an attribute lie.
struct Shape {
    /// Of the whole field, at most 129.
    length: usize,
    /// Of the name, which begins at 4.
    name: usize,
    /// Of the text, which ends the field; 0 for numbers.
    text: usize,
    /// Where bytes begin that are no text and may have any value; they end the field.
    binary: Option<usize>,
}

impl Shape {
    #[inline(always)]
    fn read<const TAG: u8>(window: &[u8; WINDOW]) -> Option<Shape> {
        let [key, length, name_key, name, ..] = *window;
        if key != TAG || name_key != 0x0a {
            return None;
        }
        let value = u32::from_le_bytes(bytes(window, 4 + usize::from(name)));
        Shape::of(length, name, value, |at| u64::from_le_bytes(bytes(window, at)))
    }

    /// Where less than a window may be left.
    #[inline]
    fn read_short<const TAG: u8>(rest: &[u8]) -> Option<Shape> {
        let [key, length, name_key, name] = bytes(rest, 0);
        if key != TAG || name_key != 0x0a {
            return None;
        }
        let value = u32::from_le_bytes(bytes(rest, 4 + usize::from(name)));
        let shape = Shape::of(length, name, value, |at| u64::from_le_bytes(bytes(rest, at)));
        shape.filter(|shape| shape.length <= rest.len())
    }

    /// Of the lengths, the four bytes behind the name, and the bytes from a place on.
    #[inline(always)]
    fn of(length: u8, name: u8, value: u32, long_word: impl FnOnce(usize) -> u64) -> Option<Shape> {
        // The key of the value, its length, the key of a text, the length of the text, which is two less.
        const VALUE: i64 = 0x000a_0212;
        const TEXT: i64 = 0x0100_0100;
        // Between the name and a text are two keys and two lengths. A length of more than one byte, its highest bit
        // set, becomes negative here, and so does what is expected, which then no value equals.
        let text = i64::from(length.cast_signed()) - i64::from(name) - 6;
        let expected = text * TEXT + VALUE;
        let (length, name) = (usize::from(length) + 2, usize::from(name));
        if i64::from(value) == expected {
            return Some(Shape { length, name, text: length.saturating_sub(name + 8), binary: None });
        }
        // The key of the value and its length are the same before a number, which is a byte longer than a text.
        let value = u64::from(value);
        let start = expected.cast_unsigned() & 0xffff;
        // An integer or boolean: their keys differ in one bit.
        if (0..7).contains(&text) {
            let is_integer =
                value & 0x00f7_ffff == start | 0x0010_0000 && last_byte(long_word(name + 7)) == text.cast_unsigned();
            let binary = (text > 0).then_some(name + 7);
            return is_integer.then_some(Shape { length, name, text: 0, binary });
        }
        let is_double = value & 0x00ff_ffff == start | 0x0021_0000 && text == 7;
        is_double.then_some(Shape { length, name, text: 0, binary: Some(name + 7) })
    }
}

/// Those that are not there are zero.
#[inline(always)]
fn bytes<const N: usize>(all: &[u8], at: usize) -> [u8; N] {
    let from = all.get(at..).unwrap_or_default();
    from.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; N];
        bytes[..from.len()].copy_from_slice(from);
        bytes
    })
}

/// Of a varint of at most seven bytes, the place of the last, which is the first whose highest bit is not set.
#[inline(always)]
fn last_byte(varint: u64) -> u64 {
    const HIGH: u64 = 0x0080_8080_8080_8080;
    let ends = (varint & HIGH) ^ (HIGH | 1 << 63);
    u64::from(ends.trailing_zeros() / 8)
}

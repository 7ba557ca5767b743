//! Attributes as nearly every sender writes them, recognised at a glance: most of a request is these. Leaves whatever
//! looks different to the tables of the schema, and judges nothing otherwise than they do.

use crate::otlp::Malformed;

use super::check;
use super::read::key;
use super::schema::Message;
use super::text::is_ascii;

/// Bytes from the start of an attribute that are looked at without asking for its length: two keys and two lengths,
/// a name of up to 255 bytes, the key, length and key of its value, and a number.
const WINDOW: usize = 4 + 255 + 4 + 9;

/// Whether attributes whose names begin with `exception.` are looked for.
pub(super) trait Look {
    const EXCEPTIONS: bool;
}

pub(super) struct Ignore;
impl Look for Ignore {
    const EXCEPTIONS: bool = false;
}

pub(super) struct Exceptions;
impl Look for Exceptions {
    const EXCEPTIONS: bool = true;
}

/// Goes over the attributes at the start of `tail`, each in a field with the key `TAG`, as long as they are of the
/// usual shape: a name and a text or number, no length over 127. The message ends where `beyond` bytes are left; a
/// caller finds a smaller rest when an attribute reached out of it. Says whether an exception was among them.
///
/// Texts are not checked one by one: the run as a whole must be ASCII. Only if it is not, it is gone over again.
pub(super) fn run<const TAG: u8, L: Look>(tail: &mut &[u8], beyond: usize) -> Result<bool, Malformed> {
    let whole = *tail;
    let mut rest = whole;
    // What was passed but not yet seen to be ASCII starts here.
    let mut text = whole;
    let mut is_plain = true;
    let mut has_exception = false;
    while rest.len() > beyond
        && let Some(shape) = match rest.first_chunk::<WINDOW>() {
            Some(window) => Shape::read::<TAG>(window),
            None => Shape::read_last::<TAG>(rest),
        }
    {
        if let Some(binary) = shape.binary {
            is_plain &= is_ascii(&text[..text.len() - rest.len() + binary]);
            text = &rest[shape.length..];
        }
        has_exception |= L::EXCEPTIONS && rest[4..4 + shape.name].starts_with(b"exception.");
        rest = &rest[shape.length..];
    }
    let passed = whole.len() - rest.len();
    if !is_plain || !is_ascii(&text[..text.len() - rest.len()]) {
        texts::<TAG>(&whole[..passed])?;
    }
    *tail = rest;
    Ok(has_exception)
}

/// A whole message of which most is attributes with the key `TAG`; `depth` as for [`check::message`].
pub(super) fn message<const TAG: u8>(schema: &'static Message, mut tail: &[u8], depth: u32) -> Result<(), Malformed> {
    while let [first, ..] = tail {
        let before = tail.len();
        if *first == TAG {
            run::<TAG, Ignore>(&mut tail, 0)?;
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
        let head = word(window, 0);
        // The key of the field, a length of one byte, the key of the name.
        if head & 0x00ff_80ff != 0x000a_0000 | u32::from(TAG) {
            return None;
        }
        let length = (head >> 8 & 0x7f) as usize;
        let name = (head >> 24) as usize;
        let value = word(window, 4 + name);
        let text = value >> 24;
        // The key of the value, its length, the key of a text, the length of the text, which is two less.
        if value == text.wrapping_mul(0x0100_0100).wrapping_add(0x000a_0212) && length == name + text as usize + 6 {
            return Some(Shape { length: length + 2, name, text: text as usize, binary: None });
        }
        number(window, length, name, value)
    }

    /// Near the end of the request, where less than a window is left.
    #[inline(never)]
    fn read_last<const TAG: u8>(rest: &[u8]) -> Option<Shape> {
        let mut window = [0; WINDOW];
        let reach = rest.len().min(WINDOW);
        window[..reach].copy_from_slice(&rest[..reach]);
        Shape::read::<TAG>(&window).filter(|shape| shape.length <= reach)
    }
}

/// One load: taken byte by byte, the compiler would also load it so.
#[inline(always)]
fn word(window: &[u8; WINDOW], at: usize) -> u32 {
    window[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// An integer or boolean of up to nine bytes, or a double.
#[inline(always)]
fn number(window: &[u8; WINDOW], length: usize, name: usize, value: u32) -> Option<Shape> {
    let value_length = (value >> 8 & 0xff) as usize;
    if value & 0xff != 0x12 || length != name + 4 + value_length {
        return None;
    }
    let (kind, first) = (value >> 16 & 0xff, value >> 24);
    let shape = |binary| Some(Shape { length: length + 2, name, text: 0, binary });
    let number = &window[name + 7..name + 16];
    match (kind, value_length) {
        (0x10 | 0x18, 2) if first < 0x80 => shape(None),
        (0x10 | 0x18, 3) if first >= 0x80 && number[1] < 0x80 => shape(Some(name + 7)),
        (0x10 | 0x18, 4..=10) => {
            let (last, others) = number[..value_length - 1].split_last()?;
            let is_varint = *last < 0x80 && others.iter().all(|byte| *byte >= 0x80);
            if is_varint { shape(Some(name + 7)) } else { None }
        }
        (0x21, 9) => shape(Some(name + 7)),
        _ => None,
    }
}

/// The names and texts of attributes that [`run`] has passed.
#[cold]
fn texts<const TAG: u8>(mut run: &[u8]) -> Result<(), Malformed> {
    while !run.is_empty() {
        let shape = match run.first_chunk::<WINDOW>() {
            Some(window) => Shape::read::<TAG>(window),
            None => Shape::read_last::<TAG>(run),
        };
        let shape = shape.expect("it was recognised before");
        check::text(&run[4..4 + shape.name])?;
        check::text(&run[shape.length - shape.text..shape.length])?;
        run = &run[shape.length..];
    }
    Ok(())
}

//! One walk over a request: each key is looked up in the table of its message, and each value becomes its field at
//! once. Never goes deeper than protobuf readers follow, and never lets items fall through an unknown key unsaid.

use super::cursor::{Cursor, Outcome, Quoted, Slips};
use super::fault::{Fault, shortened};
use super::out::{Out, Scalar};
use super::table::{self, Field, Kind, Message, Part, Shape};
use super::{Mode, Repair, Repairs, value};

/// Messages inside each other, the request included: prost's own limit.
const DEPTH_MAX: usize = 100;

/// The one `oneof` of a message, among the bits of what was seen of it.
const CHOICE_BIT: u32 = 1 << 31;

/// Of a number in a packed list, as a varint.
const NUMBER_BYTES_MAX: usize = 10;

/// Keys that are tried before one is read and looked up.
const KEYS_TRIED: usize = 3;

/// What happens at a key that is not OTLP's, outside of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It is passed over, as the specification wants, and remembered.
    PassedOver,
    /// It is why a request holds nothing, and is told as the fault.
    Told,
}

pub(super) struct Walk<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) mode: Mode,
    pub(super) out: Out,
    /// Numbers of a list may take more bytes than their text: with them the result may not grow beyond this.
    pub(super) bytes_max: usize,
    pub(super) repairs: Repairs,
    pub(super) slips: Slips,
    /// Spans, log records or metrics so far.
    pub(super) item_count: u64,
    pub(super) has_unknown: bool,
    unknown: Unknown,
    /// The first key unknown here, with a value that may hold items, in the envelope that is read.
    suspect: Option<Quoted<'a>>,
    depth: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(cursor: Cursor<'a>, mode: Mode, unknown: Unknown, out: Out) -> Walk<'a> {
        let slips = match mode {
            Mode::Strict => Slips::Refused,
            Mode::Lenient => Slips::Taken { half_count: 0 },
        };
        Walk {
            cursor,
            mode,
            out,
            bytes_max: usize::MAX,
            repairs: Repairs::default(),
            slips,
            item_count: 0,
            has_unknown: false,
            unknown,
            suspect: None,
            depth: 0,
        }
    }

    /// The whole request, and nothing behind it.
    pub(super) fn request(&mut self, request: &'static Message) -> Outcome<()> {
        self.message(request)?;
        if self.cursor.peek().is_some() { Err(self.cursor.unexpected("nothing behind the request")) } else { Ok(()) }
    }

    fn message(&mut self, message: &'static Message) -> Outcome<()> {
        self.cursor.expect(b'{', "an object")?;
        if self.depth == DEPTH_MAX {
            return Err(Fault::at(self.cursor.offset() - 1, "messages are nested too deeply"));
        }
        self.depth += 1;
        if !self.cursor.eat(b'}') {
            match message.part {
                Part::Envelope => self.envelope(message)?,
                Part::Item | Part::Piece => self.members(message)?,
            }
        }
        self.depth -= 1;
        self.item_count += u64::from(message.part == Part::Item);
        Ok(())
    }

    /// What leads to items is read; where none came and something unknown may have held some, their sender is told.
    #[inline(never)]
    fn envelope(&mut self, message: &'static Message) -> Outcome<()> {
        let items_before = self.item_count;
        let outer = self.suspect.take();
        self.members(message)?;
        if let Some(key) = std::mem::replace(&mut self.suspect, outer)
            && self.item_count == items_before
        {
            // What was mended in it was counted when it was read.
            let mut counted = self.slips;
            let name = key.decoded(&mut counted)?;
            self.repairs.overlook(|| shortened(&name));
        }
        Ok(())
    }

    fn members(&mut self, message: &'static Message) -> Outcome<()> {
        let mut seen = 0_u32;
        let mut expected = 0;
        loop {
            if let Some(place) = self.key(message, expected)? {
                let field = &message.fields[place];
                let bit = if field.shape == Shape::Choice { CHOICE_BIT } else { 1 << place };
                self.member(field, bit, &mut seen).map_err(|fault| fault.inside(field.json))?;
                expected = place + 1;
            } else {
                self.has_unknown |= message.part == Part::Envelope;
                self.cursor.skip(&mut self.slips)?;
            }
            if !self.cursor.another(b'}')? {
                return Ok(());
            }
        }
    }

    /// The place of the next key in its table. Senders write their keys in one order, with gaps: those behind the
    /// last one are tried first.
    #[inline]
    fn key(&mut self, message: &'static Message, expected: usize) -> Outcome<Option<usize>> {
        for (place, field) in message.fields.iter().enumerate().skip(expected).take(KEYS_TRIED) {
            if self.cursor.eat_key(field.json) {
                return Ok(Some(place));
            }
        }
        self.find(message)
    }

    #[inline(never)]
    fn find(&mut self, message: &'static Message) -> Outcome<Option<usize>> {
        let key = self.cursor.key()?;
        let decoded = key.decoded(&mut self.slips)?;
        let place = message.fields.iter().position(|field| field.json.as_bytes() == &*decoded);
        if place.is_some() { Ok(place) } else { self.find_misspelt(message, &key, &decoded) }
    }

    #[cold]
    fn find_misspelt(&mut self, message: &'static Message, key: &Quoted<'a>, name: &[u8]) -> Outcome<Option<usize>> {
        let snake = message.fields.iter().position(|field| field.snake.as_bytes() == name);
        match (snake, self.mode) {
            (Some(place), Mode::Lenient) => {
                self.repairs.add(Repair::SnakeCase);
                Ok(Some(place))
            }
            (Some(place), Mode::Strict) if message.fields[place].leads_to_items() => {
                let field = &message.fields[place];
                let what = format!("`{}` is spelt `{}` in OTLP/JSON; its items would be lost", field.snake, field.json);
                Err(Fault::at(key.start, what))
            }
            (Some(_) | None, Mode::Strict | Mode::Lenient) => {
                if self.unknown == Unknown::Told && message.part == Part::Envelope {
                    let what = format!("the request holds nothing but keys unknown here: `{}`", shortened(name));
                    return Err(Fault::at(key.start, what));
                }
                if message.part == Part::Envelope && self.suspect.is_none() && self.cursor.clone().eat_beginning() {
                    self.suspect = Some(*key);
                }
                Ok(None)
            }
        }
    }

    fn member(&mut self, field: &'static Field, bit: u32, seen: &mut u32) -> Outcome<()> {
        // `null` stands for absent, whatever the field.
        if self.cursor.peek() == Some(b'n') && self.cursor.eat_word("null") {
            return Ok(());
        }
        let is_again = *seen & bit != 0;
        *seen |= bit;
        if is_again {
            let what = if field.shape == Shape::Choice {
                "this and another of its kind are given, and only one may be"
            } else {
                "the key is given twice"
            };
            self.repair(Repair::RepeatedKey, what)?;
        }
        match field.shape {
            Shape::Many => self.list(field),
            // The last one must win even if it is the default, which is not written otherwise.
            Shape::One if !is_again => self.single(field, Keep::NoDefault),
            Shape::One | Shape::Present | Shape::Choice => self.single(field, Keep::Default),
        }
    }

    fn single(&mut self, field: &'static Field, keep: Keep) -> Outcome<()> {
        match field.kind {
            Kind::Message(message) => self.nested(field.number, message),
            Kind::Text => self.text(field.number, keep),
            Kind::Bytes => self.base64(field.number, keep),
            Kind::TraceId => self.id::<16>(field.number, keep),
            Kind::SpanId => self.id::<8>(field.number, keep),
            Kind::Bool
            | Kind::Int32
            | Kind::Sint32
            | Kind::Uint32
            | Kind::Fixed32
            | Kind::Int64
            | Kind::Sfixed64
            | Kind::Uint64
            | Kind::Fixed64
            | Kind::Double
            | Kind::Enum(_) => {
                if let Some(scalar) = value::scalar(self, field.kind)?
                    && (keep == Keep::Default || !scalar.is_default())
                {
                    self.out.put_scalar(field.number, scalar);
                }
                Ok(())
            }
        }
    }

    fn nested(&mut self, number: u32, message: &'static Message) -> Outcome<()> {
        let open = self.out.open(number, message.length_bytes);
        self.message(message)?;
        self.out.close(open);
        Ok(())
    }

    fn list(&mut self, field: &'static Field) -> Outcome<()> {
        self.cursor.expect(b'[', "a list")?;
        if self.cursor.eat(b']') {
            return Ok(());
        }
        let is_packed = !matches!(field.kind, Kind::Message(_) | Kind::Text);
        let packed = is_packed.then(|| self.out.open(field.number, 1));
        let mut index = 0;
        loop {
            self.element(field).map_err(|fault| fault.inside_element(index))?;
            index += 1;
            if !self.cursor.another(b']')? {
                break;
            }
        }
        if let Some(packed) = packed {
            self.out.close(packed);
        }
        Ok(())
    }

    #[inline]
    fn element(&mut self, field: &'static Field) -> Outcome<()> {
        let is_null = self.cursor.peek() == Some(b'n');
        match field.kind {
            Kind::Message(_) | Kind::Text if is_null => self.null_element(field),
            Kind::Message(message) => self.nested(field.number, message),
            Kind::Text => self.text(field.number, Keep::Default),
            Kind::Bytes
            | Kind::TraceId
            | Kind::SpanId
            | Kind::Bool
            | Kind::Int32
            | Kind::Sint32
            | Kind::Uint32
            | Kind::Fixed32
            | Kind::Int64
            | Kind::Sfixed64
            | Kind::Uint64
            | Kind::Fixed64
            | Kind::Double
            | Kind::Enum(_) => {
                let offset = self.cursor.offset();
                // Numbers of a list have their places: none may be left out.
                let scalar: Scalar = value::scalar(self, field.kind)?
                    .ok_or_else(|| Fault::at(offset, "a number is missing in a list of numbers"))?;
                if self.out.bytes.len() + NUMBER_BYTES_MAX > self.bytes_max {
                    return Err(Fault::outgrown(offset));
                }
                self.out.put_packed(scalar);
                Ok(())
            }
        }
    }

    /// An attribute's value that is `null` keeps its place as an empty value; other elements are left out.
    fn null_element(&mut self, field: &'static Field) -> Outcome<()> {
        self.repair(Repair::NullElement, "a list holds `null`")?;
        if !self.cursor.eat_word("null") {
            return Err(self.cursor.unexpected("an element"));
        }
        if table::is_value(field) {
            let open = self.out.open(field.number, 1);
            self.out.close(open);
        }
        Ok(())
    }

    /// Counts a repair in lenient mode; in strict mode it is a fault.
    pub(super) fn repair(&mut self, repair: Repair, what: &'static str) -> Outcome<()> {
        match self.mode {
            Mode::Lenient => {
                self.repairs.add(repair);
                Ok(())
            }
            Mode::Strict => Err(Fault::at(self.cursor.offset(), what)),
        }
    }
}

/// Whether a default value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Default,
    NoDefault,
}

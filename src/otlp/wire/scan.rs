//! One pass over a request: is it well formed to its last field, and where do its resources lie. Materialises
//! nothing, and keeps a place per resource, never per item.

use std::borrow::Cow;
use std::ops::Range;

use crate::model::Signal;
use crate::otlp::Malformed;

use super::field::Fields;
use super::read::{DELIMITED, DEPTH, delimited, key, skip, varint};
use super::schema::{BLOCK, Message, RESOURCE, SCOPED};
use super::{attributes, check, log, metric, span};

/// Resources of one request that are followed. Each costs memory here and grows when it is enriched, and two bytes
/// are enough to write one; a request of 64 MiB with real resources has fewer.
pub const BLOCK_COUNT_MAX: usize = 65_536;

/// What a request holds. The bytes between the blocks are fields that nobody knows; see [`Scan::gaps`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// In the order of the request; empty for profiles, which are passed on as they are.
    pub blocks: Vec<Block>,
    /// Spans, log records or data points.
    pub item_count: usize,
    /// Items with a trace id that has neither 16 nor 0 bytes, or a span id or parent id with neither 8 nor 0: ids of
    /// their own, of their links or of their exemplars.
    pub invalid_id_count: usize,
}

impl Scan {
    /// What lies before, between and behind the blocks of a request of this length, where there is anything.
    pub fn gaps(&self, length: usize) -> impl Iterator<Item = Range<usize>> {
        let ends = std::iter::once(0).chain(self.blocks.iter().map(|block| block.field.end));
        let starts = self.blocks.iter().map(|block| block.field.start).chain(std::iter::once(length));
        ends.zip(starts).map(|(end, start)| end..start).filter(|gap| !gap.is_empty())
    }
}

/// One `ResourceSpans`, `ResourceLogs` or `ResourceMetrics`; places are offsets into the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// With key and length.
    pub field: Range<usize>,
    pub payload: Range<usize>,
    pub resource: ResourcePlace,
    pub item_count: usize,
    pub invalid_id_count: usize,
    /// A span has an event named `exception`, or a log record an attribute `exception.*`.
    pub has_exceptions: bool,
}

/// Where a block's resource lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourcePlace {
    Absent,
    One {
        /// With key and length.
        field: Range<usize>,
        payload: Range<usize>,
    },
    /// In several `resource` fields, which protobuf merges. Not listed: two bytes are enough to write one.
    Split,
}

impl Block {
    /// The bytes of its Resource message: as they lie, joined where it came in pieces, none where it is absent.
    pub fn resource<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.resource {
            ResourcePlace::Absent => Cow::Borrowed(&[]),
            ResourcePlace::One { payload, .. } => Cow::Borrowed(&body[payload.clone()]),
            ResourcePlace::Split => {
                // Protobuf merges messages by joining their bytes.
                let fields = Fields::new(&body[self.payload.clone()]).flatten();
                let pieces = fields.filter(|field| field.number == 1).filter_map(|field| field.value.bytes());
                Cow::Owned(pieces.collect::<Vec<_>>().concat())
            }
        }
    }
}

/// Is told what is seen on the way. What it heard counts only if the scan ends well.
pub trait Watch {
    /// `block` is the index of the block that holds the span; its resource may stand behind its spans.
    fn span(&mut self, block: usize, span: &SeenSpan<'_>);
}

/// Nobody watches.
impl Watch for () {
    #[inline]
    fn span(&mut self, _block: usize, _span: &SeenSpan<'_>) {}
}

/// A span, as far as it is read. Numbers are as on the wire; of a field that stands twice the last counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenSpan<'a> {
    /// `SpanKind`: 2 is server, 5 is consumer.
    pub kind: i32,
    /// `StatusCode`: 2 is error.
    pub status: i32,
    pub start_unix_nano: u64,
    pub end_unix_nano: u64,
    /// May have any length: see [`SeenSpan::has_valid_ids`].
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub parent_id: &'a [u8],
}

impl SeenSpan<'_> {
    #[inline]
    pub fn has_valid_ids(&self) -> bool {
        matches!(self.trace_id.len(), 0 | 16) && is_span_id(self.span_id) && is_span_id(self.parent_id)
    }
}

/// Whether a link or an exemplar, whose ids are the fields of these numbers, has ids of a wrong length.
#[inline(never)]
pub(super) fn has_odd_ids(
    message: &'static Message,
    [trace, span]: [u32; 2],
    mut tail: &[u8],
    depth: u32,
) -> Result<bool, Malformed> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    while !tail.is_empty() {
        match key(&mut tail)? {
            (number, DELIMITED) if number == trace => trace_id = delimited(&mut tail)?,
            (number, DELIMITED) if number == span => span_id = delimited(&mut tail)?,
            (number, wire_type) => check::value(message.kind(number), number, wire_type, &mut tail, depth)?,
        }
    }
    Ok(!(matches!(trace_id.len(), 0 | 16) && is_span_id(span_id)))
}

#[inline]
pub(super) fn is_span_id(id: &[u8]) -> bool {
    matches!(id.len(), 0 | 8)
}

/// Reads a request once. Refuses what prost refuses, and more than [`BLOCK_COUNT_MAX`] resources. Of profiles only
/// the outermost fields are looked at.
pub fn scan(signal: Signal, body: &[u8], watch: &mut impl Watch) -> Result<Scan, Malformed> {
    let mut scan = Scan::default();
    let mut tail = body;
    while !tail.is_empty() {
        let start = body.len() - tail.len();
        let (number, wire_type) = key(&mut tail)?;
        match (number, signal) {
            (1, Signal::Traces | Signal::Logs | Signal::Metrics) => {
                let payload = message(&mut tail, wire_type)?;
                if scan.blocks.len() == BLOCK_COUNT_MAX {
                    return Err(Malformed::TooManyResources);
                }
                let end = body.len() - tail.len();
                let mut walk = Walk { signal, watch, index: scan.blocks.len(), tally: Tally::default() };
                let resource = walk.block(body, end - payload.len()..end)?;
                let Tally { item_count, invalid_id_count, has_exceptions, .. } = walk.tally;
                scan.item_count += item_count;
                scan.invalid_id_count += invalid_id_count;
                let payload = end - payload.len()..end;
                scan.blocks.push(Block {
                    field: start..end,
                    payload,
                    resource,
                    item_count,
                    invalid_id_count,
                    has_exceptions,
                });
            }
            (1 | 2, Signal::Profiles) => drop(message(&mut tail, wire_type)?),
            _ => skip(&mut tail, number, wire_type, DEPTH)?,
        }
    }
    Ok(scan)
}

/// What was counted in one block.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) item_count: usize,
    pub(super) invalid_id_count: usize,
    pub(super) has_exceptions: bool,
    /// Whether a link of the span at hand has ids of a wrong length.
    pub(super) has_odd_link: bool,
}

/// One block on its way.
pub(super) struct Walk<'w, W> {
    signal: Signal,
    pub(super) watch: &'w mut W,
    pub(super) index: usize,
    pub(super) tally: Tally,
}

impl<W: Watch> Walk<'_, W> {
    fn block(&mut self, body: &[u8], at: Range<usize>) -> Result<ResourcePlace, Malformed> {
        let depth = DEPTH - 1;
        let mut resource = ResourcePlace::Absent;
        let mut tail = &body[at.clone()];
        while !tail.is_empty() {
            let start = at.end - tail.len();
            let (number, wire_type) = key(&mut tail)?;
            match number {
                1 => {
                    let payload = message(&mut tail, wire_type)?;
                    attributes::message::<0x0a>(&RESOURCE, payload, depth - 1)?;
                    let end = at.end - tail.len();
                    resource = match resource {
                        ResourcePlace::Absent => {
                            ResourcePlace::One { field: start..end, payload: end - payload.len()..end }
                        }
                        ResourcePlace::One { .. } | ResourcePlace::Split => ResourcePlace::Split,
                    };
                }
                2 => {
                    let payload = message(&mut tail, wire_type)?;
                    let start = at.end - tail.len() - payload.len();
                    self.scope(&body[start..], body.len() - start - payload.len())?;
                }
                _ => check::value(BLOCK.kind(number), number, wire_type, &mut tail, depth)?,
            }
        }
        Ok(resource)
    }

    /// The scope is at the start of `tail` and ends where `beyond` bytes are left.
    fn scope(&mut self, tail: &[u8], beyond: usize) -> Result<(), Malformed> {
        let depth = DEPTH - 3;
        match self.signal {
            Signal::Traces => self.items(tail, beyond, |walk, from, after| span::walk(from, after, depth, walk)),
            Signal::Logs => {
                self.items(tail, beyond, |walk, from, after| log::walk(from, after, depth, &mut walk.tally))
            }
            Signal::Metrics => self.items(tail, beyond, |walk, from, after| {
                let found = metric::walk(&from[..from.len() - after], depth)?;
                walk.tally.item_count += found.count;
                walk.tally.invalid_id_count += found.invalid_id_count;
                Ok(())
            }),
            Signal::Profiles => unreachable!("profiles have no blocks"),
        }
    }

    /// Each item is given to `item`, with all that follows it and how much that is.
    #[inline(always)]
    fn items(
        &mut self,
        mut tail: &[u8],
        beyond: usize,
        mut item: impl FnMut(&mut Self, &[u8], usize) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        while tail.len() > beyond {
            // As most are, with a length of two bytes; where even these reach out of the scope, the item does.
            let length;
            if let Some(head) = tail.first_chunk().map(|head| u32::from_le_bytes(*head))
                && head & 0x0080_80ff == 0x0000_8012
            {
                length = (head >> 8 & 0x7f | head >> 9 & 0x3f80) as usize;
                tail = &tail[3..];
            } else {
                let mut inside = &tail[..tail.len() - beyond];
                let found = item_or_other(&mut inside)?;
                tail = &tail[tail.len() - beyond - inside.len()..];
                let Some(found) = found else { continue };
                length = found;
            }
            let after = match tail.len().checked_sub(length) {
                Some(after) if after >= beyond => after,
                _ => return Err(Malformed::Truncated),
            };
            item(self, tail, after)?;
            tail = &tail[length..];
        }
        Ok(())
    }
}

/// Passes the key and length of an item and gives the length, or passes any other field.
#[inline(never)]
fn item_or_other(tail: &mut &[u8]) -> Result<Option<usize>, Malformed> {
    match key(tail)? {
        (2, DELIMITED) => {
            let length = usize::try_from(varint(tail)?).map_err(|_| Malformed::Truncated)?;
            Ok(Some(length))
        }
        (2, wire_type) => Err(check::wrong(wire_type)),
        (number, wire_type) => {
            check::value(SCOPED.kind(number), number, wire_type, tail, DEPTH - 2)?;
            Ok(None)
        }
    }
}

#[inline]
fn message<'a>(tail: &mut &'a [u8], wire_type: u8) -> Result<&'a [u8], Malformed> {
    if wire_type == DELIMITED { delimited(tail) } else { Err(check::wrong(wire_type)) }
}

//! What a lenient reading mended, counted by kind, and what a reading passed over. Holds no more of the input than one
//! shortened key.

use std::fmt;

/// What was not OTLP/JSON and was understood all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// `trace_id` for `traceId`.
    SnakeCase,
    /// `"SPAN_KIND_SERVER"` or `"2"` for 2.
    EnumText,
    /// An id in base64 for hex, as protobuf's own JSON writers have it.
    Base64Id,
    /// The letters of a hex id as if they were its bytes.
    HexTextId,
    /// `NaN`, `Infinity` or `-Infinity` without quotes.
    BareNonFinite,
    /// `"true"` for `true`.
    BoolText,
    /// `""` where a number is expected.
    EmptyNumber,
    /// `null` inside a list.
    NullElement,
    /// A key given twice, or two members of a choice: merged as protobuf merges fields, so the last text or number
    /// wins and lists are joined.
    RepeatedKey,
    /// Half of a surrogate pair, where a text was cut in the middle of an emoji: U+FFFD stands in its place.
    HalfPair,
    /// `[1,2]`, `{"0":1,"1":2}` or a printed `Buffer` where base64 is expected.
    NumberBytes,
}

impl Repair {
    pub const ALL: [Repair; 11] = [
        Repair::SnakeCase,
        Repair::EnumText,
        Repair::Base64Id,
        Repair::HexTextId,
        Repair::BareNonFinite,
        Repair::BoolText,
        Repair::EmptyNumber,
        Repair::NullElement,
        Repair::RepeatedKey,
        Repair::HalfPair,
        Repair::NumberBytes,
    ];

    /// As answers and metrics call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Repair::SnakeCase => "snake_case key",
            Repair::EnumText => "enum as text",
            Repair::Base64Id => "base64 id",
            Repair::HexTextId => "hex text id",
            Repair::BareNonFinite => "unquoted NaN or Infinity",
            Repair::BoolText => "boolean as text",
            Repair::EmptyNumber => "empty text for a number",
            Repair::NullElement => "null in a list",
            Repair::RepeatedKey => "repeated key",
            Repair::HalfPair => "half of a surrogate pair",
            Repair::NumberBytes => "bytes as numbers",
        }
    }
}

/// How many of each, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    counts: [u64; Repair::ALL.len()],
    overlooked: Option<Overlooked>,
}

/// Parts of a request that hold no items and something under a key that is unknown here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlooked {
    part_count: u64,
    /// The first such key, shortened.
    key: String,
}

impl Repairs {
    pub fn count(&self, repair: Repair) -> u64 {
        self.counts[repair as usize]
    }

    /// What may have been lost, though nothing was wrong with the request.
    pub fn overlooked(&self) -> Option<&Overlooked> {
        self.overlooked.as_ref()
    }

    pub(super) fn overlook(&mut self, key: impl FnOnce() -> String) {
        self.overlooked.get_or_insert_with(|| Overlooked { part_count: 0, key: key() }).part_count += 1;
    }

    /// Whether nothing was mended.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The kinds that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Repair, u64)> + '_ {
        Repair::ALL.into_iter().map(|repair| (repair, self.count(repair))).filter(|(_, count)| *count > 0)
    }

    pub(super) fn add(&mut self, repair: Repair) {
        self.add_several(repair, 1);
    }

    pub(super) fn add_several(&mut self, repair: Repair, count: u64) {
        self.counts[repair as usize] += count;
    }
}

/// `2 x snake_case key, 1 x base64 id`; empty when there were none.
impl fmt::Display for Repairs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (repair, count)) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(formatter, "{comma}{count} x {}", repair.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Display for Overlooked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Overlooked { part_count, key } = self;
        let hold = if *part_count == 1 { "part holds" } else { "parts hold" };
        write!(formatter, "{part_count} {hold} no items but something under an unknown key, passed over: `{key}`")
    }
}

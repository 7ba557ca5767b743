//! What a lenient reading mended, counted by kind. Holds no text of the input.

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
}

impl Repair {
    pub const ALL: [Repair; 9] = [
        Repair::SnakeCase,
        Repair::EnumText,
        Repair::Base64Id,
        Repair::HexTextId,
        Repair::BareNonFinite,
        Repair::BoolText,
        Repair::EmptyNumber,
        Repair::NullElement,
        Repair::RepeatedKey,
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
        }
    }
}

/// How many of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repairs([u64; Repair::ALL.len()]);

impl Repairs {
    pub fn count(&self, repair: Repair) -> u64 {
        self.0[repair as usize]
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }

    /// The kinds that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Repair, u64)> + '_ {
        Repair::ALL.into_iter().map(|repair| (repair, self.count(repair))).filter(|(_, count)| *count > 0)
    }

    pub(super) fn add(&mut self, repair: Repair) {
        self.0[repair as usize] += 1;
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

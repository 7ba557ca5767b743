//! Official messages made of a string of random bytes. Fewer bytes make a smaller request, so that what proptest
//! shrinks stays readable.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

pub(super) struct Dice<'a>(pub(super) &'a [u8]);

impl Dice<'_> {
    pub(super) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// One in `odds`; never when the dice are used up.
    pub(super) fn hits(&mut self, odds: usize) -> bool {
        self.below(odds) == odds - 1
    }

    /// Small, middling, huge and negative ones.
    pub(super) fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::from(self.byte()),
            2 => u64::from(self.byte()) << 8 | 7,
            3 => u64::MAX - u64::from(self.byte()),
            4 => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
            _ => 1 << self.below(64),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    pub(super) fn small(&mut self) -> u32 {
        self.number() as u32
    }

    pub(super) fn double(&mut self) -> f64 {
        match self.below(5) {
            0 => 0.0,
            1 => f64::from(self.byte()) / 4.0,
            2 => f64::NAN,
            3 => f64::from_bits(self.number()),
            _ => -1e22,
        }
    }

    pub(super) fn text(&mut self) -> String {
        const TEXTS: [&str; 12] = [
            "",
            "a",
            "GET",
            "service.name",
            "k",
            "http.request.method",
            "exception",
            "exception.type",
            "Zürich",
            "日本語のテキスト",
            "/api/v1/owls/🦉/feathers",
            "tawny.owner",
        ];
        let text = TEXTS[self.below(TEXTS.len())];
        match self.below(8) {
            7 => text.repeat(self.below(40)),
            6 => format!("{text}{}", "-".repeat(self.below(130))),
            _ => text.to_owned(),
        }
    }

    pub(super) fn bytes(&mut self, usual: usize) -> Vec<u8> {
        let length = match self.below(6) {
            0 => 0,
            1 => self.below(20),
            _ => usual,
        };
        (0..length).map(|_| self.byte()).collect()
    }

    pub(super) fn list<T>(&mut self, limit: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(limit)).map(|_| make(self)).collect()
    }

    pub(super) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(4) != 0).then(|| make(self))
    }

    pub(super) fn any_value(&mut self, depth: usize) -> AnyValue {
        let value = match self.below(if depth == 0 { 9 } else { 11 }) {
            0..=2 => Value::StringValue(self.text()),
            3 => Value::BoolValue(self.hits(2)),
            4 => Value::IntValue(self.number().cast_signed()),
            5 => Value::DoubleValue(self.double()),
            6 => Value::BytesValue(self.bytes(5)),
            7 => Value::StringValueStrindex(self.small().cast_signed()),
            8 => return AnyValue { value: None },
            9 => Value::ArrayValue(ArrayValue { values: self.list(4, |dice| dice.any_value(depth - 1)) }),
            _ => Value::KvlistValue(KeyValueList { values: self.list(3, |dice| dice.key_value(depth - 1)) }),
        };
        AnyValue { value: Some(value) }
    }

    fn key_value(&mut self, depth: usize) -> KeyValue {
        let key_strindex = if self.hits(16) { self.small().cast_signed() } else { 0 };
        KeyValue { key: self.text(), value: self.maybe(|dice| dice.any_value(depth)), key_strindex }
    }

    pub(super) fn attributes(&mut self) -> Vec<KeyValue> {
        self.list(7, |dice| dice.key_value(3))
    }

    pub(super) fn resource(&mut self) -> Option<Resource> {
        self.maybe(|dice| Resource {
            attributes: dice.attributes(),
            dropped_attributes_count: dice.small(),
            entity_refs: dice.list(3, |dice| EntityRef {
                schema_url: dice.text(),
                r#type: dice.text(),
                id_keys: dice.list(3, Dice::text),
                description_keys: dice.list(3, Dice::text),
            }),
        })
    }

    pub(super) fn scope(&mut self) -> Option<InstrumentationScope> {
        self.maybe(|dice| InstrumentationScope {
            name: dice.text(),
            version: dice.text(),
            attributes: dice.attributes(),
            dropped_attributes_count: dice.small(),
        })
    }
}

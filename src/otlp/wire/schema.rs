//! The messages of OTLP 1.11 (opentelemetry-proto, `opentelemetry/proto/*/v1/*.proto`) as tables of what each field
//! number holds. Says nothing of meaning, only what bytes are well formed.

use Kind::{Bytes, Fixed32, Fixed64, Fixed64s, Nested, Text, Varint, Varints};

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `bool`, `int32`, `int64`, `uint32`, `sint32` and enumerations.
    Varint,
    /// `fixed64`, `sfixed64` and `double`.
    Fixed64,
    Fixed32,
    Text,
    Bytes,
    /// Repeated numbers, packed or not.
    Varints,
    Fixed64s,
    Nested(&'static Message),
}

/// By field number; the place of number 0 and of retired numbers is empty.
pub(super) struct Message(&'static [Option<Kind>]);

impl Message {
    #[inline]
    pub(super) fn kind(&self, number: u32) -> Option<Kind> {
        self.0.get(number as usize).copied().flatten()
    }
}

const V: Option<Kind> = Some(Varint);
const F: Option<Kind> = Some(Fixed64);
const T: Option<Kind> = Some(Text);
const B: Option<Kind> = Some(Bytes);

const fn nested(message: &'static Message) -> Option<Kind> {
    Some(Nested(message))
}

pub(super) static ANY_VALUE: Message =
    Message(&[None, T, V, V, F, nested(&ARRAY_VALUE), nested(&KEY_VALUE_LIST), B, V]);
static ARRAY_VALUE: Message = Message(&[None, nested(&ANY_VALUE)]);
static KEY_VALUE_LIST: Message = Message(&[None, nested(&KEY_VALUE)]);
pub(super) static KEY_VALUE: Message = Message(&[None, T, nested(&ANY_VALUE), V]);

static SCOPE: Message = Message(&[None, T, T, nested(&KEY_VALUE), V]);
static ENTITY_REF: Message = Message(&[None, T, T, T, T]);
pub(super) static RESOURCE: Message = Message(&[None, nested(&KEY_VALUE), V, nested(&ENTITY_REF)]);

/// `ResourceSpans`, `ResourceLogs` and `ResourceMetrics`, without what the scan walks itself.
pub(super) static BLOCK: Message = Message(&[None, None, None, T]);
/// `ScopeSpans`, `ScopeLogs` and `ScopeMetrics`, without the items.
pub(super) static SCOPED: Message = Message(&[None, nested(&SCOPE), None, T]);

pub(super) static SPAN: Message = Message(&[
    None,
    B,
    B,
    T,
    B,
    T,
    V,
    F,
    F,
    nested(&KEY_VALUE),
    V,
    nested(&EVENT),
    V,
    nested(&LINK),
    V,
    nested(&STATUS),
    Some(Fixed32),
]);
pub(super) static EVENT: Message = Message(&[None, F, T, nested(&KEY_VALUE), V]);
pub(super) static LINK: Message = Message(&[None, B, B, T, nested(&KEY_VALUE), V, Some(Fixed32)]);
pub(super) static STATUS: Message = Message(&[None, None, T, V]);

pub(super) static LOG_RECORD: Message =
    Message(&[None, F, V, T, None, nested(&ANY_VALUE), nested(&KEY_VALUE), V, Some(Fixed32), B, B, F, T]);

/// Without the kinds of data, which are walked to count their points.
pub(super) static METRIC: Message =
    Message(&[None, T, T, T, None, None, None, None, None, None, None, None, nested(&KEY_VALUE)]);
/// `Gauge`, `Sum`, `Histogram`, `ExponentialHistogram` and `Summary`, without their points.
pub(super) static GAUGE: Message = Message(&[]);
pub(super) static SUM: Message = Message(&[None, None, V, V]);
pub(super) static HISTOGRAM: Message = Message(&[None, None, V]);

pub(super) static EXEMPLAR: Message = Message(&[None, None, F, F, B, B, F, nested(&KEY_VALUE)]);
pub(super) static NUMBER_POINT: Message = Message(&[None, None, F, F, F, nested(&EXEMPLAR), F, nested(&KEY_VALUE), V]);
pub(super) static HISTOGRAM_POINT: Message =
    Message(&[None, None, F, F, F, F, Some(Fixed64s), Some(Fixed64s), nested(&EXEMPLAR), nested(&KEY_VALUE), V, F, F]);
pub(super) static EXPONENTIAL_POINT: Message = Message(&[
    None,
    nested(&KEY_VALUE),
    F,
    F,
    F,
    F,
    V,
    F,
    nested(&BUCKETS),
    nested(&BUCKETS),
    V,
    nested(&EXEMPLAR),
    F,
    F,
    F,
]);
static BUCKETS: Message = Message(&[None, V, Some(Varints)]);
pub(super) static SUMMARY_POINT: Message = Message(&[None, None, F, F, F, F, nested(&QUANTILE), nested(&KEY_VALUE), V]);
static QUANTILE: Message = Message(&[None, F, F]);

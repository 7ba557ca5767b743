//! What a function says of itself on its own spans: AWS Lambda learns its ARN only with the first request, so the
//! convention lets it stand on the span of kind `SERVER`. Never reads what a span says of others.

use crate::model::Labels;
use crate::rules::{SERVER_SPAN_KEYS, SpanKind};

use super::exceptions::attributes::{clip, fields, messages, name_and_value, text_of};
use super::wire::Value;

/// Spans of a block that are looked at: a function flushes after each request, so its own span is among the first.
const SPAN_COUNT_MAX: usize = 64;
/// An ARN of a function has some 100 bytes.
const VALUE_BYTES_MAX: usize = 256;

/// The first span of kind `SERVER` that says what it runs in, in a `ResourceSpans` that a scan has accepted.
pub fn on_server_span(block: &[u8]) -> Option<Labels<'static>> {
    let spans = messages(block, 2).flat_map(|scope| messages(scope, 2));
    spans.take(SPAN_COUNT_MAX).filter(|span| kind_of(span) == SpanKind::Server).find_map(said)
}

/// Of a field that stands twice the last counts.
fn kind_of(span: &[u8]) -> SpanKind {
    let kinds = fields(span).filter_map(|field| match (field.number, field.value) {
        (6, Value::Varint(kind)) => Some(kind),
        _ => None,
    });
    SpanKind::of_number(kinds.last().unwrap_or_default())
}

fn said(span: &[u8]) -> Option<Labels<'static>> {
    let mut said = Labels::new();
    for pair in messages(span, 9) {
        let (name, value) = name_and_value(pair);
        if let (Some(name), Some(value)) = (SERVER_SPAN_KEYS.iter().find(|known| **known == name), value) {
            said.set(*name, clip(&text_of(value, 0), VALUE_BYTES_MAX).to_owned());
        }
    }
    (!said.is_empty()).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::wire::put_bytes;

    fn span(kind: u8, attributes: &[(&str, &str)]) -> Vec<u8> {
        let mut span = vec![0x30, kind];
        for (name, value) in attributes {
            let (mut any, mut pair) = (Vec::new(), Vec::new());
            put_bytes(&mut any, 1, value.as_bytes());
            put_bytes(&mut pair, 1, name.as_bytes());
            put_bytes(&mut pair, 2, &any);
            put_bytes(&mut span, 9, &pair);
        }
        span
    }

    fn block(spans: &[Vec<u8>]) -> Vec<u8> {
        let (mut scope, mut block) = (Vec::new(), Vec::new());
        spans.iter().for_each(|span| put_bytes(&mut scope, 2, span));
        put_bytes(&mut block, 2, &scope);
        block
    }

    const ARN: &str = "arn:aws:lambda:us-east-1:111111111111:function:owl";

    #[test]
    fn only_a_server_span_speaks_and_only_of_itself() {
        let own = ("cloud.resource_id", ARN);
        let peer = ("aws.lambda.invoked_arn", ARN);
        for (spans, said) in [
            (vec![span(2, &[own, peer, ("faas.name", "owl"), ("faas.invocation_id", "7")])], Some(2)),
            (vec![span(3, &[own]), span(1, &[]), span(2, &[peer]), span(2, &[own])], Some(1)),
            (vec![span(1, &[own]), span(3, &[own]), span(4, &[own]), span(5, &[own]), span(0, &[own])], None),
            (vec![span(2, &[peer, ("cloud.platform", "aws_ecs"), ("faas.invoked_name", "other")])], None),
            (vec![span(2, &[("cloud.resource_id", "")])], None),
            (Vec::new(), None),
        ] {
            let found = on_server_span(&block(&spans));
            assert_eq!(found.as_ref().map(|found| found.iter().count()), said, "{found:?}");
        }
    }

    #[test]
    fn a_long_block_is_not_searched_to_its_end() {
        let mut spans = vec![span(2, &[]); SPAN_COUNT_MAX];
        spans.push(span(2, &[("cloud.resource_id", ARN)]));
        assert_eq!(on_server_span(&block(&spans)), None);
        assert!(on_server_span(&block(&spans[1..])).is_some());
    }
}

//! What senders write, row by row (`{}`, nanos as numbers, `null`, names of enums, …): what strict mode makes of it,
//! and what lenient mode does.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::{JsonFault, Mode, Read, Repair, to_protobuf};
use crate::model::Signal;

const BOTH: [Mode; 2] = [Mode::Strict, Mode::Lenient];

fn with_members(members: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{members}}}]}}]}}]}}"#)
}

fn traces(text: &str, mode: Mode) -> Result<Read, JsonFault> {
    to_protobuf(Signal::Traces, text.as_bytes(), mode)
}

fn decoded<M: Message + Default>(read: &Read) -> M {
    M::decode(read.protobuf.as_slice()).unwrap()
}

fn first_span(read: &Read) -> Span {
    decoded::<ExportTraceServiceRequest>(read).resource_spans[0].scope_spans[0].spans[0].clone()
}

/// The only span, read without repairs.
fn legal_span(members: &str, mode: Mode) -> Span {
    let read = traces(&with_members(members), mode).unwrap();
    assert!(read.repairs.is_empty(), "{members}");
    first_span(&read)
}

/// Strict mode refuses, with these words; lenient mode mends once and says so.
fn mended_span(members: &str, why_not: &str, repair: Repair) -> Span {
    refused_span(members, Mode::Strict, why_not);
    let read = traces(&with_members(members), Mode::Lenient).unwrap();
    assert_eq!(read.repairs.iter().collect::<Vec<_>>(), [(repair, 1)], "{members}");
    first_span(&read)
}

fn refused_span(members: &str, mode: Mode, why: &str) {
    let fault = traces(&with_members(members), mode).unwrap_err();
    assert!(fault.to_string().contains(why), "{fault}");
    assert!(fault.path.starts_with("resourceSpans[0].scopeSpans[0].spans[0]"), "{fault}");
}

fn value(json: &str, mode: Mode) -> Option<Value> {
    let span = legal_span(&format!(r#""attributes":[{{"key":"a","value":{json}}}]"#), mode);
    span.attributes[0].value.clone().unwrap().value
}

#[test]
fn an_empty_object_is_an_empty_request() {
    for mode in BOTH {
        for text in ["{}", " {\n} ", r#"{"resourceSpans":[]}"#, r#"{"resourceSpans":null}"#, "\u{feff}{}"] {
            assert_eq!(traces(text, mode).unwrap().protobuf, b"", "{text}");
        }
    }
}

#[test]
fn nanos_and_other_64_bit_integers_are_numbers_or_texts() {
    for mode in BOTH {
        for nanos in
            ["1700000000000000001", r#""1700000000000000001""#, "1700000000000000001.0", "1700000000000000001e0"]
        {
            let span = legal_span(&format!(r#""startTimeUnixNano":{nanos}"#), mode);
            assert_eq!(span.start_time_unix_nano, 1_700_000_000_000_000_001);
        }
        assert_eq!(legal_span(r#""endTimeUnixNano":1.7e18"#, mode).end_time_unix_nano, 1_700_000_000_000_000_000);
        assert_eq!(value(r#"{"intValue":"-9223372036854775808"}"#, mode), Some(Value::IntValue(i64::MIN)));
        assert_eq!(value(r#"{"intValue":-7}"#, mode), Some(Value::IntValue(-7)));
    }
}

#[test]
fn small_integers_may_be_texts_too_and_keep_their_range() {
    for mode in BOTH {
        assert_eq!(legal_span(r#""droppedEventsCount":"4294967295""#, mode).dropped_events_count, u32::MAX);
        refused_span(r#""droppedEventsCount":4294967296"#, mode, "out of range");
        refused_span(r#""flags":-1"#, mode, "out of range");
        refused_span(r#""droppedLinksCount":1.5"#, mode, "fraction");
        refused_span(r#""droppedLinksCount":"1x""#, mode, "`1x` is no number");
    }
}

#[test]
fn doubles_that_json_lacks_are_texts() {
    for mode in BOTH {
        assert_eq!(value(r#"{"doubleValue":"Infinity"}"#, mode), Some(Value::DoubleValue(f64::INFINITY)));
        assert_eq!(value(r#"{"doubleValue":"-Infinity"}"#, mode), Some(Value::DoubleValue(f64::NEG_INFINITY)));
        assert_eq!(value(r#"{"doubleValue":"0.5"}"#, mode), Some(Value::DoubleValue(0.5)));
        assert!(matches!(value(r#"{"doubleValue":"NaN"}"#, mode), Some(Value::DoubleValue(nan)) if nan.is_nan()));
        refused_span(r#""attributes":[{"value":{"doubleValue":"inf"}}]"#, mode, "`inf` is no number");
    }
}

#[test]
fn doubles_that_json_lacks_without_quotes_are_mended() {
    for (bare, expected) in [("-Infinity", f64::NEG_INFINITY), ("Infinity", f64::INFINITY)] {
        let members = format!(r#""attributes":[{{"key":"a","value":{{"doubleValue":{bare}}}}}]"#);
        let span = mended_span(&members, "expected a number", Repair::BareNonFinite);
        assert_eq!(span.attributes[0].value.as_ref().unwrap().value, Some(Value::DoubleValue(expected)));
    }
    let read = traces(&with_members(r#""x":[NaN,{"y":NaN}],"name":"a""#), Mode::Lenient).unwrap();
    assert_eq!(first_span(&read).name, "a");
}

#[test]
fn null_is_absent_for_any_field() {
    for mode in BOTH {
        let members =
            r#""attributes":null,"status":null,"name":null,"kind":null,"traceId":null,"startTimeUnixNano":null"#;
        assert_eq!(legal_span(members, mode), Span::default());
        assert_eq!(value(r#"{"stringValue":null,"intValue":"5"}"#, mode), Some(Value::IntValue(5)));
    }
}

#[test]
fn null_in_a_list_is_left_out_and_counted() {
    let span = mended_span(r#""attributes":[null,{"key":"a"}]"#, "a list holds `null`", Repair::NullElement);
    assert_eq!(span.attributes.len(), 1);
    // A value keeps its place among the others.
    let members =
        r#""attributes":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":1},null,{"intValue":2}]}}}]"#;
    let span = mended_span(members, "a list holds `null`", Repair::NullElement);
    let Some(Value::ArrayValue(list)) = &span.attributes[0].value.as_ref().unwrap().value else { panic!() };
    assert_eq!((list.values.len(), &list.values[1]), (3, &AnyValue { value: None }));
    // Counts of buckets have places, and what `null` would count is not known.
    let buckets = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"bucketCounts":[1,null]}]}}]}]}]}"#;
    for mode in BOTH {
        let fault = to_protobuf(Signal::Metrics, buckets.as_bytes(), mode).unwrap_err();
        assert!(fault.path.ends_with("dataPoints[0].bucketCounts[1]"), "{fault}");
    }
}

#[test]
fn empty_values_arrays_and_maps_are_legal() {
    for mode in BOTH {
        assert_eq!(value("{}", mode), None);
        assert_eq!(value(r#"{"arrayValue":{}}"#, mode), Some(Value::ArrayValue(ArrayValue::default())));
        assert_eq!(value(r#"{"kvlistValue":{}}"#, mode), Some(Value::KvlistValue(KeyValueList::default())));
        assert_eq!(value(r#"{"stringValue":""}"#, mode), Some(Value::StringValue(String::new())));
        assert_eq!(value(r#"{"boolValue":false}"#, mode), Some(Value::BoolValue(false)));
        assert_eq!(value(r#"{"intValue":0}"#, mode), Some(Value::IntValue(0)));
    }
}

#[test]
fn bytes_are_base64_in_either_alphabet_with_or_without_padding() {
    for mode in BOTH {
        for text in ["+/8=", "-_8=", "+/8", "-_8"] {
            let json = format!(r#"{{"bytesValue":"{text}"}}"#);
            assert_eq!(value(&json, mode), Some(Value::BytesValue(vec![0xfb, 0xff])), "{text}");
        }
        refused_span(r#""attributes":[{"value":{"bytesValue":"*"}}]"#, mode, "not in base64");
    }
}

#[test]
fn an_enum_by_name_is_mended_and_by_number_is_legal() {
    for mode in BOTH {
        assert_eq!((legal_span(r#""kind":2"#, mode).kind, legal_span(r#""kind":77"#, mode).kind), (2, 77));
    }
    assert_eq!(mended_span(r#""kind":"SPAN_KIND_SERVER""#, "no names of enums", Repair::EnumText).kind, 2);
    assert_eq!(mended_span(r#""kind":"3""#, "no names of enums", Repair::EnumText).kind, 3);
    let span = mended_span(r#""status":{"code":"STATUS_CODE_ERROR"}"#, "no names of enums", Repair::EnumText);
    assert_eq!(span.status.unwrap().code, 2);
    refused_span(r#""kind":"SPAN_KIND_OWL""#, Mode::Lenient, "`SPAN_KIND_OWL` is not a name of this enum");
    let log = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"SEVERITY_NUMBER_FATAL4"}]}]}]}"#;
    let read = to_protobuf(Signal::Logs, log.as_bytes(), Mode::Lenient).unwrap();
    let record = &decoded::<ExportLogsServiceRequest>(&read).resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(record.severity_number, 24);
}

#[test]
fn snake_case_keys_are_mended_and_never_an_empty_request() {
    let text = r#"{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"000102030405060708090a0b0c0d0e0f"}]}]}]}"#;
    let fault = traces(text, Mode::Strict).unwrap_err();
    assert!(fault.what.contains("`resource_spans` is spelt `resourceSpans`"), "{fault}");
    let read = traces(text, Mode::Lenient).unwrap();
    assert_eq!(read.repairs.to_string(), "3 x snake_case key");
    assert_eq!(first_span(&read).trace_id, (0..16).collect::<Vec<u8>>());
    // Items of one block are not lost behind those of another.
    let half = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]},{"scope_spans":[{"spans":[{}]}]}]}"#;
    assert_eq!(traces(half, Mode::Strict).unwrap_err().path, "resourceSpans[1]");
    // Elsewhere an unknown key is ignored, as the specification has it.
    assert_eq!(legal_span(r#""trace_state":"x","name":"a""#, Mode::Strict).trace_state, "");
}

#[test]
fn a_request_of_unknown_keys_only_is_refused_in_both_modes() {
    for mode in BOTH {
        for (text, key, path) in [
            (r#"{"resourceLogs":[{}]}"#, "resourceLogs", ""),
            (
                r#"{"resourceSpans":[{"resource":{},"instrumentationLibrarySpans":[{}]}]}"#,
                "instrumentationL",
                "resourceSpans[0]",
            ),
        ] {
            let fault = traces(text, mode).unwrap_err();
            assert!(fault.what.contains(key) && fault.path == path, "{fault}");
        }
        // Beside items, and inside them, such keys are ignored.
        let text =
            r#"{"new":{"a":[1,"\u00e9",true]},"resourceSpans":[{"scopeSpans":[{"spans":[{"owl":{},"name":"a"}]}]}]}"#;
        assert_eq!(first_span(&traces(text, mode).unwrap()).name, "a");
    }
}

#[test]
fn half_of_a_surrogate_pair_is_replaced_wherever_it_stands() {
    for (written, read) in [
        (r"ok \ud83d", "ok \u{fffd}"),
        (r"\ude00 x", "\u{fffd} x"),
        (r"\ud83d\u0041", "\u{fffd}A"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\ud83d\n", "\u{fffd}\n"),
    ] {
        let span = mended_span(&format!(r#""name":"{written}""#), "half of a surrogate pair", Repair::HalfPair);
        assert_eq!(span.name, read);
    }
    for unknown in [r#""\ude00":1"#, r#""owl":"\ud83d""#, r#""owl":[{"\ud83d":true}]"#] {
        let span = mended_span(&format!(r#"{unknown},"name":"a""#), "half of a surrogate pair", Repair::HalfPair);
        assert_eq!(span.name, "a");
    }
    let read = traces(&with_members(r#""name":"\ud83d\ud83d","owl":"\ud83d""#), Mode::Lenient).unwrap();
    assert_eq!(read.repairs.to_string(), "3 x half of a surrogate pair");
    let text = r#"{"resourceSpans":[{"\ud800x":[1]},{"scopeSpans":[{"spans":[{"name":"a"}]}]}]}"#;
    let read = traces(text, Mode::Lenient).unwrap();
    assert!(read.repairs.overlooked().is_some());
    assert_eq!(read.repairs.count(Repair::HalfPair), 1, "a key that is told is decoded once more");
    for mode in BOTH {
        assert_eq!(legal_span(r#""name":"\ud83d\ude00""#, mode).name, "\u{1f600}");
    }
}

#[test]
fn bytes_as_javascript_prints_them_are_mended() {
    for written in
        ["[1,2,255]", r#"{"0":1,"1":2,"2":255}"#, r#"{"type":"Buffer","data":[1,2,255]}"#, "[ 1 , 2.0 , 255 ]"]
    {
        let members = format!(r#""attributes":[{{"key":"a","value":{{"bytesValue":{written}}}}}]"#);
        let span = mended_span(&members, "expected bytes in base64", Repair::NumberBytes);
        let value = span.attributes[0].value.clone().unwrap().value;
        assert_eq!(value, Some(Value::BytesValue(vec![1, 2, 255])), "{written}");
    }
    for (written, why) in [
        ("[256]", "out of range"),
        ("[-1]", "out of range"),
        (r#"{"1":1}"#, "not at its place"),
        (r#"{"0":1,"2":1}"#, "not at its place"),
        (r#"["1"]"#, "expected a byte"),
        ("[1", "expected `,` or `]`"),
    ] {
        refused_span(&format!(r#""attributes":[{{"value":{{"bytesValue":{written}}}}}]"#), Mode::Lenient, why);
    }
    for written in ["[]", "{}"] {
        let read =
            traces(&with_members(&format!(r#""attributes":[{{"value":{{"bytesValue":{written}}}}}]"#)), Mode::Lenient);
        let value = first_span(&read.unwrap()).attributes[0].value.clone().unwrap().value;
        assert_eq!(value, Some(Value::BytesValue(vec![])));
    }
}

#[test]
fn a_part_that_may_have_held_items_under_an_unknown_key_is_told() {
    let kept = r#"{"scopeSpans":[{"spans":[{"name":"kept"}]}]}"#;
    for mode in BOTH {
        for (part, key) in [
            (r#"{"instrumentationLibrarySpans":[{"spans":[{}]}]}"#, "instrumentationLibrarySpans"),
            (r#"{"resource":{},"instrumentationLibrarySpans":[{}],"more":[1]}"#, "instrumentationLibrarySpans"),
            (r#"{"scopeSpans":[{"scope":{},"Spans":[{"name":"lost"}]}]}"#, "Spans"),
            (r#"{"scopeSpans":[],"s\u0063ope":{"spans":[{}]}}"#, "scope"),
        ] {
            for parts in [format!("{kept},{part}"), format!("{part},{kept}")] {
                let read = traces(&format!(r#"{{"resourceSpans":[{parts}]}}"#), mode).unwrap();
                assert_eq!(first_of_any(&read).name, "kept");
                assert!(read.repairs.is_empty());
                let told = format!("1 part holds no items but something under an unknown key, passed over: `{key}`");
                assert_eq!(read.repairs.overlooked().map(ToString::to_string), Some(told), "{parts}");
            }
        }
        let lost = r#"{"Spans":[{}]}"#;
        let read = traces(&format!(r#"{{"resourceSpans":[{kept},{{"scopeSpans":[{lost},{lost}]}}]}}"#), mode).unwrap();
        assert!(read.repairs.overlooked().unwrap().to_string().starts_with("2 parts hold no items"));
        // Nothing is lost beside items, in an empty value, or inside an item.
        for part in [
            r#"{"scopeSpans":[{"spans":[{}]}],"instrumentationLibrarySpans":[{}]}"#,
            r#"{"resource":{},"owls":[],"cells":{ },"schema":"x"}"#,
            r#"{"scopeSpans":[{"spans":[{"owls":[1]}]}]}"#,
        ] {
            let read = traces(&format!(r#"{{"resourceSpans":[{kept},{part}]}}"#), mode).unwrap();
            assert_eq!(read.repairs.overlooked(), None, "{part}");
        }
    }
}

/// Of the first part that has one.
fn first_of_any(read: &Read) -> Span {
    let request = decoded::<ExportTraceServiceRequest>(read);
    let mut scopes = request.resource_spans.iter().flat_map(|part| &part.scope_spans);
    scopes.find_map(|scope| scope.spans.first()).unwrap().clone()
}

#[test]
fn ids_are_hex_in_any_case_or_empty() {
    for mode in BOTH {
        let span = legal_span(r#""traceId":"000102030405060708090A0b0C0d0E0f","spanId":"FFfe000000000001""#, mode);
        assert_eq!(span.trace_id, (0..16).collect::<Vec<u8>>());
        assert_eq!(span.span_id, [0xff, 0xfe, 0, 0, 0, 0, 0, 1]);
        assert!(legal_span(r#""traceId":"","spanId":"","parentSpanId":"""#, mode).parent_span_id.is_empty());
    }
}

#[test]
fn ids_of_another_length_or_with_other_letters_are_refused_in_both_modes() {
    for mode in BOTH {
        for id in ["00", "000102030405060708090a0b0c0d0e0", "000102030405060708090a0b0c0d0e0f0", "é"] {
            refused_span(&format!(r#""traceId":"{id}""#), mode, "an id has 32 hex digits");
        }
        refused_span(r#""spanId":"000102030405060g""#, mode, "an id has 16 hex digits");
        refused_span(r#""spanId":12"#, mode, "expected an id in hex, found a number");
        refused_span(r#""links":[{"spanId":"0"}]"#, mode, "`resourceSpans[0].scopeSpans[0].spans[0].links[0].spanId`");
    }
}

#[test]
fn ids_in_base64_are_mended() {
    let why = "hex digits";
    let expected: Vec<u8> = (0..16).collect();
    for text in ["AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgcICQoLDA0ODw"] {
        let span = mended_span(&format!(r#""traceId":"{text}""#), why, Repair::Base64Id);
        assert_eq!(span.trace_id, expected);
    }
    assert_eq!(mended_span(r#""spanId":"__79_Pv6-fg=""#, why, Repair::Base64Id).span_id[..2], [0xff, 0xfe]);
    assert_eq!(mended_span(r#""parentSpanId":"AAECAwQFBgc=""#, why, Repair::Base64Id).parent_span_id, expected[..8]);
    // The letters of the hex, taken for bytes, and those in base64.
    let letters = r#""traceId":"MDAwMTAyMDMwNDA1MDYwNzA4MDkwYTBiMGMwZDBlMGY=""#;
    assert_eq!(mended_span(letters, why, Repair::HexTextId).trace_id, expected);
    assert_eq!(mended_span(r#""spanId":"MDAwMTAyMDMwNDA1MDYwNw==""#, why, Repair::HexTextId).span_id, expected[..8]);
}

#[test]
fn booleans_and_numbers_in_the_wrong_dress_are_mended() {
    let members = |value: &str| format!(r#""attributes":[{{"key":"a","value":{value}}}]"#);
    let span = mended_span(&members(r#"{"boolValue":"true"}"#), "expected a boolean, found a text", Repair::BoolText);
    assert_eq!(span.attributes[0].value.as_ref().unwrap().value, Some(Value::BoolValue(true)));
    refused_span(&members(r#"{"boolValue":"yes"}"#), Mode::Lenient, "expected a boolean");
    refused_span(&members(r#"{"boolValue":1}"#), Mode::Lenient, "expected a boolean");
    let span = mended_span(r#""endTimeUnixNano":"""#, "an empty text is no number", Repair::EmptyNumber);
    assert_eq!(span.end_time_unix_nano, 0);
}

#[test]
fn a_key_given_twice_is_refused_or_merged() {
    assert_eq!(mended_span(r#""name":"a","name":"b""#, "given twice", Repair::RepeatedKey).name, "b");
    assert_eq!(mended_span(r#""kind":2,"kind":0"#, "given twice", Repair::RepeatedKey).kind, 0);
    let lists = r#""events":[{"name":"a"}],"events":[{"name":"b"}]"#;
    assert_eq!(mended_span(lists, "given twice", Repair::RepeatedKey).events.len(), 2);
    let choices = r#""attributes":[{"key":"a","value":{"stringValue":"a","intValue":1}}]"#;
    let span = mended_span(choices, "only one may be", Repair::RepeatedKey);
    assert_eq!(span.attributes[0].value.as_ref().unwrap().value, Some(Value::IntValue(1)));
}

#[test]
fn numbers_of_metrics_keep_their_kinds() {
    let text = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a","gauge":{"dataPoints":[{"asInt":"-3"},{"asDouble":3},{"asDouble":0}]}},
        {"name":"b","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[
            {"scale":-10,"sum":0,"positive":{"offset":"-2","bucketCounts":["18446744073709551615",0]}}]}}
    ]}]}]}"#;
    for mode in BOTH {
        let read = to_protobuf(Signal::Metrics, text.as_bytes(), mode).unwrap();
        let request: ExportMetricsServiceRequest = decoded(&read);
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let Some(metric::Data::Gauge(gauge)) = &metrics[0].data else { panic!() };
        let values: Vec<_> = gauge.data_points.iter().map(|point| point.value.unwrap()).collect();
        let doubles = [3.0, 0.0].map(number_data_point::Value::AsDouble);
        assert_eq!(values, [number_data_point::Value::AsInt(-3), doubles[0], doubles[1]]);
        let Some(metric::Data::ExponentialHistogram(histogram)) = &metrics[1].data else { panic!() };
        let point = &histogram.data_points[0];
        let positive = point.positive.as_ref().unwrap();
        assert_eq!((point.scale, point.sum, positive.offset), (-10, Some(0.0), -2));
        assert_eq!(positive.bucket_counts, [u64::MAX, 0]);
    }
}

#[test]
fn profiles_are_not_read_from_json() {
    let fault = to_protobuf(Signal::Profiles, b"{}", Mode::Lenient).unwrap_err();
    assert_eq!(fault.what, "profiles are taken in protobuf only");
}

//! Bodies that are not what they should be: each is refused with its place, and nothing panics, hangs or grows.

use proptest::prelude::*;

use super::dice::Dice;
use super::{BYTES_TIMES_MAX, Mode, NotRead, mend_hex_ids, to_protobuf, to_protobuf_within};
use crate::model::Signal;
use crate::otlp::wire::Fields;

const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

fn nested(depth: usize) -> String {
    let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(depth), "]}}".repeat(depth));
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{close}}}]}}]}}]}}"#)
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (text, offset, what) in [
        ("", 0, "expected an object, found the end"),
        ("[]", 0, "expected an object, found a list"),
        ("null", 0, "expected an object, found `null`"),
        ("{} {}", 3, "expected nothing behind the request"),
        ("{", 1, "expected a key, found the end"),
        (r#"{"a":1,}"#, 7, "expected a key, found `}`"),
        (r#"{"a" 1}"#, 5, "expected `:`, found a number"),
        (r#"{"a":01}"#, 5, "expected a value"),
        (r#"{"a":tru}"#, 5, "expected a value, found `tru`"),
        (r#"{"a":[1}"#, 7, "expected `,` or `]`"),
        (r#"{"a":"b"#, 5, "a text is not closed"),
        ("{\"a\":\"\n\"}", 6, "a control character"),
        (r#"{"a":"\x"}"#, 6, "an escape is unknown"),
        (r#"{"a":"é\ud80g"}"#, 8, "four hex digits"),
        (r#"{"a":"\u12g4"}"#, 6, "four hex digits"),
        (r#"{"resourceSpans":{}}"#, 17, "expected a list, found an object"),
        (r#"{"resourceSpans":[[]]}"#, 18, "expected an object, found a list"),
    ] {
        for mode in [Mode::Strict, Mode::Lenient] {
            let fault = to_protobuf(Signal::Traces, text.as_bytes(), mode).unwrap_err();
            assert!(fault.what.contains(what), "{text}: {fault}");
            assert_eq!(fault.offset, offset, "{text}: {fault}");
        }
    }
}

#[test]
fn half_of_a_surrogate_pair_is_refused_with_its_place_in_strict_mode() {
    for (text, offset) in [(r#"{"a":"é\ud800"}"#, 8), (r#"{"a":"\udc00\ud800"}"#, 6), (r#"{"\ud800\u0041":1}"#, 2)] {
        let fault = to_protobuf(Signal::Traces, text.as_bytes(), Mode::Strict).unwrap_err();
        assert_eq!((fault.offset, fault.what.as_str()), (offset, "half of a surrogate pair"), "{text}");
    }
}

#[test]
fn a_fault_names_its_path_line_and_column() {
    let text = "{\"resourceSpans\": [{},\n {\"scopeSpans\": [{\"spans\": [{},\n  {\"kind\": true}]}]}]}";
    let fault = to_protobuf(Signal::Traces, text.as_bytes(), Mode::Lenient).unwrap_err();
    let told = "`resourceSpans[1].scopeSpans[0].spans[1].kind`: expected an integer, found `true` (line 3, column 12)";
    assert_eq!(fault.to_string(), told);
    assert_eq!(text.as_bytes()[fault.offset], b't');
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_wherever_they_stand() {
    let fault = to_protobuf(Signal::Traces, b"{\"a\":\"\xff\"}", Mode::Lenient).unwrap_err();
    assert_eq!((fault.offset, fault.what.as_str()), (6, "the body is not UTF-8"));
}

#[test]
fn depth_is_bounded_for_known_and_for_unknown_keys() {
    let read = |text: &str| to_protobuf(Signal::Logs, text.as_bytes(), Mode::Lenient);
    // Two messages a level, below the four of the request and the body itself.
    let deepest = read(&nested(47)).unwrap();
    let request = <opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest as prost::Message>::decode(
        deepest.protobuf.as_slice(),
    );
    assert!(request.is_ok());
    assert!(read(&nested(49)).unwrap_err().what.contains("nested too deeply"));
    assert!(read(&nested(100_000)).unwrap_err().what.contains("nested too deeply"));
    let unknown = |depth: usize| format!(r#"{{"resourceLogs":[],"a":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(read(&unknown(100)).unwrap_err().what.contains("unknown"));
    assert!(read(&unknown(101)).unwrap_err().what.contains("nested too deeply"));
    assert!(read(&unknown(1_000_000)).unwrap_err().what.contains("nested too deeply"));
}

#[test]
fn lists_of_numbers_grow_no_further_than_they_may() {
    let text = |count: usize| {
        let numbers = "0,".repeat(count);
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"explicitBounds":[{numbers}0]}}]}}}}]}}]}}]}}"#
        )
    };
    let within = |text: &str, bytes_max| to_protobuf_within(Signal::Metrics, text.as_bytes(), Mode::Strict, bytes_max);
    let long = text(10_000);
    assert_eq!(within(&long, long.len()), Err(NotRead::Outgrown));
    let whole = within(&long, BYTES_TIMES_MAX * long.len()).unwrap();
    assert_eq!(whole, to_protobuf(Signal::Metrics, long.as_bytes(), Mode::Strict).unwrap());
    assert!(whole.protobuf.len() > 80_000 && whole.protobuf.capacity() <= BYTES_TIMES_MAX * long.len());
    let short = text(3);
    assert!(within(&short, short.len()).is_ok());
    assert!(matches!(within(&long[..long.len() - 9], 1 << 20), Err(NotRead::Fault(_))));
}

fn never_panics(text: &[u8]) {
    for (signal, mode) in SIGNALS.iter().flat_map(|signal| [(*signal, Mode::Strict), (*signal, Mode::Lenient)]) {
        if let Ok(read) = to_protobuf(signal, text, mode) {
            // Numbers in lists grow most: two letters to eight bytes.
            assert!(read.protobuf.len() <= 4 * text.len() + 16);
            assert!(Fields::new(&read.protobuf).all(|field| field.is_ok()));
        }
    }
}

/// Pieces that take a body from legal to almost legal.
const PIECES: [&str; 16] =
    ["null", "{}", "[]", "\"", "\\", "\\u", "\\ud83d", ",", ":", "NaN", "-", "1e", "}", "]", "\u{0}", "\u{10ffff}"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_requests_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..3_usize, 0..PIECES.len()), 1..5),
        which in 0..3_usize,
    ) {
        let mut text = match SIGNALS[which] {
            Signal::Traces => serde_json::to_vec(&Dice::new(&bytes).traces()),
            Signal::Logs => serde_json::to_vec(&Dice::new(&bytes).logs()),
            Signal::Metrics | Signal::Profiles => serde_json::to_vec(&Dice::new(&bytes).metrics()),
        }.unwrap();
        for (place, how, piece) in edits {
            let at = place.index(text.len() + 1).min(text.len());
            match how {
                0 => text.truncate(at),
                1 => drop(text.splice(at..at, PIECES[piece].bytes())),
                _ => drop(text.splice(at..(at + piece).min(text.len()), [])),
            }
            never_panics(&text);
        }
    }

    #[test]
    fn bytes_of_any_kind_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        never_panics(&bytes);
        for signal in SIGNALS {
            drop(mend_hex_ids(signal, &bytes));
        }
    }
}

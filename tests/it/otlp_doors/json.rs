//! Probes of OTLP in JSON as real senders write it, for the three signals, in both modes. What arrives is compared
//! with the protobuf that the official crate makes of the plain spelling of the same thing.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use serde_json::Value;
use tawny::model::Signal;

use super::report::Report;
use super::speak::{JSON, post};
use super::target::{Receiver, Whole};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Lenient,
    Strict,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Lenient => "lenient",
            Mode::Strict => "strict",
        }
    }

    pub fn asked(self) -> &'static str {
        match self {
            Mode::Lenient => "the daemon",
            Mode::Strict => "the daemon, strict",
        }
    }
}

const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];
const TRACE: &str = "5B8EFFF798038103D269B633813FC60C";
const SPAN: &str = "EEE19B7EC3C1B174";

/// One way to write something: how it stands in an item, what it means, and what is said of it.
struct Case {
    name: &'static str,
    /// Instead of the plain `attributes`, times and ids of an item.
    written: [&'static str; 3],
    meant: [&'static str; 3],
    expected: Expected,
}

#[derive(Clone, Copy)]
enum Expected {
    /// In both modes, without a word.
    Taken,
    /// Lenient takes it and names it; strict refuses it.
    Mended(&'static str),
    Refused,
}

const NO_ATTRIBUTES: &str = r#""attributes":[]"#;
const TIME: &str = r#""1795394411000000001""#;

const fn attributes(name: &'static str, written: &'static str, meant: &'static str) -> Case {
    Case { name, written: [written, TIME, ""], meant: [meant, TIME, ""], expected: Expected::Taken }
}

fn cases() -> Vec<Case> {
    let with = |name, written: &'static str, expected| Case {
        name,
        written: [NO_ATTRIBUTES, TIME, written],
        meant: [NO_ATTRIBUTES, TIME, ""],
        expected,
    };
    vec![
        attributes("nothing special", NO_ATTRIBUTES, NO_ATTRIBUTES),
        Case {
            name: "nanoseconds as a number",
            written: [NO_ATTRIBUTES, "1795394411000000001", ""],
            meant: [NO_ATTRIBUTES, TIME, ""],
            expected: Expected::Taken,
        },
        attributes(
            "an integer as a text",
            r#""attributes":[{"key":"k","value":{"intValue":"-42"}}]"#,
            r#""attributes":[{"key":"k","value":{"intValue":"-42"}}]"#,
        ),
        attributes(
            "an integer as a number",
            r#""attributes":[{"key":"k","value":{"intValue":-42}}]"#,
            r#""attributes":[{"key":"k","value":{"intValue":"-42"}}]"#,
        ),
        attributes(
            "a double as a text",
            r#""attributes":[{"key":"k","value":{"doubleValue":"0.5"}}]"#,
            r#""attributes":[{"key":"k","value":{"doubleValue":0.5}}]"#,
        ),
        attributes("null for a list", r#""attributes":null"#, NO_ATTRIBUTES),
        attributes(
            "an empty value",
            r#""attributes":[{"key":"k","value":{}}]"#,
            r#""attributes":[{"key":"k","value":{}}]"#,
        ),
        attributes(
            "an empty arrayValue",
            r#""attributes":[{"key":"k","value":{"arrayValue":{}}}]"#,
            r#""attributes":[{"key":"k","value":{"arrayValue":{"values":[]}}}]"#,
        ),
        attributes(
            "an empty kvlistValue",
            r#""attributes":[{"key":"k","value":{"kvlistValue":{}}}]"#,
            r#""attributes":[{"key":"k","value":{"kvlistValue":{"values":[]}}}]"#,
        ),
        attributes("unknown keys", r#""attributes":[],"fromTheFuture":{"a":[1,{"b":null}]}"#, NO_ATTRIBUTES),
        attributes(
            "bytes in base64",
            r#""attributes":[{"key":"k","value":{"bytesValue":"AAH/"}}]"#,
            r#""attributes":[{"key":"k","value":{"bytesValue":"AAH/"}}]"#,
        ),
        attributes("a list that is a text", r#""attributes":"none""#, NO_ATTRIBUTES).expecting(Expected::Refused),
        attributes("a time that is none", NO_ATTRIBUTES, NO_ATTRIBUTES).at(r#""soon""#),
        with("a snake_case key beside good ones", r#","trace_state_x":1"#, Expected::Taken),
    ]
}

impl Case {
    fn expecting(self, expected: Expected) -> Case {
        Case { expected, ..self }
    }

    fn at(mut self, time: &'static str) -> Case {
        self.written[1] = time;
        self.expecting(Expected::Refused)
    }
}

/// A request with one item; `ids` stand in it where the signal has ids.
fn body(signal: Signal, [attributes, time, more]: [&str; 3], ids: [&str; 2]) -> String {
    let [trace_id, span_id] = ids;
    let ids = format!(r#""traceId":"{trace_id}","spanId":"{span_id}""#);
    match signal {
        Signal::Traces => format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{ids},"name":"n","kind":2,"startTimeUnixNano":{time},{attributes}{more}}}]}}]}}]}}"#
        ),
        Signal::Logs => format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{ids},"severityNumber":9,"timeUnixNano":{time},"body":{{"stringValue":"b"}},{attributes}{more}}}]}}]}}]}}"#
        ),
        Signal::Metrics | Signal::Profiles => format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","sum":{{"aggregationTemporality":2,"dataPoints":[{{"timeUnixNano":{time},"asDouble":0.5,"exemplars":[{{{ids},"asDouble":1.5,"timeUnixNano":"1"}}],{attributes}{more}}}]}}}}]}}]}}]}}"#
        ),
    }
}

fn plain(signal: Signal) -> String {
    body(signal, [NO_ATTRIBUTES, TIME, ""], [TRACE, SPAN])
}

/// By the official crate, as text: a number that is none equals nothing, not even itself.
fn of_json(signal: Signal, text: &str) -> String {
    let wrong = |cause: serde_json::Error| format!("the oracle: {cause}");
    match signal {
        Signal::Traces => {
            serde_json::from_str::<ExportTraceServiceRequest>(text).map_or_else(wrong, |r| format!("{r:?}"))
        }
        Signal::Logs => serde_json::from_str::<ExportLogsServiceRequest>(text).map_or_else(wrong, |r| format!("{r:?}")),
        Signal::Metrics | Signal::Profiles => {
            serde_json::from_str::<ExportMetricsServiceRequest>(text).map_or_else(wrong, |r| format!("{r:?}"))
        }
    }
}

fn of_protobuf(signal: Signal, bytes: &[u8]) -> String {
    let wrong = |cause: prost::DecodeError| cause.to_string();
    match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(bytes).map_or_else(wrong, |r| format!("{r:?}")),
        Signal::Logs => ExportLogsServiceRequest::decode(bytes).map_or_else(wrong, |r| format!("{r:?}")),
        Signal::Metrics | Signal::Profiles => {
            ExportMetricsServiceRequest::decode(bytes).map_or_else(wrong, |r| format!("{r:?}"))
        }
    }
}

async fn ask(whole: &Whole<'_>, signal: Signal, text: &str) -> (String, Vec<String>, Value) {
    let answer = post(whole.address(), signal.http_path(), &[JSON], text.as_bytes()).await;
    let arrived = whole.arrived().into_iter();
    let arrived = arrived.map(|(_, bytes)| of_protobuf(signal, &bytes)).collect();
    let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let seen = if answer.status == 200 { "200".to_owned() } else { answer.brief() };
    (seen, arrived, body)
}

async fn one(
    whole: &Whole<'_>,
    report: &mut Report,
    mode: Mode,
    signal: Signal,
    name: &str,
    row: (&str, &str, Expected),
) {
    let (written, meant, expected) = row;
    let name = format!("JSON {}: {name}", signal.as_str());
    let (seen, arrived, answer) = ask(whole, signal, written).await;
    let message = answer["partialSuccess"]["errorMessage"].as_str().unwrap_or_default().to_owned();
    let arrives = match arrived.as_slice() {
        [] => "nothing".to_owned(),
        [one] if *one == of_json(signal, meant) => "what was meant".to_owned(),
        other => format!("{other:?} for {}", of_json(signal, meant)),
    };
    let (wanted, said) = match (expected, mode) {
        (Expected::Taken, _) => ("200 what was meant", message.is_empty()),
        (Expected::Mended(word), Mode::Lenient) => ("200 what was meant", message.contains(word)),
        (Expected::Mended(_), Mode::Strict) | (Expected::Refused, _) => ("400 3 nothing", true),
    };
    let said = if said { String::new() } else { format!(" said `{message}`") };
    report.check(&name, "HTTP/1.1", wanted, format!("{seen} {arrives}{said}"));
}

/// All that can be wrong with the two ids, and where a lenient reader knows what was meant.
fn ids() -> Vec<(&'static str, [&'static str; 2], Expected)> {
    vec![
        ("ids in lower case", ["5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"], Expected::Taken),
        // base64 of the same bytes, as protobuf's own JSON writers have it.
        ("ids in base64", ["W47/95gDgQPSabYzgT/GDA==", "7uGbfsPBsXQ="], Expected::Mended("base64 id")),
        ("ids that are no text", ["zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", SPAN], Expected::Refused),
    ]
}

pub async fn probe(whole: &Whole<'_>, mode: Mode, report: &mut Report) {
    for signal in SIGNALS {
        let (seen, arrived, answer) = ask(whole, signal, "{}").await;
        let name = format!("JSON {}: an empty object", signal.as_str());
        report.check(&name, "HTTP/1.1", "200 0 {}", format!("{seen} {} {answer}", arrived.len()));
        for case in cases() {
            let (written, meant) = (body(signal, case.written, [TRACE, SPAN]), body(signal, case.meant, [TRACE, SPAN]));
            one(whole, report, mode, signal, case.name, (&written, &meant, case.expected)).await;
        }
        for (name, ids, expected) in ids() {
            let written = body(signal, [NO_ATTRIBUTES, TIME, ""], ids);
            one(whole, report, mode, signal, name, (&written, &plain(signal), expected)).await;
        }
        wrong_ids(whole, mode, report, signal).await;
        names(whole, mode, report, signal).await;
        numbers(whole, mode, report, signal).await;
        broken(whole, report, signal).await;
    }
    partial_names(whole, mode, report).await;
}

async fn wrong_ids(whole: &Whole<'_>, mode: Mode, report: &mut Report, signal: Signal) {
    // Half an id: strict refuses it; lenient may say so and pass it on, but never silently.
    let written = body(signal, [NO_ATTRIBUTES, TIME, ""], ["5b8efff7", SPAN]);
    let (seen, arrived, answer) = ask(whole, signal, &written).await;
    let is_told = seen == "400 3" || answer["partialSuccess"]["errorMessage"].is_string();
    let name = format!("JSON {}: an id of a wrong length is never taken in silence", signal.as_str());
    let is_right = match mode {
        Mode::Lenient => is_told && (seen == "200") == (arrived.len() == 1),
        Mode::Strict => seen == "400 3" && arrived.is_empty(),
    };
    report.check(&name, "HTTP/1.1", true, is_right);
}

/// Enums by their names and keys in snake_case.
async fn names(whole: &Whole<'_>, mode: Mode, report: &mut Report, signal: Signal) {
    let plain = plain(signal);
    let by_name = plain
        .replace(r#""kind":2"#, r#""kind":"SPAN_KIND_SERVER""#)
        .replace(r#""severityNumber":9"#, r#""severityNumber":"SEVERITY_NUMBER_INFO""#)
        .replace(r#""aggregationTemporality":2"#, r#""aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE""#);
    assert_ne!(by_name, plain);
    let row = (by_name.as_str(), plain.as_str(), Expected::Mended("enum as text"));
    one(whole, report, mode, signal, "an enum by its name", row).await;
    let mut snake = String::new();
    let mut in_key = false;
    for (before, letter) in std::iter::once(' ').chain(plain.chars()).zip(plain.chars()) {
        // A key begins after `{` or `,`; values of ours hold no capital letter but in ids.
        in_key = if letter == '"' { !in_key && matches!(before, '{' | ',') } else { in_key };
        if in_key && letter.is_ascii_uppercase() {
            snake.push('_');
            snake.push(letter.to_ascii_lowercase());
        } else {
            snake.push(letter);
        }
    }
    let row = (snake.as_str(), plain.as_str(), Expected::Mended("snake_case"));
    one(whole, report, mode, signal, "keys in snake_case", row).await;
}

async fn numbers(whole: &Whole<'_>, mode: Mode, report: &mut Report, signal: Signal) {
    for (text, shown) in [("\"NaN\"", "NaN"), ("\"Infinity\"", "inf"), ("\"-Infinity\"", "-inf")] {
        let attributes = format!(r#""attributes":[{{"key":"k","value":{{"doubleValue":{text}}}}}]"#);
        let (seen, arrived, _) = ask(whole, signal, &body(signal, [&attributes, TIME, ""], [TRACE, SPAN])).await;
        let has_it = arrived.first().is_some_and(|one| one.contains(&format!("DoubleValue({shown})")));
        report.check(
            &format!("JSON {}: the double {text}", signal.as_str()),
            "HTTP/1.1",
            "200 true",
            format!("{seen} {has_it}"),
        );
    }
    let bare = body(signal, [r#""attributes":[{"key":"k","value":{"doubleValue":NaN}}]"#, TIME, ""], [TRACE, SPAN]);
    let (seen, arrived, _) = ask(whole, signal, &bare).await;
    let wanted = if mode == Mode::Lenient { "200 1" } else { "400 3 0" };
    let name = format!("JSON {}: NaN without quotes", signal.as_str());
    report.check(&name, "HTTP/1.1", wanted, format!("{seen} {}", arrived.len()));
    let count = plain(signal).replace(NO_ATTRIBUTES, r#""attributes":[],"droppedAttributesCount":"3""#);
    let meant = plain(signal).replace(NO_ATTRIBUTES, r#""attributes":[],"droppedAttributesCount":3"#);
    one(whole, report, mode, signal, "a small number as a text", (&count, &meant, Expected::Taken)).await;
}

async fn broken(whole: &Whole<'_>, report: &mut Report, signal: Signal) {
    let plain = plain(signal);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("cut", plain.as_bytes()[..plain.len() / 2].to_vec()),
        ("a tail", format!("{plain}x").into_bytes()),
        ("two objects", format!("{plain}{plain}").into_bytes()),
        ("a list", b"[]".to_vec()),
        ("nothing", b"".to_vec()),
        (
            "no UTF-8",
            plain
                .replace(r#"":"#, "\u{fffd}")
                .into_bytes()
                .into_iter()
                .map(|b| if b == 0xbf { 0xff } else { b })
                .collect(),
        ),
        ("protobuf", vec![0x0a, 0]),
        ("50,000 open brackets", [br#"{"resourceSpans":"#.to_vec(), vec![b'['; 50_000]].concat()),
        ("an object that is another signal's", br#"{"resourceNothings":[{"a":1}]}"#.to_vec()),
    ];
    for (what, bytes) in cases {
        let answer = post(whole.address(), signal.http_path(), &[JSON], &bytes).await;
        let seen = format!("{} {} {}", answer.brief(), answer.header("content-type"), whole.arrived().len());
        report.check(&format!("JSON {}: {what}", signal.as_str()), "HTTP/1.1", "400 3 application/json 0", seen);
    }
}

/// The word for what was rejected is of the signal, in both forms of an answer.
async fn partial_names(whole: &Whole<'_>, mode: Mode, report: &mut Report) {
    if mode == Mode::Strict {
        return;
    }
    for signal in SIGNALS {
        let mended = body(signal, [NO_ATTRIBUTES, TIME, ""], ["W47/95gDgQPSabYzgT/GDA==", SPAN]);
        let answer = post(whole.address(), signal.http_path(), &[JSON], mended.as_bytes()).await;
        whole.arrived();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let expected = r#"{"partialSuccess":{"errorMessage":"mended: 1 x base64 id"}}"#;
        report.check(&format!("JSON {}: what was mended is named", signal.as_str()), "HTTP/1.1", expected, text);
    }
    // The official messages read our protobuf answers; an empty one is a success without a word.
    let empty = ExportTraceServiceResponse::decode(&b""[..]).is_ok_and(|answer| answer.partial_success.is_none())
        && ExportLogsServiceResponse::decode(&b""[..]).is_ok()
        && ExportMetricsServiceResponse::decode(&b""[..]).is_ok();
    report.check("an empty body is a success", "HTTP/1.1", true, empty);
}

//! What the settings of a receiver may say, and what each of its answers means.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::json;

use super::super::testkit::{Held, now, settings};
use super::super::{Compression, Reply, TelemetryAnswer};
use super::*;

fn telemetry(options: serde_json::Value) -> Result<Box<dyn TelemetrySink>, String> {
    with_secrets(options, &[])
}

fn with_secrets(options: serde_json::Value, secrets: &[&str]) -> Result<Box<dyn TelemetrySink>, String> {
    let settings = SinkSettings { endpoint: Some("http://127.0.0.1:4318/".to_owned()), ..settings(options, secrets) };
    Kind.build(settings.clone())?;
    Kind.telemetry(&settings).expect("it takes telemetry")
}

fn http_answer(status: u16, body: &[u8]) -> TelemetryAnswer<'_> {
    TelemetryAnswer {
        status,
        content_type: Some("application/x-protobuf"),
        retry_after: None,
        grpc_status: None,
        grpc_message: None,
        grpc_details: None,
        body: Some(body),
        received_at: now(),
    }
}

fn grpc_answer(status: &str) -> TelemetryAnswer<'_> {
    TelemetryAnswer { content_type: Some("application/grpc"), grpc_status: Some(status), ..http_answer(200, &[]) }
}

fn http(answer: &TelemetryAnswer<'_>) -> Reply {
    judge::http(Signal::Traces, answer)
}

fn grpc(answer: &TelemetryAnswer<'_>) -> Reply {
    judge::grpc(Signal::Traces, answer)
}

/// `partial_success { rejected: 3, error_message: "no" }`.
const PARTLY: &[u8] = &[10, 6, 8, 3, 18, 2, b'n', b'o'];

#[test]
fn without_options_it_is_http_with_gzip_and_every_signal() {
    let sink = telemetry(json!({})).unwrap();
    let plan = sink.plan();
    assert_eq!((plan.protocol, plan.compression), (Protocol::Http, Compression::Gzip { level: 1 }));
    assert_eq!((plan.in_flight_max, plan.graft), (4, false));
    assert!(Signal::ALL.iter().all(|signal| sink.accepts(*signal)));
    assert_eq!(sink.url(Signal::Logs), "http://127.0.0.1:4318/v1/logs");
    let sink = telemetry(json!({"protocol": "grpc", "compression": "zstd", "compression_level": 3})).unwrap();
    assert_eq!(sink.plan().compression, Compression::Zstd { level: 3 });
    assert!(sink.url(Signal::Traces).ends_with("4318/opentelemetry.proto.collector.trace.v1.TraceService/Export"));
}

#[test]
fn each_wrong_option_is_named() {
    for (options, words) in [
        (json!({"protocl": "grpc"}), "unknown option `protocl` (known: `protocol`"),
        (json!({"protocol": "http/json"}), "`protocol` is `http/json` (known: `http`, `grpc`)"),
        (json!({"compression": "lz4"}), "`compression` is `lz4`"),
        (json!({"compression_level": 13}), "`compression_level` must be a whole number from 1 to 12"),
        (json!({"compression": "none", "compression_level": 1}), "`compression_level` has no meaning"),
        (json!({"compression": "zstd", "graft": true}), "`graft` keeps blocks of gzip"),
        (json!({"graft": 1}), "`graft` must be true or false"),
        (json!({"timeout_seconds": 0}), "`timeout_seconds` must be a whole number"),
        (json!({"queue_bytes": "lots"}), "`queue_bytes` must be a whole number"),
        (json!({"signals": "traces"}), "`signals` must be a list of texts"),
        (json!({"signals": []}), "`signals` is empty"),
        (json!({"signals": ["spans"]}), "`signals` names `spans` (known: `traces`"),
        (json!({"headers": {"Content-Type": "a/b"}}), "`headers.Content-Type` is set by this sink"),
        (json!({"headers": {"grpc-timeout": "1S"}}), "`headers.grpc-timeout` is set by this sink"),
        (json!({"headers": {"a b": "c"}}), "`headers.a b` is not a header's name"),
        (json!({"headers": {"x-key": "a\nb"}}), "`headers.x-key` holds a character"),
        (json!({"headers": {"x-key": 5}}), "`headers.x-key` must be a text"),
    ] {
        let fault = telemetry(options.clone()).err().unwrap_or_else(|| panic!("{options} was taken"));
        assert!(fault.contains(words), "{options}: {fault}");
    }
    for (endpoint, options, words) in [
        (None, json!({}), "`endpoint` is missing"),
        (Some("http://a/v1/traces"), json!({}), "`endpoint` must end before `/v1/traces`"),
        (Some("http://a/x"), json!({"protocol": "grpc"}), "`endpoint` must have no path"),
        (Some("a:4317"), json!({"protocol": "grpc"}), "`endpoint` must start with"),
    ] {
        let settings = SinkSettings { endpoint: endpoint.map(str::to_owned), ..settings(options, &[]) };
        let fault = Kind.build(settings).err().unwrap();
        assert!(fault.contains(words), "{endpoint:?}: {fault}");
    }
}

#[test]
fn headers_have_plain_and_secret_values_and_a_name_stands_once() {
    let secrets = ["headers.X-Team"];
    let sink = with_secrets(json!({"headers": {"x-tenant": "owl"}}), &secrets).unwrap();
    let headers = sink.headers(Signal::Traces, &Held(&[("headers.X-Team", "key")])).unwrap();
    assert!(headers.contains(&("x-tenant".into(), "owl".to_owned())));
    assert!(headers.contains(&("x-team".into(), "key".to_owned())));
    let gone = sink.headers(Signal::Traces, &Held(&[])).unwrap_err();
    assert_eq!(gone.to_string(), "secret `headers` is missing");
    let twice = with_secrets(json!({"headers": {"x-team": "a"}}), &secrets).err().unwrap();
    assert_eq!(twice, "`headers.x-team` is given twice");
    let other = with_secrets(json!({}), &["token"]).err().unwrap();
    assert!(other.starts_with("`token` is no secret of this kind"), "{other}");
}

#[test]
fn of_http_only_four_statuses_are_tried_again() {
    for status in 100..600_u16 {
        let expected = match status {
            200..=299 => "taken",
            429 | 502..=504 => "not now",
            _ => "refused",
        };
        let reply = http(&http_answer(status, &[]));
        let found = match &reply {
            Reply::Taken => "taken",
            Reply::Unread => "unread",
            Reply::Partly { .. } => "partly",
            Reply::Refused { http, .. } => {
                assert!(![429, 502, 503, 504].contains(http) && *http >= 400 || status < 200, "{status}: {http}");
                "refused"
            }
            Reply::NotNow { .. } => "not now",
        };
        assert_eq!(found, expected, "{status}");
    }
}

#[test]
fn of_grpc_the_codes_of_the_specification_are_tried_again() {
    for status in 0..=20_u8 {
        let reply = grpc(&grpc_answer(&status.to_string()));
        let is_retryable = [1, 4, 10, 11, 14, 15].contains(&status);
        assert_eq!(matches!(reply, Reply::NotNow { .. }), is_retryable, "{status}");
        assert_eq!(matches!(reply, Reply::Taken), status == 0, "{status}");
    }
    assert!(matches!(grpc(&grpc_answer("what")), Reply::Refused { grpc: 2, .. }));
}

#[test]
fn retry_after_is_read_as_seconds_and_as_a_date() {
    let wait = |text: &str| match http(&TelemetryAnswer { retry_after: Some(text), ..http_answer(503, &[]) }) {
        Reply::NotNow { retry_after, .. } => retry_after,
        other @ (Reply::Taken | Reply::Unread | Reply::Partly { .. } | Reply::Refused { .. }) => panic!("{other:?}"),
    };
    assert_eq!(wait("7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("soon"), None);
    assert_eq!(wait("0"), None, "who asks for no wait leaves the pace to us");
    assert_eq!(wait("Mon, 01 Jan 2001 00:00:00 GMT"), None);
    let later = now().plus(Duration::from_secs(90));
    let date = jiff::Timestamp::from_millisecond(later.as_ms()).unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let waited = wait(&date).unwrap();
    assert!(waited > Duration::from_secs(88) && waited <= Duration::from_secs(90), "{date}: {waited:?}");
}

/// `google.rpc.Status` with one detail of a type.
fn status(type_url: &str, seconds: u8, nanos: u8) -> Vec<u8> {
    let duration = [8, seconds, 16, nanos];
    let info = [&[10, 4][..], &duration].concat();
    let url = u8::try_from(type_url.len()).unwrap();
    let any = [&[10, url][..], type_url.as_bytes(), &[18, 6], &info].concat();
    let any_length = u8::try_from(any.len()).unwrap();
    [&[8, 8, 18, 4, b'f', b'u', b'l', b'l', 26, any_length][..], &any].concat()
}

#[test]
fn an_exhausted_receiver_is_tried_again_only_with_a_retry_info() {
    let url = "type.googleapis.com/google.rpc.RetryInfo";
    for details in [STANDARD.encode(status(url, 2, 5)), STANDARD_NO_PAD.encode(status(url, 2, 5))] {
        let reply = grpc(&TelemetryAnswer { grpc_details: Some(&details), ..grpc_answer("8") });
        let Reply::NotNow { retry_after, grpc: 8, .. } = reply else { panic!("{reply:?}") };
        assert_eq!(retry_after, Some(Duration::new(2, 5)));
    }
    let other = STANDARD.encode(status("type.googleapis.com/google.rpc.ErrorInfo", 2, 5));
    for details in [None, Some(other.as_str()), Some("%%%"), Some("")] {
        let reply = grpc(&TelemetryAnswer { grpc_details: details, ..grpc_answer("8") });
        assert!(matches!(reply, Reply::Refused { is_about_data: true, .. }), "{details:?}: {reply:?}");
    }
    let details = STANDARD.encode(status(url, 2, 0));
    let reply = grpc(&TelemetryAnswer { grpc_details: Some(&details), ..grpc_answer("14") });
    assert!(matches!(reply, Reply::NotNow { retry_after: Some(wait), .. } if wait.as_secs() == 2));
    let details = STANDARD.encode(status(url, 0, 0));
    let reply = grpc(&TelemetryAnswer { grpc_details: Some(&details), ..grpc_answer("8") });
    assert!(matches!(reply, Reply::NotNow { retry_after: None, grpc: 8, .. }), "{reply:?}");
}

#[test]
fn a_partial_success_is_told_with_its_count_and_a_warning_with_none() {
    let partly = Reply::Partly { rejected: 3, message: "no".to_owned() };
    assert_eq!(http(&http_answer(200, PARTLY)), partly);
    assert_eq!(grpc(&TelemetryAnswer { body: Some(PARTLY), ..grpc_answer("0") }), partly);
    let json = br#"{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "no"}}"#;
    assert_eq!(http(&TelemetryAnswer { content_type: Some("application/json"), ..http_answer(200, json) }), partly);
    let warning = Reply::Partly { rejected: 0, message: "no".to_owned() };
    assert_eq!(http(&http_answer(200, &[10, 4, 18, 2, b'n', b'o'])), warning);
    // A count below nothing rejects nothing.
    let negative = [&[10, 11, 8][..], &[255; 9], &[1]].concat();
    assert_eq!(http(&http_answer(200, &negative)), Reply::Taken);
    for whole in [&[][..], &[10, 0]] {
        assert_eq!(http(&http_answer(200, whole)), Reply::Taken, "{whole:?}");
    }
    for end in 1..PARTLY.len() {
        assert_eq!(http(&http_answer(200, &PARTLY[..end])), Reply::Unread);
    }
    for answer in [http_answer(200, &[]), grpc_answer("0")] {
        let unread = TelemetryAnswer { body: None, ..answer };
        let judge = if answer.grpc_status.is_some() { grpc } else { http };
        assert_eq!(judge(&unread), Reply::Unread);
        // Where its words say nothing, nothing is missed.
        assert_eq!(judge(&TelemetryAnswer { content_type: None, ..unread }), Reply::Taken);
    }
    let Reply::Refused { reason, .. } = http(&TelemetryAnswer { body: None, ..http_answer(400, &[]) }) else {
        panic!()
    };
    assert_eq!(reason, "400");
}

#[test]
fn a_sign_in_page_is_no_success() {
    let page = TelemetryAnswer { content_type: Some("text/html; charset=utf-8"), ..http_answer(200, b"<html>") };
    assert!(matches!(http(&page), Reply::NotNow { .. }));
    // Over gRPC the same page is the same wrong door.
    assert_eq!(grpc(&page), http(&page));
    let Reply::NotNow { grpc: 14, reason, .. } = grpc(&page) else { panic!("it may be another one next time") };
    assert_eq!(reason, "200 with a page of HTML, not an answer of OTLP");
    let text = TelemetryAnswer { content_type: Some("text/plain"), ..page };
    assert!(matches!(grpc(&text), Reply::Refused { grpc: 2, http: 500, .. }));
    let empty = TelemetryAnswer { content_type: None, ..http_answer(204, &[]) };
    assert_eq!(http(&empty), Reply::Taken);
}

#[test]
fn a_call_that_only_http_answered_follows_the_table_of_grpc() {
    for (status, code, is_retryable) in
        [(400, 13, false), (401, 16, false), (403, 7, false), (404, 12, false), (429, 14, true), (503, 14, true)]
    {
        let (found, now) = match grpc(&http_answer(status, b"why")) {
            Reply::Refused { grpc, .. } => (grpc, false),
            Reply::NotNow { grpc, .. } => (grpc, true),
            other @ (Reply::Taken | Reply::Unread | Reply::Partly { .. }) => panic!("{other:?}"),
        };
        assert_eq!((found, now), (code, is_retryable), "{status}");
    }
    let page = |status| TelemetryAnswer { content_type: Some("text/html"), ..http_answer(status, b"<html>") };
    for (status, code) in [(401, 16), (404, 12), (418, 2)] {
        let found = grpc(&page(status));
        assert!(matches!(found, Reply::Refused { grpc, .. } if grpc == code), "{status}: {found:?}");
    }
    let Reply::Refused { http, .. } = grpc(&http_answer(200, &[])) else { panic!("no status is no success") };
    assert_eq!(http, 500);
}

#[test]
fn reasons_are_read_from_messages_and_stay_on_one_line() {
    let Reply::Refused { reason, .. } = http(&http_answer(400, &status("x", 0, 0))) else { panic!() };
    assert_eq!(reason, "400: full");
    let answer = TelemetryAnswer { grpc_message: Some("no%20room%0Ahere%"), ..grpc_answer("3") };
    let Reply::Refused { reason, .. } = grpc(&answer) else { panic!() };
    assert_eq!(reason, "gRPC status 3: no room here%");
}

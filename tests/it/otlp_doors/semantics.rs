//! Probes of what answers mean: partial success, refusals that may be retried and those that may not, deadlines.

use std::time::Duration;

use base64::Engine;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tawny::io::spans::faces::Verdict;

use super::report::Report;
use super::speak::{Answer, EXPORT, JSON, PROTOBUF, call, framed, post, spans};
use super::target::{Receiver, Target};

const HTTP1: &str = "HTTP/1.1";
const GRPC: &str = "gRPC";

pub async fn probe(target: &Target, report: &mut Report) {
    partial(target, report).await;
    refusals(target, report).await;
    overload(target, report).await;
}

fn partial_of(bytes: &[u8]) -> String {
    match ExportTraceServiceResponse::decode(bytes).map(|response| response.partial_success) {
        Ok(Some(partial)) => format!("{} {}", partial.rejected_spans, partial.error_message),
        Ok(None) => "unset".to_owned(),
        Err(cause) => cause.to_string(),
    }
}

async fn partial(target: &Target, report: &mut Report) {
    let body = spans(10).encode_to_vec();
    let said = |rejected| Verdict::Partly { rejected, message: "two ids".to_owned() };
    for rejected in [2, 0] {
        let expected = format!("{rejected} two ids");
        target.script(said(rejected));
        let answer = post(target.address, "/v1/traces", &[PROTOBUF], &body).await;
        report.check(&format!("partial success, {rejected} rejected"), HTTP1, &expected, partial_of(&answer.body));
        target.script(said(rejected));
        let answer = call(target.address, EXPORT, &[], framed(0, &body)).await;
        let seen = partial_of(answer.body.get(5..).unwrap_or_default());
        report.check(&format!("partial success, {rejected} rejected"), GRPC, expected, seen);
    }
    target.script(said(2));
    let answer = post(target.address, "/v1/traces", &[JSON], b"{}").await;
    let expected = r#"{"partialSuccess":{"errorMessage":"two ids","rejectedSpans":"2"}}"#;
    report.check("partial success in JSON", HTTP1, expected, String::from_utf8_lossy(&answer.body));
    let answer = call(target.address, EXPORT, &[], framed(0, &body)).await;
    report.check("success leaves partial success unset", GRPC, "[0, 0, 0, 0, 0]", format!("{:?}", &answer.body[..]));
    target.arrived();
}

/// Status, retry header and whether the body is a `Status` with a delay.
fn of_http(answer: &Answer) -> String {
    let has_retry = answer.body.windows(9).any(|part| part == b"RetryInfo");
    format!("{} retry-after={} info={has_retry}", answer.brief(), answer.header("retry-after"))
}

fn of_grpc(answer: &Answer) -> String {
    let details = answer.header("grpc-status-details-bin");
    let details = base64::engine::general_purpose::STANDARD_NO_PAD.decode(details).unwrap();
    let has_retry = details.windows(9).any(|part| part == b"RetryInfo");
    format!("{} info={has_retry} {}", answer.header("grpc-status"), answer.header("grpc-message"))
}

async fn refusals(target: &Target, report: &mut Report) {
    let body = spans(10).encode_to_vec();
    let passed = |http, grpc, retry_after| Verdict::Passed { http, grpc, reason: "no".to_owned(), retry_after };
    let seconds = |count| Some(Duration::from_secs(count));
    let not_now = Verdict::NotNow { reason: "full é".to_owned(), retry_after: Duration::from_millis(2500) };
    let verdicts = [
        ("not now", not_now, "503 14 retry-after=3 info=true", "14 info=true full %C3%A9"),
        ("passed 429", passed(429, 8, seconds(7)), "429 8 retry-after=7 info=true", "8 info=true no"),
        ("passed 502", passed(502, 14, None), "502 14 retry-after= info=false", "14 info=false no"),
        ("passed 401", passed(401, 16, None), "401 16 retry-after= info=false", "16 info=false no"),
        ("passed nonsense", passed(200, 0, None), "502 2 retry-after= info=false", "2 info=false no"),
    ];
    for (name, verdict, http, grpc) in verdicts {
        target.script(verdict.clone());
        let answer = post(target.address, "/v1/traces", &[PROTOBUF], &body).await;
        report.check(name, HTTP1, http, of_http(&answer));
        target.script(verdict.clone());
        let answer = post(target.address, "/v1/traces", &[JSON], b"{}").await;
        report.check(&format!("{name} in JSON"), HTTP1, http, of_http(&answer));
        target.script(verdict);
        let answer = call(target.address, EXPORT, &[], framed(0, &body)).await;
        report.check(name, GRPC, grpc, of_grpc(&answer));
    }
    target.arrived();
}

async fn overload(target: &Target, report: &mut Report) {
    let body = spans(5000).encode_to_vec();
    let everything = target.budget.take(8 << 20).expect("nothing else is under way");
    let answer = post(target.address, "/v1/traces", &[PROTOBUF], &body).await;
    let is_delayed = (2..=4).contains(&answer.header("retry-after").parse::<u32>().unwrap_or(0));
    report.check("no room in the budget", HTTP1, "503 14 true", format!("{} {is_delayed}", answer.brief()));
    let answer = call(target.address, EXPORT, &[], framed(0, &body)).await;
    let expected = "14 info=true too many bytes are in flight";
    report.check("no room in the budget", GRPC, expected, of_grpc(&answer));
    drop(everything);
    let answer = post(target.address, "/v1/traces", &[PROTOBUF], &body).await;
    report.check("room again", HTTP1, 200, answer.status);
    target.arrived();
}

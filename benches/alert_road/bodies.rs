//! What is posted: the form and size of what Prometheus sends.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const BATCH: usize = 256;

#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    /// A new instance of one of 24 problems.
    Folding,
    /// A problem of its own.
    Own,
}

pub fn batch(shape: Shape, index: usize) -> String {
    body((0..BATCH).map(|at| alert(shape, index * BATCH + at, 240)))
}

/// So many alerts that open a problem each.
pub fn own(start: usize, count: usize) -> String {
    body((start..start + count).map(|number| alert(Shape::Own, number, 3600)))
}

/// The same alerts a little later: the promised end has moved on.
pub fn resend(shape: Shape, index: usize) -> String {
    body((0..BATCH).map(|at| alert(shape, index * BATCH + at, 270)))
}

/// One alert that opens a problem of its own, and what to wait for at the sink.
pub fn single(index: usize) -> (String, String) {
    let id = format!("Single{index:06}");
    let mut text = alert(Shape::Own, 900_000_000 + index, 240);
    text = text.replace(&format!("Own{:09}", 900_000_000 + index), &id);
    (id, format!("[{text}]"))
}

fn body(alerts: impl Iterator<Item = String>) -> String {
    let mut text = String::from("[");
    for alert in alerts {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&alert);
    }
    text.push(']');
    text
}

fn alert(shape: Shape, number: usize, holds_seconds: u64) -> String {
    let services = ["owl-service", "duo-api", "payments", "checkout"];
    let service = services[number % 4];
    let cell = ["prod-use1-c1", "prod-use1-c2"][number / 4 % 2];
    let severity = ["critical", "warning", "error"][number / 8 % 3];
    let name = match shape {
        Shape::Folding => ["HighErrorRate", "HighLatency", "QueueBacklog"][number / 8 % 3].to_owned(),
        Shape::Own => format!("Own{number:09}"),
    };
    let instance = format!("10.{}.{}.{}:9090", number / 65_536 % 256, number / 256 % 256, number % 256);
    let mut text = String::with_capacity(600);
    write!(
        text,
        "{{\"annotations\":{{\"summary\":\"{name} on {service}: 4.2 % of requests fail on {instance}\"}},\
         \"endsAt\":\"{}\",\"startsAt\":\"{}\",\
         \"generatorURL\":\"http://prometheus.example:9090/graph?g0.expr=demo+%3E+1\\u0026g0.tab=1\",\
         \"labels\":{{\"alertname\":\"{name}\",\"cell\":\"{cell}\",\"cluster\":\"eks-prod-1\",\"instance\":\"{instance}\",\
         \"namespace\":\"apps\",\"service\":\"{service}\",\"severity\":\"{severity}\"}}}}",
        rfc3339(holds_seconds),
        started(),
    )
    .unwrap();
    text
}

/// One start for the whole run: a resend must not look like a new episode.
fn started() -> &'static str {
    static STARTED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    STARTED.get_or_init(|| rfc3339(0))
}

#[expect(clippy::disallowed_methods, reason = "senders have clocks")]
fn rfc3339(from_now: u64) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(from_now);
    tawny::model::Timestamp::ZERO.plus(at).to_string()
}

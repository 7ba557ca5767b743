//! From an answer on the wire to what the sink says it meant, and from there to the fate of a parcel. Never lets a
//! secret that the other side repeats out of here.

use std::borrow::Cow;
use std::time::Duration;

use hyper::HeaderMap;

use super::link::Received;
use super::unpack::unpacked;
use crate::io::secrets::SecretSet;
use crate::io::spans::faces::Fate;
use crate::model::{Signal, Timestamp};
use crate::sinks::{Protocol, Reply, TelemetryAnswer, TelemetrySink};

pub(super) fn judged(
    sink: &dyn TelemetrySink,
    signal: Signal,
    received: &Received,
    secrets: &SecretSet,
    received_at: Timestamp,
) -> Reply {
    let text = |map: &HeaderMap, name: &str| {
        let value = map.get(name)?.as_bytes();
        Some(String::from_utf8_lossy(&secrets.masked(value)).into_owned())
    };
    // A call that fails at once has its status in the headers ("trailers only").
    let trailer = |name: &str| {
        let trailers = received.trailers.as_ref().and_then(|trailers| text(trailers, name));
        trailers.or_else(|| text(&received.headers, name))
    };
    let plain = |name: &str| received.headers.get(name).and_then(|value| value.to_str().ok());
    // Of most answers nothing but the status is asked.
    let is_grpc = sink.plan().protocol == Protocol::Grpc;
    let status = is_grpc.then(|| trailer("grpc-status")).flatten();
    let is_more_said = is_grpc && status.as_deref() != Some("0");
    let message = is_more_said.then(|| trailer("grpc-message")).flatten();
    let details = is_more_said.then(|| trailer("grpc-status-details-bin")).flatten();
    let body = unpacked(received);
    let body: Option<Cow<'_, [u8]>> =
        body.as_deref().map(|body| if body.is_empty() { Cow::Borrowed(body) } else { secrets.masked(body) });
    let answer = TelemetryAnswer {
        status: received.status,
        content_type: plain("content-type"),
        retry_after: plain("retry-after"),
        grpc_status: status.as_deref(),
        grpc_message: message.as_deref(),
        grpc_details: details.as_deref(),
        body: body.as_deref(),
        received_at,
    };
    sink.judge(signal, &answer)
}

/// No answer came: nobody knows whether the request arrived, and OTLP says to send it again.
pub(super) fn no_answer(reason: String) -> Reply {
    Reply::NotNow { http: 503, grpc: 14, reason, retry_after: None }
}

pub(super) fn fate(reply: Reply) -> Fate {
    match reply {
        // What we cannot read is nothing that the sender of the data could mend.
        Reply::Taken | Reply::Unread => Fate::Delivered,
        Reply::Partly { rejected, message } => Fate::Partly { rejected, message },
        Reply::Refused { http, grpc, reason, is_about_data: _ } => Fate::Refused { http, grpc, reason },
        Reply::NotNow { http, grpc, reason, retry_after } => Fate::NotNow { http, grpc, reason, retry_after },
    }
}

/// Full jitter: anything up to the base, doubled by each attempt, and never above the cap.
pub(super) fn backoff(attempt: u32) -> Duration {
    const BASE: Duration = Duration::from_secs(1);
    const CAP: Duration = Duration::from_secs(30);
    let ceiling = BASE.saturating_mul(1 << attempt.min(10)).min(CAP);
    ceiling.mul_f64(fastrand::f64())
}

//! PagerDuty, Sentry and Honeycomb as this machine plays them: each reads what it gets in the service's own form
//! and keeps it. Never says yes to what it could not read.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Thirty-two letters and digits, as PagerDuty's keys are.
pub(super) const ROUTING_KEY: &str = "0demo0demo0demo0demo0demo0demo00";
pub(super) const SENTRY_KEY: &str = "0123456789abcdef0123456789abcdef";
pub(super) const HONEYCOMB_KEY: &str = "hcaik_demo";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    PagerDuty,
    Sentry,
    Honeycomb,
}

impl Service {
    pub(super) const ALL: [Service; 3] = [Service::PagerDuty, Service::Sentry, Service::Honeycomb];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Service::PagerDuty => "pagerduty",
            Service::Sentry => "sentry",
            Service::Honeycomb => "honeycomb",
        }
    }
}

/// What a message does to what the readers of the service see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Opened,
    Updated,
    Resolved,
}

/// One message as a service understood it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) service: Service,
    pub(super) effect: Effect,
    /// The service's own word for the message.
    pub(super) verb: String,
    pub(super) title: String,
    /// A few fields of the message as `name=value`; of a page its severity.
    pub(super) details: String,
    pub(super) dedup_key: String,
    pub(super) incident: String,
    pub(super) reason: String,
}

/// Everything that arrived, at all three.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) told: Vec<Told>,
    /// Messages that a service would not take, with its reason.
    pub(super) refused: Vec<String>,
    /// Pages that nobody has closed, by dedup key.
    pub(super) open_pages: BTreeSet<String>,
    request_counts: [u32; Service::ALL.len()],
}

impl Book {
    pub(super) fn request_count(&self, service: Service) -> u32 {
        self.request_counts[service as usize]
    }

    pub(super) fn count(&self, service: Service, effect: Effect) -> usize {
        self.told.iter().filter(|told| told.service == service && told.effect == effect).count()
    }
}

pub(super) struct StandIns {
    book: Arc<Mutex<Book>>,
    addresses: Vec<SocketAddr>,
    servers: Vec<JoinHandle<()>>,
}

impl StandIns {
    /// Each on a free port of this machine.
    pub(super) async fn start() -> anyhow::Result<StandIns> {
        let book = Arc::default();
        let mut stand_ins = StandIns { book, addresses: Vec::new(), servers: Vec::new() };
        for service in Service::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            stand_ins.addresses.push(listener.local_addr()?);
            let router = Router::new().fallback(receive).with_state((service, stand_ins.book.clone()));
            stand_ins.servers.push(tokio::spawn(async move {
                // Accepting goes on after errors; it ends when the stage is struck.
                let _ = axum::serve(listener, router).await;
            }));
        }
        Ok(stand_ins)
    }

    pub(super) fn address(&self, service: Service) -> SocketAddr {
        self.addresses[service as usize]
    }

    pub(super) fn book(&self) -> Book {
        lock(&self.book).clone()
    }

    pub(super) async fn stop(self) {
        for server in self.servers {
            server.abort();
            // The only way it ends is the line above.
            let _ = server.await;
        }
    }
}

/// A reader that panicked has said so already; the book is still true.
fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(
    State((service, book)): State<(Service, Arc<Mutex<Book>>)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut book = lock(&book);
    book.request_counts[service as usize] += 1;
    let read = match service {
        Service::PagerDuty => read_pagerduty(uri.path(), &body, &mut book.open_pages).map(|told| vec![told]),
        Service::Sentry => read_sentry(uri.path(), header("x-sentry-auth"), &body).map(|told| vec![told]),
        Service::Honeycomb => read_honeycomb(uri.path(), header("x-honeycomb-team"), &body),
    };
    match read {
        Ok(told) => {
            let answer = answer(service, &told);
            book.told.extend(told);
            answer
        }
        Err(reason) => {
            let body = json!({ "status": "refused", "errors": [&reason], "error": &reason, "detail": &reason });
            book.refused.push(format!("{}: {reason}", service.as_str()));
            (StatusCode::BAD_REQUEST, body.to_string())
        }
    }
}

/// What each says when it has taken a message.
fn answer(service: Service, told: &[Told]) -> (StatusCode, String) {
    match service {
        Service::PagerDuty => {
            let key = told.first().map(|told| told.dedup_key.as_str());
            let body = json!({ "status": "success", "message": "Event processed", "dedup_key": key });
            (StatusCode::ACCEPTED, body.to_string())
        }
        Service::Sentry => (StatusCode::OK, json!({ "id": told.first().map(|told| &told.incident) }).to_string()),
        Service::Honeycomb => {
            let statuses: Vec<Value> = told.iter().map(|_| json!({ "status": 202 })).collect();
            (StatusCode::OK, Value::Array(statuses).to_string())
        }
    }
}

fn read_pagerduty(path: &str, body: &[u8], open_pages: &mut BTreeSet<String>) -> Result<Told, String> {
    if path != "/v2/enqueue" {
        return Err(format!("no such address: {path}"));
    }
    let event: Value = serde_json::from_slice(body).map_err(|cause| cause.to_string())?;
    if event["routing_key"] != ROUTING_KEY {
        return Err("routing_key is unknown".to_owned());
    }
    let verb = text(&event["event_action"])?;
    let dedup_key = text(&event["dedup_key"])?;
    let payload = &event["payload"];
    let custom = &payload["custom_details"];
    let effect = match verb.as_str() {
        "trigger" if open_pages.insert(dedup_key.clone()) => Effect::Opened,
        "trigger" => Effect::Updated,
        "resolve" if open_pages.remove(&dedup_key) => Effect::Resolved,
        "resolve" => return Err("resolve: no such page is open".to_owned()),
        other => return Err(format!("event_action `{other}`")),
    };
    Ok(Told {
        service: Service::PagerDuty,
        effect,
        verb,
        title: text(&payload["summary"])?,
        details: text(&payload["severity"])?,
        incident: text(&custom["tawny.incident"])?,
        reason: text(&custom["tawny.reason"])?,
        dedup_key,
    })
}

/// An envelope: a line about the whole, a line about its one item, the item.
fn read_sentry(path: &str, auth: &str, body: &[u8]) -> Result<Told, String> {
    if path != "/api/1/envelope/" {
        return Err(format!("no such address: {path}"));
    }
    if !auth.contains(&format!("sentry_key={SENTRY_KEY}")) {
        return Err("the key is unknown".to_owned());
    }
    let mut lines = body.splitn(3, |byte| *byte == b'\n');
    let mut next = || -> Result<&[u8], String> { lines.next().ok_or_else(|| "the envelope is cut".to_owned()) };
    let json = |line: &[u8]| serde_json::from_slice::<Value>(line).map_err(|cause| cause.to_string());
    let (envelope, item, rest) = (json(next()?)?, json(next()?)?, next()?);
    let length = item["length"].as_u64().and_then(|length| usize::try_from(length).ok()).ok_or("no length")?;
    let event = json(rest.get(..length).ok_or("the event is cut")?)?;
    if item["type"] != "event" || event["event_id"] != envelope["event_id"] {
        return Err("the envelope does not hold the event that it names".to_owned());
    }
    let (tags, about) = (&event["tags"], &event["contexts"]["tawny"]);
    let reason = text(&tags["tawny.reason"])?;
    Ok(Told {
        service: Service::Sentry,
        effect: match reason.as_str() {
            "first_alert" | "hold_over" => Effect::Opened,
            "all_resolved" | "stale" => Effect::Resolved,
            _ => Effect::Updated,
        },
        verb: "event".to_owned(),
        title: text(&event["logentry"]["formatted"])?,
        details: details(&[
            ("level", &event["level"]),
            ("alert.status", &tags["alert.status"]),
            ("owner", &tags["owner"]),
            ("environment", &event["environment"]),
        ]),
        dedup_key: text(&about["dedup_key"])?,
        incident: text(&about["incident"])?,
        reason,
    })
}

fn read_honeycomb(path: &str, key: &str, body: &[u8]) -> Result<Vec<Told>, String> {
    if !path.starts_with("/1/batch/") {
        return Err(format!("no such address: {path}"));
    }
    if key != HONEYCOMB_KEY {
        return Err("the key is unknown".to_owned());
    }
    let batch: Vec<Value> = serde_json::from_slice(body).map_err(|cause| cause.to_string())?;
    batch
        .iter()
        .map(|event| {
            let data = &event["data"];
            Ok(Told {
                service: Service::Honeycomb,
                effect: match text(&data["tawny.kind"])?.as_str() {
                    "opened" => Effect::Opened,
                    "resolved" => Effect::Resolved,
                    _ => Effect::Updated,
                },
                verb: "event".to_owned(),
                title: text(&data["alert.title"])?,
                details: details(&[("alert.status", &data["alert.status"]), ("tawny.legs", &data["tawny.legs"])]),
                dedup_key: text(&data["alert.dedup_key"])?,
                incident: text(&data["tawny.incident"])?,
                reason: text(&data["tawny.reason"])?,
            })
        })
        .collect()
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("a text is missing, found {value}"))
}

/// Quoted where a blank would make one value look like two.
fn details(fields: &[(&str, &Value)]) -> String {
    let known = fields.iter().filter_map(|(name, value)| Some((*name, value.as_str()?)));
    let shown = known.map(
        |(name, value)| {
            if value.contains(' ') { format!("{name}=\"{value}\"") } else { format!("{name}={value}") }
        },
    );
    shown.collect::<Vec<_>>().join("  ")
}

//! Speaks to the daemon as its senders do, and words their bodies. Never retries: that is a decision of the test.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What Alertmanager and Grafana write for "has not ended".
const GO_ZERO_TIME: &str = "0001-01-01T00:00:00Z";

pub struct Client {
    http: reqwest::Client,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: String,
}

impl Reply {
    pub fn is_taken(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The sentence in an answer, wherever the sender's own format puts it.
    pub fn reason(&self) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match serde_json::from_str(&self.body).ok()? {
            Value::String(reason) => Some(reason),
            Value::Object(map) => map
                .get("errors")
                .and_then(|errors| text(errors.get(0)?))
                .or_else(|| text(map.get("error")?))
                .or_else(|| text(map.get("message")?)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
        }
    }
}

impl Client {
    pub fn new() -> Client {
        // Only the first call of the process installs it; the others find it there.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            // A test's daemon ends idle connections after two seconds; a request must not meet that end.
            .pool_idle_timeout(Duration::from_millis(500))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a plain HTTP client has nothing that can be wrong");
        Client { http }
    }

    pub async fn get(&self, address: SocketAddr, path: &str) -> Result<Reply, reqwest::Error> {
        read(self.http.get(format!("http://{address}{path}")).send().await?).await
    }

    pub async fn post(&self, address: SocketAddr, path: &str, body: Vec<u8>) -> Result<Reply, reqwest::Error> {
        self.post_with(address, path, &[("content-type", "application/json")], body).await
    }

    pub async fn post_with(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self.http.post(format!("http://{address}{path}")).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send().await?).await
    }

    /// The sum of a metric over all its labels; `None` when the page or the metric is missing.
    pub async fn metric(&self, address: SocketAddr, name: &str) -> Option<f64> {
        let page = self.get(address, "/metrics").await.ok().filter(Reply::is_taken)?;
        sum_of_metric(&page.body, name, "")
    }
}

async fn read(response: reqwest::Response) -> Result<Reply, reqwest::Error> {
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Reply { status: response.status().as_u16(), retry_after, body: response.text().await? })
}

/// Adds up the lines of one metric whose labels contain `label`.
pub fn sum_of_metric(page: &str, name: &str, label: &str) -> Option<f64> {
    let values: Vec<f64> = page
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            let (labels, value) = rest.rsplit_once(' ')?;
            labels.contains(label).then(|| value.parse().ok())?
        })
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// One alert as a Prometheus holds it.
#[derive(Clone, Debug)]
pub struct Alert {
    pub labels: Vec<(&'static str, String)>,
    pub summary: String,
    pub starts_at: Timestamp,
    /// In the future while it fires, in the past once resolved.
    pub ends_at: Timestamp,
}

impl Alert {
    /// Fires since a minute ago, and vouched for until long after any test.
    pub fn firing(labels: &[(&'static str, &str)]) -> Alert {
        let now = Timestamp::now();
        Alert {
            labels: labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            summary: "Errors above the threshold".to_owned(),
            starts_at: now - Duration::from_secs(60),
            ends_at: now + Duration::from_secs(4 * 3600),
        }
    }

    /// The same alert, ended a moment ago.
    pub fn resolved(&self) -> Alert {
        Alert { ends_at: Timestamp::now() - Duration::from_millis(5), ..self.clone() }
    }

    fn labels_json(&self) -> Value {
        self.labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    }

    fn is_firing(&self) -> bool {
        self.ends_at > Timestamp::now()
    }
}

/// The body of `POST /api/v2/alerts` in Prometheus' key order.
pub fn prometheus_body(alerts: &[Alert]) -> Vec<u8> {
    let list: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            json!({
                "annotations": { "summary": alert.summary },
                "endsAt": format!("{:.3}", alert.ends_at),
                "startsAt": format!("{:.3}", alert.starts_at),
                "generatorURL": "http://prometheus.example.com:9090/graph?g0.expr=up",
                "labels": alert.labels_json(),
            })
        })
        .collect();
    Value::Array(list).to_string().into_bytes()
}

/// Alertmanager's webhook, version 4, one group of these alerts.
pub fn alertmanager_body(alerts: &[Alert]) -> Vec<u8> {
    let list: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            let ends_at = if alert.is_firing() { GO_ZERO_TIME.to_owned() } else { format!("{:.3}", alert.ends_at) };
            json!({
                "status": if alert.is_firing() { "firing" } else { "resolved" },
                "labels": alert.labels_json(),
                "annotations": { "summary": alert.summary },
                "startsAt": format!("{:.3}", alert.starts_at),
                "endsAt": ends_at,
                "generatorURL": "http://prometheus.example.com:9090/graph?g0.expr=up",
            })
        })
        .collect();
    let status = if alerts.iter().any(Alert::is_firing) { "firing" } else { "resolved" };
    let body = json!({
        "receiver": "tawny",
        "status": status,
        "alerts": list,
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.com:9093",
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
    });
    let mut text = body.to_string();
    text.push('\n');
    text.into_bytes()
}

/// A PagerDuty Events v2 body, as an old script would send it to us.
pub fn pagerduty_body(routing_key: &str, action: &str, dedup_key: &str) -> Vec<u8> {
    json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": dedup_key,
        "payload": {
            "summary": "Nightly backup failed",
            "source": "backup-1.example.com",
            "severity": "error",
            "class": "BackupFailed",
            "component": "owl-service",
        },
    })
    .to_string()
    .into_bytes()
}

/// Sends raw bytes piece by piece and returns what came back, reading all the while: a server that refuses
/// early may stop reading. Ends at the answer, at the end of the pieces, or when the line is closed.
pub async fn trickle(address: SocketAddr, pieces: impl Iterator<Item = Vec<u8>>, pause: Duration) -> String {
    let stream = TcpStream::connect(address).await.expect("the daemon listens");
    let (mut reader, mut writer) = stream.into_split();
    let pieces: Vec<Vec<u8>> = pieces.collect();
    let writing = tokio::spawn(async move {
        for piece in pieces {
            if writer.write_all(&piece).await.is_err() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        // Held open: whoever is slow does not hang up either.
        writer
    });
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    let reading = async {
        loop {
            match reader.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend_from_slice(&chunk[..count]),
            }
            if is_whole_answer(&answer) {
                break;
            }
        }
    };
    let in_time = tokio::time::timeout(crate::wait::PATIENCE, reading).await;
    writing.abort();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(in_time.is_ok(), "the daemon never ended a slow request; it had answered `{answer}`");
    answer
}

fn is_whole_answer(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

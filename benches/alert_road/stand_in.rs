//! Receives what leaves: PagerDuty's address and a plain webhook, both as quick as they can be. Runs in the
//! bench's own process, so that its work is nobody else's CPU time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::sync::oneshot;

#[derive(Default)]
struct Shared {
    count: AtomicUsize,
    expected: Mutex<HashMap<String, oneshot::Sender<Instant>>>,
}

pub struct StandIn {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl StandIn {
    pub async fn start() -> StandIn {
        let shared = Arc::new(Shared::default());
        let router =
            Router::new().route("/v2/enqueue", post(take)).route("/webhook", post(take)).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        StandIn { address, shared }
    }

    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    pub fn expect(&self, id: &str) -> oneshot::Receiver<Instant> {
        let (tell, told) = oneshot::channel();
        self.shared.expected.lock().unwrap().insert(id.to_owned(), tell);
        told
    }

    /// Until nothing has come for a while.
    pub async fn wait_quiet(&self) {
        for _ in 0..600 {
            let before = self.count();
            tokio::time::sleep(Duration::from_millis(700)).await;
            if self.count() == before {
                return;
            }
        }
        panic!("it never became quiet");
    }

    pub async fn wait_count(&self, wanted: usize) {
        for _ in 0..3000 {
            if self.count() >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} of {wanted} notifications came", self.count());
    }
}

async fn take(State(shared): State<Arc<Shared>>, body: Bytes) -> (StatusCode, &'static str) {
    shared.count.fetch_add(1, Ordering::SeqCst);
    let mut expected = shared.expected.lock().unwrap();
    if !expected.is_empty() {
        let now = Instant::now();
        let text = String::from_utf8_lossy(&body);
        let found: Vec<String> = expected.keys().filter(|id| text.contains(id.as_str())).cloned().collect();
        for id in found {
            if let Some(tell) = expected.remove(&id) {
                let _ = tell.send(now);
            }
        }
    }
    (StatusCode::ACCEPTED, "{\"status\":\"success\",\"message\":\"Event processed\",\"dedup_key\":\"x\"}")
}

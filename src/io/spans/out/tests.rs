//! Sinks against receivers on real ports: what arrives, what is tried again, what is lost, and who waits for whom.

mod answers;
mod grafted;
mod history;
mod quick;
mod stand_in;
mod stops;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use hyper::Version;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::json;
use tokio::sync::oneshot;

use super::*;
use crate::io::secrets::{LiveSecret, SecretRef};
use crate::io::spans::faces::{Budget, Fate, NoRoom, Parcel};
use crate::model::Signal;
use crate::sinks::{SinkSettings, sink_kind};
use crate::telemetry::{OutletAnswer, OutletOutcome};
use stand_in::{StandIn, grpc, http};

const SECRET: &str = "hunter2-do-not-print";

struct Rig {
    sending: Sending,
    outlet: Arc<dyn Outlet>,
    tally: Arc<OutletTally>,
    budget: Arc<Budget>,
}

/// A sink of kind `otlp` with these options on top of a few that are good for tests.
fn rig(endpoint: String, patience: Patience, options: serde_json::Value) -> Rig {
    rig_on(&Machinery::new(Arc::default(), Arc::default()).unwrap(), endpoint, patience, &options)
}

fn rig_on(machinery: &Arc<Machinery>, endpoint: String, patience: Patience, options: &serde_json::Value) -> Rig {
    let mut all = json!({"compression": "none", "timeout_seconds": 20, "in_flight": 1});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let serde_json::Value::Object(options) = all else { panic!("options are a mapping") };
    let settings = SinkSettings {
        name: "traces".to_owned(),
        endpoint: Some(endpoint),
        options,
        secret_names: vec!["headers.x-api-key".to_owned()],
    };
    let sink = sink_kind("otlp").unwrap().telemetry(&settings).unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, SECRET).unwrap();
    let secret = LiveSecret::open(SecretRef::File(path)).unwrap();
    let secrets = SecretSet(BTreeMap::from([("headers.x-api-key".to_owned(), secret)]));
    let tally = Arc::<OutletTally>::default();
    let setup = OutletSetup { name: Arc::from("traces"), sink, secrets, patience, tally: tally.clone() };
    let sending = start(setup, machinery);
    let outlet = sending.outlet();
    Rig { sending, outlet, tally, budget: Budget::new(1 << 30) }
}

fn to(stand_in: &StandIn) -> String {
    format!("http://{}", stand_in.address)
}

/// A request with one Resource and spans of these names, in several slices.
fn parcel(budget: &Arc<Budget>, names: &[&str]) -> Parcel {
    let spans = names.iter().map(|name| Span { name: (*name).to_owned(), ..Span::default() }).collect();
    let scope = ScopeSpans { spans, ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    let bytes = Bytes::from(ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec());
    let share = Arc::new(budget.take(bytes.len()).unwrap());
    let (first, rest) = (bytes.slice(..3), bytes.slice(3..));
    Parcel::new(Signal::Traces, vec![first, Bytes::new(), rest], names.len(), share)
}

impl Rig {
    fn offer(&self, names: &[&str]) -> Result<(), NoRoom> {
        self.outlet.offer(parcel(&self.budget, names), None)
    }

    /// Offers and waits for what became of it.
    async fn fate(&self, names: &[&str]) -> Fate {
        let (told, fate) = oneshot::channel();
        self.outlet.offer(parcel(&self.budget, names), Some(told)).unwrap();
        fate.await.unwrap()
    }

    fn settled(&self, outcome: OutletOutcome) -> u64 {
        self.tally.settled_count(outcome)
    }

    async fn until_settled(&self, count: u64) {
        for _ in 0..6000 {
            if self.tally.accepted_count() - self.tally.open_count() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} items are open", self.tally.open_count());
    }

    /// Ends it; everything must be accounted for and every byte given back.
    async fn end(self, grace: Duration) -> Left {
        let Rig { sending, outlet, tally, budget } = self;
        let left = sending.stop(Instant::now() + grace).await;
        drop(outlet);
        let settled: u64 = OutletOutcome::ALL.iter().map(|outcome| tally.settled_count(*outcome)).sum();
        assert_eq!(tally.accepted_count(), settled, "accepted = settled when nothing is open");
        assert_eq!((tally.open_bytes(), budget.in_use()), (0, 0));
        left
    }
}

const GRACE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_queued_up_is_joined_and_decodes_to_the_same_spans_in_every_format() {
    for protocol in ["http", "grpc"] {
        for compression in ["none", "gzip", "zstd"] {
            let is_grpc = protocol == "grpc";
            let stand_in = StandIn::gated(move |_, _| if is_grpc { grpc(0) } else { http(200) }).await;
            let options = json!({"protocol": protocol, "compression": compression, "in_flight": 1});
            let rig = rig(to(&stand_in), Patience::Retry, options);
            rig.offer(&["a", "b"]).unwrap();
            stand_in.wait_for(1).await;
            for names in [&["c"][..], &["d", "e"], &["f"]] {
                rig.offer(names).unwrap();
            }
            stand_in.gate.add_permits(10);
            rig.until_settled(6).await;
            let seen = stand_in.seen();
            assert_eq!(seen.len(), 2, "one as it came, the rest joined");
            assert_eq!((seen[0].spans(), seen[1].spans().concat()), (vec!["a".into(), "b".into()], "cdef".into()));
            let (version, path) = match protocol {
                "grpc" => (Version::HTTP_2, Signal::Traces.grpc_path()),
                _ => (Version::HTTP_11, "/v1/traces"),
            };
            assert!(seen.iter().all(|seen| seen.version == version && seen.path == path));
            assert_eq!(seen[0].headers["x-api-key"], SECRET);
            assert_eq!(rig.settled(OutletOutcome::Delivered), 6);
            assert_eq!(rig.end(GRACE).await, Left::default());
        }
    }
}

#[tokio::test]
async fn no_more_is_joined_than_the_settings_say_and_only_what_is_of_one_signal() {
    let stand_in = StandIn::gated(|_, _| http(200)).await;
    let one = parcel(&Budget::new(1000), &["a"]).byte_count;
    let rig = rig(to(&stand_in), Patience::Retry, json!({"join_bytes": one * 2}));
    rig.offer(&["first"]).unwrap();
    stand_in.wait_for(1).await;
    for name in ["a", "b", "c"] {
        rig.offer(&[name]).unwrap();
    }
    let log = Parcel { signal: Signal::Logs, ..parcel(&rig.budget, &["l"]) };
    rig.outlet.offer(log, None).unwrap();
    stand_in.gate.add_permits(10);
    rig.until_settled(5).await;
    let seen: Vec<(String, String)> =
        stand_in.seen().iter().map(|seen| (seen.path.clone(), seen.spans().concat())).collect();
    let expected = [("/v1/traces", "first"), ("/v1/traces", "ab"), ("/v1/traces", "c"), ("/v1/logs", "l")];
    assert_eq!(seen, expected.map(|(path, names)| (path.to_owned(), names.to_owned())));
    rig.end(GRACE).await;
}

#[tokio::test]
async fn with_a_free_lane_nothing_waits_and_nothing_is_joined() {
    let stand_in = StandIn::gated(|_, _| http(200)).await;
    let rig = rig(to(&stand_in), Patience::Retry, json!({"in_flight": 3}));
    for name in ["a", "b", "c"] {
        rig.offer(&[name]).unwrap();
    }
    // Nobody has been answered, and all three are there.
    stand_in.wait_for(3).await;
    stand_in.gate.add_permits(3);
    rig.end(GRACE).await;
}

#[tokio::test]
async fn a_lane_keeps_its_connection_and_a_closed_one_costs_no_attempt() {
    for protocol in ["http", "grpc"] {
        let is_grpc = protocol == "grpc";
        let stand_in = StandIn::new(move |number, _| match is_grpc {
            true => grpc(0),
            false => stand_in::Answer { last: number == 4, ..http(200) },
        })
        .await;
        let rig = rig(to(&stand_in), Patience::Pass, json!({"protocol": protocol}));
        for _ in 0..5 {
            assert_eq!(rig.fate(&["a"]).await, Fate::Delivered);
        }
        assert_eq!(stand_in.connection_count.load(Ordering::Relaxed), 1, "{protocol}");
        // The HTTP connection has been closed by the other side meanwhile.
        assert_eq!(rig.fate(&["b"]).await, Fate::Delivered);
        assert_eq!(rig.tally.answer_count(OutletAnswer::None), 0);
        rig.end(GRACE).await;
    }
}

#[tokio::test]
async fn a_sink_that_hangs_refuses_for_itself_alone() {
    let hanging = StandIn::new(|_, _| stand_in::Answer { hang: true, ..http(200) }).await;
    let healthy = StandIn::new(|_, _| http(200)).await;
    let size = parcel(&Budget::new(1000), &["a"]).byte_count;
    let slow = rig(to(&hanging), Patience::Retry, json!({"queue_bytes": size * 3}));
    let quick = rig(to(&healthy), Patience::Retry, json!({"compression": "gzip"}));
    let mut refused = 0;
    for _ in 0..50 {
        let parcel = parcel(&slow.budget, &["a"]).for_several();
        refused += u64::from(slow.outlet.offer(parcel.clone(), None).is_err());
        quick.outlet.offer(parcel, None).unwrap();
    }
    assert_eq!((refused, slow.tally.no_room_count()), (47, 47));
    quick.until_settled(50).await;
    assert_eq!((slow.tally.open_count(), slow.tally.open_bytes()), (3, size as u64 * 3));
    let left = slow.end(Duration::from_millis(100)).await;
    assert_eq!(left, Left { parcel_count: 3, item_count: 3 });
    quick.end(GRACE).await;
}

/// Concatenated requests are a request: many of them, cut at odd places, larger than any buffer on the way.
fn large(budget: &Arc<Budget>) -> (Parcel, Vec<String>) {
    let names: Vec<String> = (0..300).map(|number| format!("{number}{}", "n".repeat(number * 67 % 20_000))).collect();
    let mut slices = Vec::new();
    for name in &names {
        let whole = parcel(budget, &[name]).slices.concat();
        let (first, rest) = whole.split_at(whole.len() * 2 / 3);
        slices.extend([first, rest].map(Bytes::copy_from_slice));
    }
    let share = Arc::new(budget.take(1000).unwrap());
    (Parcel::new(Signal::Traces, slices, names.len(), share), names)
}

#[tokio::test]
async fn a_request_of_many_slices_that_no_buffer_holds_arrives_byte_for_byte() {
    for (protocol, compression) in [("http", "none"), ("grpc", "none"), ("http", "gzip"), ("grpc", "zstd")] {
        let is_grpc = protocol == "grpc";
        let stand_in = StandIn::new(move |_, _| if is_grpc { grpc(0) } else { http(200) }).await;
        let options = json!({"protocol": protocol, "compression": compression});
        let rig = rig(to(&stand_in), Patience::Pass, options);
        let (parcel, names) = large(&rig.budget);
        assert!(parcel.byte_count > 2_000_000, "{}", parcel.byte_count);
        let (told, fate) = oneshot::channel();
        rig.outlet.offer(parcel, Some(told)).unwrap();
        assert_eq!(fate.await.unwrap(), Fate::Delivered, "{protocol} {compression}");
        assert!(stand_in.seen()[0].spans() == names, "{protocol} {compression}");
        rig.end(GRACE).await;
    }
}

#[tokio::test]
async fn a_receiver_with_an_address_of_ipv6_is_reached() {
    for protocol in ["http", "grpc"] {
        let is_grpc = protocol == "grpc";
        // On a host without the family there is nobody to reach.
        let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else { return };
        let stand_in = StandIn::on(listener, move |_, _| if is_grpc { grpc(0) } else { http(200) });
        let rig = rig(to(&stand_in), Patience::Pass, json!({"protocol": protocol}));
        assert_eq!(rig.fate(&["a"]).await, Fate::Delivered);
        rig.end(GRACE).await;
    }
}

//! Blocks that come twice: sent on once within the window, with the outcome of the first; always, where it is off.

use std::time::Duration;

use super::kit::{OWL, arrived, block, export, export_by_grpc, home_of, ids, metric, owls, request};
use crate::daemon::Daemon;
use crate::otlp_doors::speak::{PROTOBUF, gzip, post};
use crate::stand_in::otlp::Otlp;
use crate::stand_in::{Fault, StandIn, Weather};
use crate::wait::{PATIENCE, until_true};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_comes_again_is_acknowledged_and_sent_on_once() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home_of(&backend, "", "");
    let daemon = Daemon::start(&home).await;
    let (first, second) = (block(&OWL, 4), block(&[("service.name", "payments")], 3));
    let both = request(vec![first.clone(), second.clone()]);
    assert_eq!(export(&daemon, &both).await.status, 200);
    assert_eq!(export_by_grpc(&daemon, &both).await.header("grpc-status"), "0");
    let packed = gzip(&request(vec![second.clone()]));
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    let answer = post(daemon.telemetry_addresses()[1], "/v1/traces", &headers, &packed).await;
    assert_eq!(answer.status, 200);
    // Among new ones it is still known.
    let third = block(&OWL, 2);
    let mixed = request(vec![first, third.clone()]);
    assert_eq!(export(&daemon, &mixed).await.status, 200);
    until_true("all of it", PATIENCE, async || arrived(&backend).len() >= 9).await;
    assert_eq!(arrived(&backend), ids(&[both, request(vec![third])]));
    assert_eq!(metric(&daemon, "tawny_telemetry_items_total", "outcome=\"resent\"").await, 14.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_in_flight_shares_its_outcome_with_the_one_that_comes_again() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home_of(&backend, "", ", durability: through");
    let daemon = Daemon::start(&home).await;
    let body = owls(5);
    backend.role.set_delay(Duration::from_secs(2));
    let again = async {
        until_true("the first to be under way", PATIENCE, async || {
            metric(&daemon, "tawny_outlet_open", "").await > 0.0
        })
        .await;
        export_by_grpc(&daemon, &body).await
    };
    let (first, again) = tokio::join!(export(&daemon, &body), again);
    assert_eq!((first.status, again.header("grpc-status")), (200, "0"));
    assert_eq!(arrived(&backend), ids(std::slice::from_ref(&body)));

    let other = owls(5);
    backend.set_weather(Weather::script(&[Fault::Refuse { status: 400, retry_after: None }]));
    let again = async {
        until_true("the first to be under way", PATIENCE, async || {
            metric(&daemon, "tawny_outlet_open", "").await > 0.0
        })
        .await;
        export(&daemon, &other).await
    };
    let (first, again) = tokio::join!(export(&daemon, &other), again);
    assert_eq!((first.status, again.status), (400, 503), "who waited hears by itself when it comes back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_window_everything_is_sent_on() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home_of(&backend, "", ", resend_window: 0s");
    let daemon = Daemon::start(&home).await;
    let body = owls(4);
    for _ in 0..3 {
        assert_eq!(export(&daemon, &body).await.status, 200);
    }
    let three = ids(&[body.clone(), body.clone(), body]);
    until_true("all three", PATIENCE, async || arrived(&backend) == three).await;
}

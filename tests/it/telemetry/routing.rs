//! Who gets what: routes per Resource, and sinks that fail each for itself.

use super::kit::{
    OWL, arrived, block, export, export_by_grpc, home, ids, metric, outlet, owls, request, settled, sink,
};
use crate::daemon::Daemon;
use crate::stand_in::otlp::Otlp;
use crate::stand_in::{Fault, StandIn, Weather};
use crate::wait::{PATIENCE, until_true};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_resource_of_a_request_goes_where_its_owner_service_and_environment_say() {
    let (all, money, lab) = (
        StandIn::start(Otlp::default()).await,
        StandIn::start(Otlp::default()).await,
        StandIn::start(Otlp::default()).await,
    );
    let sinks = [sink("all", &all.url(), ""), sink("money", &money.url(), ""), sink("lab", &lab.url(), "")].concat();
    let routes = "to: [all], routes: [{ owner: [payments], to: [money] }, \
                  { service: [duo-api], env: [staging, development], to: [lab] }, \
                  { service: [owl-service], to: [all, money] }]";
    let home = home(&sinks, "", routes);
    let daemon = Daemon::start(&home).await;
    let of = |service: &str, environment: &str| {
        block(&[("service.name", service), ("deployment.environment.name", environment)], 3)
    };
    let blocks = [
        of("payments", "production"),
        of("duo-api", "staging"),
        of("duo-api", "production"),
        of("owl-service", "production"),
        // By its alias.
        of("payments-svc", "staging"),
        of("nobody-knows-it", "production"),
    ];
    let ids_of = |which: &[usize]| ids(&which.iter().map(|at| request(vec![blocks[*at].clone()])).collect::<Vec<_>>());
    let answer = export(&daemon, &request(blocks.to_vec())).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
    for (name, backend, expected) in [("all", &all, &[2, 3, 5][..]), ("money", &money, &[0, 3, 4]), ("lab", &lab, &[1])]
    {
        let expected = ids_of(expected);
        until_true(name, PATIENCE, async || arrived(backend).len() >= expected.len()).await;
        assert_eq!(arrived(backend), expected, "at {name}");
    }
    assert_eq!(metric(&daemon, "tawny_telemetry_items_total", "outcome=\"taken\"").await, 18.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_hangs_sheds_only_its_own_and_every_item_of_it_is_counted() {
    let good = StandIn::start(Otlp::default()).await;
    let stuck = StandIn::start_in(Otlp::default(), Weather::Always(Fault::Hang)).await;
    let small = ", queue_bytes: 20000, in_flight: 2, timeout_seconds: 1";
    let sinks = [sink("good", &good.url(), ""), sink("stuck", &stuck.url(), small)].concat();
    let home = home(&sinks, "", "to: [good, stuck]");
    let daemon = Daemon::start(&home).await;
    let sent: Vec<Vec<u8>> = (0..80).map(|_| owls(5)).collect();
    for (at, body) in sent.iter().enumerate() {
        if at % 2 == 0 {
            assert_eq!(export(&daemon, body).await.status, 200);
        } else {
            assert_eq!(export_by_grpc(&daemon, body).await.header("grpc-status"), "0");
        }
    }
    until_true("the healthy sink to have all", PATIENCE, async || arrived(&good).len() == 400).await;
    assert_eq!(arrived(&good), ids(&sent));
    let counts = outlet(&daemon, "stuck").await;
    assert!(counts.no_room > 0.0 && counts.accepted > 0.0, "{counts:?}");
    assert_eq!(counts.accepted + counts.no_room, 400.0, "{counts:?}");
    assert_eq!((counts.settled, counts.open), (0.0, counts.accepted), "{counts:?}");
    assert_eq!(arrived(&stuck).len(), 0);

    // It wakes up and gets what was kept for it, once.
    stuck.set_weather(Weather::Fair);
    until_true("the queue to drain", PATIENCE, async || outlet(&daemon, "stuck").await.open == 0.0).await;
    let after = outlet(&daemon, "stuck").await;
    assert_eq!((after.accepted, after.settled, after.no_room), (counts.accepted, counts.accepted, counts.no_room));
    assert_eq!(settled(&daemon, "stuck", "delivered").await, counts.accepted);
    let held = arrived(&stuck);
    assert!(held.values().all(|count| *count == 1));
    assert_eq!(held.len() as f64, counts.accepted);
    assert_eq!(outlet(&daemon, "good").await.accepted, 400.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_first_sink_asks_senders_to_come_back_and_nothing_of_it_goes_elsewhere() {
    let first = StandIn::start_in(Otlp::default(), Weather::Always(Fault::Hang)).await;
    let second = StandIn::start(Otlp::default()).await;
    let small = ", queue_bytes: 5000, in_flight: 1, timeout_seconds: 1";
    let sinks = [sink("first", &first.url(), small), sink("second", &second.url(), "")].concat();
    let home = home(&sinks, "", "to: [first, second]");
    let daemon = Daemon::start(&home).await;
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for at in 0..40 {
        let body = owls(3);
        let is_taken = if at % 2 == 0 {
            let answer = export(&daemon, &body).await;
            assert!(answer.status == 200 || answer.brief() == "503 14", "{answer:?}");
            assert_eq!(answer.status == 503, !answer.header("retry-after").is_empty(), "{answer:?}");
            answer.status == 200
        } else {
            let answer = export_by_grpc(&daemon, &body).await;
            let status = answer.header("grpc-status");
            assert!(["0", "14"].contains(&status), "{answer:?}");
            // The details hold a RetryInfo.
            assert_eq!(status == "14", !answer.header("grpc-status-details-bin").is_empty(), "{answer:?}");
            status == "0"
        };
        if is_taken { taken.push(body) } else { refused.push(body) }
    }
    assert!(!taken.is_empty() && !refused.is_empty());
    until_true("the second sink to have what was taken", PATIENCE, async || arrived(&second).len() == 3 * taken.len())
        .await;
    assert_eq!(arrived(&second), ids(&taken));
    let of = |count: &Vec<Vec<u8>>| count.len() as f64 * 3.0;
    assert_eq!(metric(&daemon, "tawny_telemetry_items_total", "outcome=\"not_now\"").await, of(&refused));
    assert_eq!(metric(&daemon, "tawny_telemetry_items_total", "outcome=\"taken\"").await, of(&taken));

    // Who comes back is not taken for a resend of what was accepted.
    first.set_weather(Weather::Fair);
    for body in &refused {
        until_true("room", PATIENCE, async || export(&daemon, body).await.status == 200).await;
    }
    for backend in [&first, &second] {
        until_true("all of it", PATIENCE, async || arrived(backend).len() == 120).await;
        assert!(arrived(backend).values().all(|count| *count == 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_takes_the_signals_it_was_set_to_and_a_daemon_sends_on_by_grpc() {
    let traces = StandIn::start(Otlp::default()).await;
    let behind = super::kit::home_of(&traces, "", "");
    let second = Daemon::start(&behind).await;
    // The second daemon takes gRPC at either port.
    let next = format!("http://{}", second.telemetry_addresses()[1]);
    let sinks = format!(
        "  - {{ name: next, kind: otlp, protocol: grpc, endpoint: \"{next}\", compression: zstd, signals: [traces] }}\n"
    );
    let ahead = home(&sinks, "", "to: [next], attribute_prefix: first., durability: through");
    let first = Daemon::start(&ahead).await;
    let sent: Vec<Vec<u8>> = (0..10).map(|_| owls(20)).collect();
    for body in &sent {
        assert_eq!(export_by_grpc(&first, body).await.header("grpc-status"), "0");
    }
    until_true("spans behind both", PATIENCE, async || arrived(&traces).len() >= 200).await;
    assert_eq!(arrived(&traces), ids(&sent));
    for (resource, _) in traces.role.spans() {
        for key in ["first.service", "tawny.service"] {
            assert_eq!(crate::stand_in::otlp::attribute(&resource, key), Some("owl-service"), "{resource:?}");
        }
    }
    // Logs are nobody's here: acknowledged, looked at, not sent.
    let logs = request(vec![block(&OWL, 0)]);
    let address = first.telemetry_addresses()[1];
    let answer =
        crate::otlp_doors::speak::post(address, "/v1/logs", &[crate::otlp_doors::speak::PROTOBUF], &logs).await;
    assert_eq!(answer.status, 200);

    // When the next one stops, senders of `through` hear that they should come back.
    assert!(second.terminate().await.success());
    let answer = export_by_grpc(&first, &owls(2)).await;
    assert_eq!(answer.header("grpc-status"), "14", "{answer:?}");
}

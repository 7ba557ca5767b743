//! `otlp.token`: who does not show it gets nothing in, over every protocol, and nobody gets to see it.

use super::kit::{arrived, home_of, ids, metric, owls};
use crate::client::Client;
use crate::daemon::{Daemon, Home};
use crate::otlp_doors::speak::{EXPORT, JSON, PROTOBUF, call, framed, post};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::Otlp;
use crate::wait::{PATIENCE, until_true};

const TOKEN: &str = "telemetry-token-9f1c2ab7d04e";
const ROTATED: &str = "telemetry-token-rotated-55aa";

fn home(backend: &StandIn<Otlp>, token: &str) -> Home {
    home_of(backend, &format!(", token: {token}"), ", durability: through")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telemetry_needs_the_token_of_the_door_and_health_does_not() {
    let backend = StandIn::start(Otlp::default()).await;
    let mut home = home(&backend, "{ env: OTLP_TOKEN }");
    home.set_environment("OTLP_TOKEN", TOKEN);
    let daemon = Daemon::start(&home).await;
    let [grpc, http] = daemon.telemetry_addresses();
    let body = owls(3);
    let bearer = format!("Bearer {TOKEN}");
    let (short, long) = (bearer[..bearer.len() - 1].to_owned(), format!("{bearer}x"));
    for wrong in ["", "Bearer", "Bearer wrong", TOKEN, &short, &long, "Digest x"] {
        let answer = post(http, "/v1/traces", &[PROTOBUF, ("authorization", wrong)], &body).await;
        let challenge = answer.header("www-authenticate").to_owned();
        assert_eq!((answer.brief().as_str(), challenge.as_str()), ("401 16", "Bearer realm=\"tawny\""), "`{wrong}`");
        let answer = post(http, "/v1/logs", &[JSON, ("authorization", wrong)], b"{}").await;
        assert_eq!((answer.brief().as_str(), answer.header("content-type")), ("401 16", "application/json"));
        let answer = call(grpc, EXPORT, &[("authorization", wrong)], framed(0, &body)).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (200, "16"), "`{wrong}`");
        assert!(answer.header("grpc-message").contains("token"), "{answer:?}");
    }
    let answer = post(http, "/v1/traces", &[PROTOBUF], &body).await;
    assert_eq!(answer.brief(), "401 16");
    assert_eq!(arrived(&backend).len(), 0);
    // Nothing is read of what may not come in.
    let answer = post(http, "/v1/traces", &[PROTOBUF, ("content-encoding", "br")], b"garbage").await;
    assert_eq!(answer.brief(), "401 16");
    let health = call(grpc, "/grpc.health.v1.Health/Check", &[], framed(0, b"")).await;
    assert_eq!(health.header("grpc-status"), "0", "load balancers have no token");

    let answer = post(http, "/v1/traces", &[PROTOBUF, ("authorization", &bearer)], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let more = owls(2);
    let answer = call(grpc, EXPORT, &[("authorization", &bearer)], framed(0, &more)).await;
    assert_eq!(answer.header("grpc-status"), "0");
    assert_eq!(arrived(&backend), ids(&[body, more]));
    let refused = metric(&daemon, "tawny_telemetry_requests_total", "outcome=\"unauthorized\"").await;
    assert_eq!(refused, 7.0 * 3.0 + 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_is_read_again_when_it_changes() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home(&backend, "{ file: token.txt }");
    home.write("token.txt", &format!("{TOKEN}\n"));
    let daemon = Daemon::start(&home).await;
    let http = daemon.telemetry_addresses()[1];
    let body = owls(1);
    let ask = async |token: &str| {
        let bearer = format!("Bearer {token}");
        post(http, "/v1/traces", &[PROTOBUF, ("authorization", &bearer)], &body).await.status
    };
    assert_eq!((ask(TOKEN).await, ask(ROTATED).await), (200, 401));
    home.write("token.txt", &format!("{ROTATED}\n"));
    until_true("the new token to count", PATIENCE, async || ask(ROTATED).await == 200).await;
    assert_eq!(ask(TOKEN).await, 401, "the old one does not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_stands_in_no_log_no_answer_and_no_file() {
    let backend = StandIn::start(Otlp::default()).await;
    let mut home = home(&backend, "{ env: OTLP_TOKEN }");
    home.set_environment("OTLP_TOKEN", TOKEN);
    home.set_environment("TAWNY_LOG", "debug");
    let daemon = Daemon::start(&home).await;
    let [grpc, http] = daemon.telemetry_addresses();
    let bearer = format!("Bearer {TOKEN}");
    let almost = format!("{bearer}!");
    let mut said = Vec::new();
    for authorization in [bearer.as_str(), almost.as_str()] {
        for body in [owls(1), b"garbage".to_vec()] {
            let headers = [PROTOBUF, ("authorization", authorization)];
            said.push(format!("{:?}", post(http, "/v1/traces", &headers, &body).await));
            let answer = call(grpc, EXPORT, &[("authorization", authorization)], framed(0, &body)).await;
            said.push(format!("{answer:?}"));
        }
    }
    for path in ["/metrics", "/readyz", "/api/v1/rules", "/api/v2/status", "/"] {
        said.push(Client::new().get(daemon.address, path).await.expect("an answer").body);
    }
    assert!(said.iter().all(|text| !text.contains(TOKEN)), "{said:?}");
    // Sinks have credentials of their own.
    for exchange in backend.exchanges() {
        assert!(exchange.headers.get("authorization").is_none() && !exchange.to_string().contains(TOKEN));
    }
    assert!(daemon.terminate().await.success());
    for entry in std::fs::read_dir(home.path()).expect("the home can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file can be read");
            let has_it = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
            assert!(!has_it, "{} gives the token away", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_the_settings_is_refused_with_its_place() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home(&backend, TOKEN);
    let (status, words) = Daemon::refuse(&home).await;
    assert!(!status.success() && words.contains("otlp.token") && !words.contains(TOKEN), "{words}");
}

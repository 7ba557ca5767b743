//! `otlp.cors_origins`: pages of these origins may send from a browser, and those of others learn nothing.

use super::kit::{arrived, home_of, metric};
use crate::daemon::Daemon;
use crate::otlp_doors::speak::{Answer, Http1, JSON};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::Otlp;

const APP: (&str, &str) = ("origin", "https://app.example.com");
const OTHER: (&str, &str) = ("origin", "https://other.example.com");
const METHOD: (&str, &str) = ("access-control-request-method", "POST");
const HEADERS: (&str, &str) = ("access-control-request-headers", "authorization,content-type");
const BODY: &[u8] = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"page"}]}]}]}"#;

fn told(answer: &Answer) -> Vec<String> {
    let mut told: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-") || *name == "vary")
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("it is ASCII")))
        .collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_named_origins_may_send_and_show_the_token_like_all_others() {
    let backend = StandIn::start(Otlp::default()).await;
    let doors = ", cors_origins: [\"https://app.example.com\"], path_prefix: /otlp, token: { env: OTLP_TOKEN }";
    let mut home = home_of(&backend, doors, ", durability: through");
    home.set_environment("OTLP_TOKEN", "page");
    let daemon = Daemon::start(&home).await;
    let mut page = Http1::open(daemon.telemetry_addresses()[1]).await;
    for path in ["/v1/traces", "/v1/logs", "/v1/metrics", "/otlp/v1/traces"] {
        let asked = page.send("OPTIONS", path, &[APP, METHOD, HEADERS], b"").await;
        assert_eq!((asked.status, asked.body.len()), (204, 0), "{asked:?}");
        let expected = [
            "access-control-allow-credentials: true",
            "access-control-allow-headers: authorization,content-type",
            "access-control-allow-methods: POST",
            "access-control-allow-origin: https://app.example.com",
            "access-control-expose-headers: retry-after",
            "access-control-max-age: 7200",
            "vary: origin, access-control-request-headers",
        ];
        assert_eq!(told(&asked), expected, "{path}");
    }
    let may_read = [
        "access-control-allow-credentials: true",
        "access-control-allow-origin: https://app.example.com",
        "access-control-expose-headers: retry-after",
        "vary: origin",
    ];
    let token = ("authorization", "Bearer page");
    let taken = page.send("POST", "/v1/traces", &[JSON, APP, token], BODY).await;
    assert_eq!((taken.status, &taken.body[..]), (200, &b"{}"[..]));
    let refused = page.send("POST", "/v1/traces", &[JSON, APP], BODY).await;
    assert_eq!(refused.brief(), "401 16");
    let wrong = page.send("POST", "/v1/traces", &[JSON, APP, token], b"{").await;
    assert_eq!(wrong.brief(), "400 3");
    for answer in [taken, refused, wrong] {
        assert_eq!(told(&answer), may_read, "{answer:?}");
    }

    // Of another origin it is a request like that of a program.
    let asked = page.send("OPTIONS", "/v1/traces", &[OTHER, METHOD, HEADERS], b"").await;
    assert_eq!((asked.status, told(&asked)), (405, vec![]));
    for origin in [&[OTHER][..], &[]] {
        let taken = page.send("POST", "/v1/traces", &[&[JSON, token], origin].concat(), BODY).await;
        assert_eq!((taken.status, told(&taken)), (200, vec![]));
    }
    assert_eq!(page.send("OPTIONS", "/v1/owls", &[APP, METHOD], b"").await.status, 404);
    assert_eq!(page.send("OPTIONS", "/v1/traces", &[APP], b"").await.status, 405, "nobody's preflight");
    assert_eq!(arrived(&backend).values().sum::<usize>(), 1, "blocks that are the same are sent once");
    assert_eq!(metric(&daemon, "tawny_telemetry_requests_total", "outcome=\"taken\"").await, 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_setting_no_page_may_send_and_a_star_lets_every_page() {
    for (doors, status, origins) in [("", 405, 0), (", cors_origins: ['*']", 204, 1)] {
        let backend = StandIn::start(Otlp::default()).await;
        let home = home_of(&backend, doors, "");
        let daemon = Daemon::start(&home).await;
        let mut page = Http1::open(daemon.telemetry_addresses()[1]).await;
        for origin in [APP, OTHER] {
            let asked = page.send("OPTIONS", "/v1/traces", &[origin, METHOD], b"").await;
            assert_eq!(asked.status, status, "{doors}");
            let sent = page.send("POST", "/v1/traces", &[JSON, origin], BODY).await;
            assert_eq!(sent.status, 200, "{doors}");
            for answer in [asked, sent] {
                let named =
                    told(&answer).iter().filter(|line| line.ends_with(&format!("allow-origin: {}", origin.1))).count();
                assert_eq!(named, origins, "{answer:?}");
            }
        }
    }
}

//! Probes of the doors behind TLS: both protocols by ALPN and gRPC, who gets no answer, and how long a handshake may
//! take. The settings for it are asked of the whole daemon.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::report::Report;
use super::speak::{Answer, EXPORT, PROTOBUF, framed, request_of};
use super::target::{Receiver, Target};
use crate::daemon::{Daemon, Home};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::Otlp;
use crate::telemetry::kit::{arrived, home_of, ids, owls};
use crate::wait::{PATIENCE, until_true};
use tawny::io::spans::door::Tls;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A client that trusts one certificate.
fn trusting(certificate: &str, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture(certificate)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect(connector: &TlsConnector, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    timeout(PATIENCE, connector.connect(name, stream)).await.expect("a handshake in time")
}

fn agreed(stream: &TlsStream<TcpStream>) -> String {
    String::from_utf8_lossy(stream.get_ref().1.alpn_protocol().unwrap_or(b"nothing")).into_owned()
}

/// One request over a connection that speaks this version.
async fn ask(stream: TlsStream<TcpStream>, is_http2: bool, request: hyper::Request<Full<Bytes>>) -> Answer {
    let io = TokioIo::new(stream);
    let response = if is_http2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        timeout(PATIENCE, sender.send_request(request)).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        timeout(PATIENCE, sender.send_request(request)).await
    };
    let (parts, body) = response.expect("an answer in time").unwrap().into_parts();
    let collected = timeout(PATIENCE, body.collect()).await.expect("an answer in time").unwrap();
    let mut headers = parts.headers;
    headers.extend(collected.trailers().cloned().unwrap_or_default());
    Answer { status: parts.status.as_u16(), headers, body: collected.to_bytes() }
}

fn http(body: &[u8]) -> hyper::Request<Full<Bytes>> {
    let request = hyper::Request::post("https://localhost/v1/traces").header("host", "localhost");
    request.header(PROTOBUF.0, PROTOBUF.1).body(Full::new(Bytes::copy_from_slice(body))).unwrap()
}

fn grpc(body: &[u8]) -> hyper::Request<Full<Bytes>> {
    let request = hyper::Request::post(format!("https://localhost{EXPORT}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    request.body(Full::new(framed(0, body).into())).unwrap()
}

const FIRST_BYTE_TIMEOUT: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_probe_behind_tls_is_answered_as_it_should_be() {
    let tls = Tls::open(&fixture("cert.pem"), &fixture("key.pem")).expect("they fit");
    let target = Target::start(|options| {
        options.tls = Some(Arc::new(tls));
        options.first_byte_timeout = FIRST_BYTE_TIMEOUT;
    })
    .await;
    let mut report = Report::default();
    report.ask("the door, TLS");
    agreements(&target, &mut report).await;
    strangers(&target, &mut report).await;
    report.write("otlp-conformance-tls.md");
    report.assert_all_green();
    target.assert_the_budget_is_whole().await;
}

async fn agreements(target: &Target, report: &mut Report) {
    let body = request_of(300_000);
    for (offered, wanted, is_http2) in [
        (&[&b"h2"[..], b"http/1.1"][..], "h2", true),
        (&[b"http/1.1", b"h2"], "h2", true),
        (&[b"http/1.1"], "http/1.1", false),
        (&[b"http/1.0", b"http/1.1"], "http/1.1", false),
        (&[], "nothing", false),
    ] {
        let name = offered.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(", ");
        let stream = connect(&trusting("cert.pem", offered), target.address).await.unwrap();
        report.check(&format!("ALPN [{name}]"), "TLS", wanted, agreed(&stream));
        let answer = ask(stream, is_http2, http(&body)).await;
        report.check(&format!("a request after ALPN [{name}]"), "TLS", "200 whole", {
            format!("{} {}", answer.status, target.arrived_only(&body))
        });
    }
    let stream = connect(&trusting("cert.pem", &[b"h2"]), target.address).await.unwrap();
    let answer = ask(stream, true, grpc(&body)).await;
    let seen = format!("{} {} {}", answer.status, answer.header("grpc-status"), target.arrived_only(&body));
    report.check("gRPC", "TLS", "200 0 whole", seen);
    let stream = connect(&trusting("cert.pem", &[b"http/1.1"]), target.address).await.unwrap();
    let answer = ask(stream, false, grpc(&body)).await;
    report.check("gRPC over HTTP/1.1", "TLS", "505 12", answer.brief());
    report.check("nothing of it arrives", "TLS", "nothing", target.arrived_only(&body));
}

async fn strangers(target: &Target, report: &mut Report) {
    let refused = connect(&trusting("cert.pem", &[b"spdy/3"]), target.address).await;
    report.check("an unknown protocol by ALPN", "TLS", true, refused.is_err());
    let refused = connect(&trusting("other-cert.pem", &[b"h2"]), target.address).await;
    report.check("a client that does not trust us goes", "TLS", true, refused.is_err());
    for (name, said) in [
        ("HTTP/1.1 without TLS", &b"POST /v1/traces HTTP/1.1\r\nhost: tawny\r\ncontent-length: 0\r\n\r\n"[..]),
        ("HTTP/2 without TLS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("nothing at all", b""),
        ("the start of a handshake and no more", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    ] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(target.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
        let is_http = heard.starts_with(b"HTTP") || heard.windows(4).any(|four| four == b"HTTP");
        let is_soon = start.elapsed() < 10 * FIRST_BYTE_TIMEOUT;
        report.check(&format!("{name}: closed soon, and not by HTTP"), "TCP", "true true false", {
            format!("{} {is_soon} {is_http}", ended.is_ok())
        });
    }
    let body = request_of(2000);
    let stream = connect(&trusting("cert.pem", &[b"h2"]), target.address).await.unwrap();
    let answer = ask(stream, true, http(&body)).await;
    report.check("and then the next is served", "TLS", "200 whole", {
        format!("{} {}", answer.status, target.arrived_only(&body))
    });
}

fn tls_home(backend: &StandIn<Otlp>) -> Home {
    home_of(backend, ", tls_certificate: cert.pem, tls_key: key.pem", ", durability: through")
}

fn put(home: &Home, name: &str, from: &str) {
    std::fs::copy(fixture(from), home.path().join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_with_a_certificate_speaks_tls_on_both_doors_and_takes_a_new_one() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = tls_home(&backend);
    put(&home, "cert.pem", "cert.pem");
    put(&home, "key.pem", "key.pem");
    let daemon = Daemon::start(&home).await;
    let mut sent = Vec::new();
    for address in daemon.telemetry_addresses() {
        let (first, second) = (owls(3), owls(4));
        let stream = connect(&trusting("cert.pem", &[b"h2"]), address).await.unwrap();
        assert_eq!(ask(stream, true, grpc(&first)).await.header("grpc-status"), "0");
        let stream = connect(&trusting("cert.pem", &[b"http/1.1"]), address).await.unwrap();
        assert_eq!(ask(stream, false, http(&second)).await.status, 200);
        sent.extend([first, second]);
    }
    assert_eq!(arrived(&backend), ids(&sent));
    put(&home, "cert.pem", "other-cert.pem");
    put(&home, "key.pem", "other-key.pem");
    let [address, _] = daemon.telemetry_addresses();
    let renewed = trusting("other-cert.pem", &[b"h2"]);
    until_true("the new certificate", PATIENCE, async || connect(&renewed, address).await.is_ok()).await;
    assert!(daemon.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_cannot_be_used_stop_the_start_with_the_place() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = tls_home(&backend);
    put(&home, "key.pem", "key.pem");
    for (files, said) in [
        (&[][..], "`otlp.tls_certificate`: the certificate cannot be read: file `cert.pem`: "),
        (&[("cert.pem", "key.pem")], "`otlp.tls_certificate`: there is no certificate in PEM form"),
        (&[("cert.pem", "cert.pem"), ("key.pem", "cert.pem")], "`otlp.tls_key`: there is no private key in PEM form"),
        (&[("key.pem", "other-key.pem")], "`otlp.tls_certificate`: certificate and key do not fit"),
    ] {
        files.iter().for_each(|(name, from)| put(&home, name, from));
        let (status, log) = Daemon::refuse(&home).await;
        assert!(!status.success());
        let last = log.lines().rfind(|line| line.contains("otlp.tls")).unwrap_or_default();
        assert!(last.contains(said) && last.contains("tawny.yaml:"), "wanted {said}, got:\n{log}");
        assert!(!log.contains("PRIVATE"), "{log}");
    }
    let alone = home_of(&backend, ", tls_key: key.pem", "");
    let (status, log) = Daemon::refuse(&alone).await;
    assert!(!status.success());
    assert!(log.contains("`otlp.tls_key`: proves nothing without `otlp.tls_certificate`"), "{log}");
}

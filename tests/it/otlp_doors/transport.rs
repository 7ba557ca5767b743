//! Probes of HTTP itself: versions, framings, types, paths.

use prost::Message;

use super::report::Report;
use super::speak::{Http1, JSON, PROTOBUF, head, http2, post, request_of, send2, spans};
use super::target::Receiver;

const HTTP1: &str = "HTTP/1.1";

pub async fn probe(target: &dyn Receiver, report: &mut Report) {
    versions(target, report).await;
    framings(target, report).await;
    types(target, report).await;
    paths(target, report).await;
}

async fn versions(target: &dyn Receiver, report: &mut Report) {
    let body = spans(20).encode_to_vec();
    let answer = post(target.address(), "/v1/traces", &[PROTOBUF], &body).await;
    let seen = format!("{} {:?} {}", answer.status, answer.body, answer.header("content-type"));
    report.check("success has an empty body of the same type", HTTP1, "200 b\"\" application/x-protobuf", seen);
    report.check("a request arrives bit for bit", HTTP1, "whole", target.arrived_only(&body));
    let (mut sender, _connection) = http2(target.address()).await;
    for _ in 0..2 {
        let answer = send2(&mut sender, "/v1/traces", &[PROTOBUF], body.clone()).await;
        report.check("prior knowledge, twice on one connection", "h2c", 200, answer.status);
        report.check("a request arrives bit for bit", "h2c", "whole", target.arrived_only(&body));
    }
    let grpc = [("content-type", "application/grpc")];
    let answer = post(target.address(), super::speak::EXPORT, &grpc, b"").await;
    report.check("gRPC over HTTP/1.1", HTTP1, "505 12", answer.brief());
}

async fn framings(target: &dyn Receiver, report: &mut Report) {
    let body = spans(300).encode_to_vec();
    let mut connection = Http1::open(target.address()).await;
    let chunked = head("POST", "/v1/traces", &[PROTOBUF, ("transfer-encoding", "chunked")]);
    connection.write(chunked.as_bytes()).await;
    for piece in body.chunks(100) {
        connection.write(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        connection.write(&[piece, b"\r\n"].concat()).await;
    }
    connection.write(b"0\r\n\r\n").await;
    report.check("chunked without a length", HTTP1, 200, connection.read().await.unwrap().status);
    report.check("chunks are joined", HTTP1, "whole", target.arrived_only(&body));

    let length = body.len().to_string();
    let expect = head("POST", "/v1/traces", &[PROTOBUF, ("content-length", &length), ("expect", "100-continue")]);
    connection.write(expect.as_bytes()).await;
    report.check("Expect: 100-continue, on the same connection", HTTP1, 100, connection.read().await.unwrap().status);
    connection.write(&body).await;
    report.check("Expect: 100-continue, then the body", HTTP1, 200, connection.read().await.unwrap().status);
    target.arrived();

    let one = [head("POST", "/v1/traces", &[PROTOBUF, ("content-length", &length)]).as_bytes(), &body].concat();
    connection.write(&[one.clone(), one.clone(), one].concat()).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(connection.read().await.unwrap().status);
    }
    report.check(
        "three pipelined requests",
        HTTP1,
        "[200, 200, 200] 3",
        format!("{seen:?} {}", target.arrived().len()),
    );

    for chunk in ["1ffffffffffffffff\r\nab", "xyz\r\nab", "-1\r\nab"] {
        let mut broken = Http1::open(target.address()).await;
        broken.write(chunked.as_bytes()).await;
        broken.write(chunk.as_bytes()).await;
        let answer = broken.read().await.unwrap();
        report.check(&format!("a chunk that is none: {}", &chunk[..2]), HTTP1, "400 3", answer.brief());
    }
    report.check("nothing of them arrives", HTTP1, 0, target.arrived().len());

    let large = request_of(900_000);
    let answer = connection.send("POST", "/v1/traces", &[PROTOBUF], &large).await;
    report.check("a body of many reads, after keep-alive", HTTP1, 200, answer.status);
    report.check("it arrives bit for bit", HTTP1, "whole", target.arrived_only(&large));
}

async fn types(target: &dyn Receiver, report: &mut Report) {
    let body = spans(20).encode_to_vec();
    let good = ["application/x-protobuf; charset=utf-8", "Application/X-Protobuf", "application/x-protobuf;x=\"y\""];
    for given in good {
        let answer = post(target.address(), "/v1/traces", &[("content-type", given)], &body).await;
        report.check(&format!("content type `{given}`"), HTTP1, 200, answer.status);
    }
    for given in ["application/json;charset=UTF-8", "APPLICATION/JSON"] {
        let answer = post(target.address(), "/v1/traces", &[("content-type", given)], b"{}").await;
        let seen = format!("{} {:?} {}", answer.status, answer.body, answer.header("content-type"));
        report.check(&format!("content type `{given}`"), HTTP1, "200 b\"{}\" application/json", seen);
    }
    for given in ["text/plain", "application/xml", "", "application/x-protobuf\u{e9}", "application/grpc-web"] {
        let answer = post(target.address(), "/v1/traces", &[("content-type", given)], &body).await;
        report.check(&format!("content type `{given}`"), HTTP1, "415 3", answer.brief());
    }
    let answer = post(target.address(), "/v1/traces", &[], &body).await;
    report.check("no content type", HTTP1, "415 3", answer.brief());
    let answer = post(target.address(), "/v1/traces", &[JSON], b"{").await;
    report.check("broken JSON", HTTP1, "400 3", answer.brief());
    target.arrived();
}

async fn paths(target: &dyn Receiver, report: &mut Report) {
    let paths = ["/v1/traces", "/v1/logs", "/v1/metrics", "/v1development/profiles", "/otlp/v1/traces"];
    for path in paths {
        let answer = post(target.address(), path, &[PROTOBUF], b"").await;
        report.check(&format!("an empty request to {path}"), HTTP1, 200, answer.status);
    }
    target.arrived();
    for path in paths {
        // One block with nothing in it.
        let answer = post(target.address(), path, &[PROTOBUF], &[0x0a, 0]).await;
        report.check(&format!("an empty block to {path}"), HTTP1, 200, answer.status);
    }
    let signals: Vec<&str> = target.arrived().iter().map(|(signal, _)| signal.as_str()).collect();
    report.check("each path has its signal", HTTP1, "traces logs metrics profiles traces", signals.join(" "));
    for path in ["/v1/trace", "/", "/otlp", "/v1/traces/", "/other/v1/traces"] {
        let answer = post(target.address(), path, &[PROTOBUF], b"abc").await;
        report.check(&format!("unknown path {path}"), HTTP1, "404 5", answer.brief());
    }
    let mut connection = Http1::open(target.address()).await;
    for method in ["GET", "PUT", "OPTIONS", "DELETE"] {
        let answer = connection.send(method, "/v1/traces", &[PROTOBUF], b"").await;
        let seen = format!("{} {}", answer.brief(), answer.header("allow"));
        report.check(&format!("method {method}"), HTTP1, "405 12 POST", seen);
    }
}

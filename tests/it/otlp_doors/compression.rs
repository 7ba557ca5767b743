//! Probes of content encodings and of sizes, before and after inflation, over HTTP and gRPC alike.

use prost::Message;

use super::report::Report;
use super::speak::{Answer, EXPORT, PROTOBUF, call, framed, gzip, post, raw_deflate, request_of, spans, zlib, zstd};
use super::target::{LIMIT, Receiver};

const HTTP1: &str = "HTTP/1.1";
const GRPC: &str = "gRPC";

async fn packed(target: &dyn Receiver, encoding: &str, body: &[u8]) -> Answer {
    post(target.address(), "/v1/traces", &[PROTOBUF, ("content-encoding", encoding)], body).await
}

async fn packed_call(target: &dyn Receiver, encoding: &str, body: &[u8]) -> Answer {
    call(target.address(), EXPORT, &[("grpc-encoding", encoding)], framed(1, body)).await
}

pub async fn probe(target: &dyn Receiver, report: &mut Report) {
    encodings(target, report).await;
    damage(target, report).await;
    names(target, report).await;
    sizes(target, report).await;
}

async fn encodings(target: &dyn Receiver, report: &mut Report) {
    let (one, two) = (spans(2000).encode_to_vec(), spans(3000).encode_to_vec());
    let both = [&one[..], &two].concat();
    let whole: Vec<(&str, &str, Vec<u8>)> = vec![
        ("gzip", "gzip", gzip(&both)),
        ("zstd", "zstd", zstd(&both)),
        ("deflate with zlib's head", "deflate", zlib(&both)),
        ("deflate without a head", "deflate", raw_deflate(&both)),
        ("deflate under its other name", "zlib", zlib(&both)),
        ("gzip of two members", "gzip", [gzip(&one), gzip(&two)].concat()),
        ("zstd of two frames", "zstd", [zstd(&one), zstd(&two)].concat()),
    ];
    for (name, encoding, body) in &whole {
        let answer = packed(target, encoding, body).await;
        report.check(name, HTTP1, 200, answer.status);
        report.check(&format!("{name} arrives bit for bit"), HTTP1, "whole", target.arrived_only(&both));
        let answer = packed_call(target, encoding, body).await;
        report.check(name, GRPC, 0, answer.header("grpc-status"));
        report.check(&format!("{name} arrives bit for bit"), GRPC, "whole", target.arrived_only(&both));
    }
}

async fn damage(target: &dyn Receiver, report: &mut Report) {
    let body = spans(2000).encode_to_vec();
    let packs: [(&str, Vec<u8>); 4] =
        [("gzip", gzip(&body)), ("zstd", zstd(&body)), ("deflate", zlib(&body)), ("deflate", raw_deflate(&body))];
    for (encoding, packed_body) in packs {
        let cut = &packed_body[..packed_body.len() - 5];
        let longer = [&packed_body[..], b"tail"].concat();
        for (what, bytes) in [("cut short", cut), ("with a tail", &longer), ("which it is not", &body)] {
            let name = format!("{encoding} {what}");
            report.check(&name, HTTP1, "400 3", packed(target, encoding, bytes).await.brief());
            let answer = packed_call(target, encoding, bytes).await;
            report.check(&name, GRPC, 3, answer.header("grpc-status"));
        }
    }
    let answer = post(target.address(), "/v1/traces", &[PROTOBUF], &gzip(&body)).await;
    report.check("gzip without a label", HTTP1, "400 3", answer.brief());
    report.check("nothing damaged gets through", HTTP1, 0, target.arrived().len());
}

async fn names(target: &dyn Receiver, report: &mut Report) {
    let body = spans(200).encode_to_vec();
    for (name, bytes) in [("GZIP", gzip(&body)), ("x-gzip", gzip(&body)), ("ZStd", zstd(&body))] {
        report.check(&format!("encoding `{name}`"), HTTP1, 200, packed(target, name, &bytes).await.status);
    }
    for name in ["identity", "none", ""] {
        report.check(&format!("encoding `{name}`"), HTTP1, 200, packed(target, name, &body).await.status);
    }
    let stacked = packed(target, "gzip, zstd", &zstd(&gzip(&body))).await;
    report.check("two stacked encodings", HTTP1, 200, stacked.status);
    report.check("all of these arrive", HTTP1, 7, target.arrived().len());
    let answer = packed(target, "gzip, gzip, gzip", &body).await;
    report.check("three stacked encodings", HTTP1, "415 12", answer.brief());
    for name in ["br", "snappy", "gzip-ish"] {
        let answer = packed(target, name, &body).await;
        let seen = format!("{} {}", answer.brief(), answer.header("accept-encoding"));
        report.check(&format!("unknown encoding `{name}`"), HTTP1, "415 12 gzip, zstd, deflate", seen);
        let answer = packed_call(target, name, &body).await;
        let seen = format!("{} {}", answer.header("grpc-status"), answer.header("grpc-accept-encoding"));
        report.check(&format!("unknown encoding `{name}`"), GRPC, "12 identity,gzip,zstd,deflate", seen);
    }
}

async fn sizes(target: &dyn Receiver, report: &mut Report) {
    for (bytes, http, grpc) in [(LIMIT - 1, 200, "0"), (LIMIT, 200, "0"), (LIMIT + 1, 413, "8")] {
        let body = request_of(bytes);
        let place = i64::try_from(bytes).unwrap() - i64::try_from(LIMIT).unwrap();
        let name = format!("limit {place:+} plain");
        report.check(&name, HTTP1, http, post(target.address(), "/v1/traces", &[PROTOBUF], &body).await.status);
        let answer = call(target.address(), EXPORT, &[], framed(0, &body)).await;
        let seen = format!("{}{}", answer.header("grpc-status"), answer.header("grpc-status-details-bin"));
        report.check(&name, GRPC, grpc, seen);
        for (encoding, bytes) in [("gzip", gzip(&body)), ("zstd", zstd(&body)), ("deflate", zlib(&body))] {
            let name = format!("limit {place:+} after {encoding}");
            report.check(&name, HTTP1, http, packed(target, encoding, &bytes).await.status);
            let answer = packed_call(target, encoding, &bytes).await;
            let seen = format!("{}{}", answer.header("grpc-status"), answer.header("grpc-status-details-bin"));
            report.check(&name, GRPC, grpc, seen);
        }
    }
    target.arrived();
    let zeros = vec![0; 64 << 20];
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros)), ("deflate", zlib(&zeros))] {
        let answer = packed(target, encoding, &bomb).await;
        report.check(&format!("a bomb in {encoding}"), HTTP1, "413 8", answer.brief());
        let answer = packed_call(target, encoding, &bomb).await;
        report.check(&format!("a bomb in {encoding}"), GRPC, 8, answer.header("grpc-status"));
    }
    let far = post(target.address(), "/v1/traces", &[PROTOBUF], &vec![0; 20 * LIMIT]).await;
    report.check("twenty times the limit is answered, not reset", HTTP1, "413 8", far.brief());
    report.check("nothing too large gets through", HTTP1, 0, target.arrived().len());
}

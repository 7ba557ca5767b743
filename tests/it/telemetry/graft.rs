//! `graft: true`: what leaves is one gzip member with the sender's own blocks in it, and whoever inflates it strictly
//! and reads it with the official messages finds the request with one edited Resource. Anything unusual is compressed
//! anew, and sinks beside a grafting one get what they would have got.

use std::io::Write;

use flate2::{Compression, Decompress, FlushDecompress, GzBuilder, Status};
use libdeflater::{CompressionLvl, Compressor};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;

use super::content::{logs, metrics, without_tags};
use super::kit::{OWL, block, home, ids, owls, request};
use crate::daemon::Daemon;
use crate::otlp_doors::speak::{EXPORT, PROTOBUF, call, framed, gzip, post, zstd};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::Otlp;
use crate::wait::{PATIENCE, until_true};

const GZIP_HEAD_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;

/// Gzip as Python's, Java's and Node's SDKs write it: other levels, other heads.
fn as_sdks_do(plain: &[u8]) -> Vec<Vec<u8>> {
    let by_flate = |level: u32, time: u32, system: u8| {
        let builder = GzBuilder::new().mtime(time).operating_system(system);
        let mut encoder = builder.write(Vec::new(), Compression::new(level));
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let mut tool = Compressor::new(CompressionLvl::new(6).unwrap());
    let mut packed = vec![0; tool.gzip_compress_bound(plain.len())];
    let length = tool.gzip_compress(plain, &mut packed).unwrap();
    packed.truncate(length);
    vec![by_flate(9, 1_795_394_411, 255), by_flate(6, 0, 0), by_flate(1, 0, 19), by_flate(0, 0, 3), packed]
}

/// Takes one member, plainly headed, whose checksum and length are right and behind which is nothing.
fn strictly_inflated(packed: &[u8]) -> Vec<u8> {
    assert_eq!(packed[..4], [0x1f, 0x8b, 8, 0], "a head without flags");
    let (stream, trailer) = packed[GZIP_HEAD_BYTES..].split_at(packed.len() - GZIP_HEAD_BYTES - TRAILER_BYTES);
    let mut plain = Vec::with_capacity(1 << 20);
    let mut tool = Decompress::new(false);
    let status = tool.decompress_vec(stream, &mut plain, FlushDecompress::Finish).expect("a whole stream");
    assert_eq!((status, tool.total_in()), (Status::StreamEnd, stream.len() as u64), "nothing behind the last block");
    let length = u32::try_from(plain.len()).unwrap();
    assert_eq!(trailer, [crc32fast::hash(&plain).to_le_bytes(), length.to_le_bytes()].concat());
    plain
}

fn is_inside(inner: &[u8], outer: &[u8]) -> bool {
    outer.windows(inner.len()).any(|window| window == inner)
}

/// The sender's compressed blocks.
fn stream(packed: &[u8]) -> &[u8] {
    &packed[GZIP_HEAD_BYTES..packed.len() - TRAILER_BYTES]
}

fn sink(name: &str, backend: &StandIn<Otlp>, more: &str) -> String {
    format!("  - {{ name: {name}, kind: otlp, endpoint: \"{}\", {more} }}\n", backend.url())
}

/// What one post became at the only sink, which has answered before we were.
async fn sent(backend: &StandIn<Otlp>, count: usize) -> Vec<u8> {
    let exchanges = backend.exchanges();
    assert_eq!(exchanges.len(), count, "each request is one request");
    let last = &exchanges[count - 1];
    assert_eq!((last.status, last.headers["content-encoding"].as_bytes()), (Some(200), &b"gzip"[..]));
    last.body.to_vec()
}

/// The blocks of a trace request, less what was set; there is one Resource in each by prost's own reading.
fn spans_of(plain: &[u8]) -> Vec<ResourceSpans> {
    let mut blocks = ExportTraceServiceRequest::decode(plain).expect("prost reads it").resource_spans;
    blocks.iter_mut().for_each(|block| without_tags(&mut block.resource));
    blocks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sdks_send_leaves_with_its_own_blocks_and_is_the_same_request() {
    let backend = StandIn::start(Otlp::default()).await;
    let settings = sink("back", &backend, "compression: gzip, graft: true");
    let home = home(&settings, "", "to: [back], durability: through");
    let daemon = Daemon::start(&home).await;
    let [grpc, http] = daemon.telemetry_addresses();
    let mut count = 0;
    for spans in [1, 10, 512] {
        for at in 0..5 {
            let original = block(&OWL, spans);
            let packed = as_sdks_do(&request(vec![original.clone()])).swap_remove(at);
            if at % 2 == 0 {
                let answer = post(http, "/v1/traces", &[PROTOBUF, ("content-encoding", "gzip")], &packed).await;
                assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
            } else {
                let answer = call(grpc, EXPORT, &[("grpc-encoding", "gzip")], framed(1, &packed)).await;
                assert_eq!(answer.header("grpc-status"), "0", "{answer:?}");
            }
            count += 1;
            let left = sent(&backend, count).await;
            assert!(is_inside(stream(&packed), &left), "{spans} spans, sender {at}: compressed anew");
            assert_eq!(spans_of(&strictly_inflated(&left)), [original]);
        }
    }
    let packed = [PROTOBUF, ("content-encoding", "gzip")];
    let body = gzip(&ExportLogsServiceRequest { resource_logs: vec![logs()] }.encode_to_vec());
    assert_eq!(post(http, "/v1/logs", &packed, &body).await.status, 200);
    let left = sent(&backend, count + 1).await;
    assert!(is_inside(stream(&body), &left));
    let mut read = ExportLogsServiceRequest::decode(&*strictly_inflated(&left)).unwrap().resource_logs;
    without_tags(&mut read[0].resource);
    assert_eq!(read, [logs()]);
    let body = gzip(&ExportMetricsServiceRequest { resource_metrics: vec![metrics()] }.encode_to_vec());
    assert_eq!(post(http, "/v1/metrics", &packed, &body).await.status, 200);
    let left = sent(&backend, count + 2).await;
    assert!(is_inside(stream(&body), &left));
    let mut read = ExportMetricsServiceRequest::decode(&*strictly_inflated(&left)).unwrap().resource_metrics;
    without_tags(&mut read[0].resource);
    assert_eq!(read, [metrics()]);
    assert_eq!(backend.role.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anything_unusual_is_compressed_anew_and_arrives_whole() {
    let backend = StandIn::start(Otlp::default()).await;
    let settings = sink("back", &backend, "compression: gzip, graft: true");
    let home = home(&settings, "", "to: [back], durability: through");
    let daemon = Daemon::start(&home).await;
    let http = daemon.telemetry_addresses()[1];
    let (one, other) = (block(&OWL, 20), block(&OWL, 30));
    let two = request(vec![one.clone(), other.clone()]);
    let (first, second) = (request(vec![block(&OWL, 40)]), request(vec![block(&OWL, 50)]));
    let joined = [first.clone(), second.clone()].concat();
    let late = block(&OWL, 5);
    // Its schema address, which is field 3, before the Resource.
    let payload = [&[0x1a, 1, b's'][..], &late.encode_to_vec()].concat();
    let mut turned = vec![0x0a];
    prost::encoding::encode_varint(payload.len() as u64, &mut turned);
    turned.extend_from_slice(&payload);
    let plain = request(vec![block(&OWL, 60)]);
    let in_zstd = request(vec![block(&OWL, 70)]);
    let twice = request(vec![block(&OWL, 80)]);
    let mut named = GzBuilder::new().filename("spans").write(Vec::new(), Compression::new(6));
    let with_name = request(vec![block(&OWL, 90)]);
    named.write_all(&with_name).unwrap();
    let cases = [
        ("two Resources", "gzip", gzip(&two), two),
        ("two members", "gzip", [gzip(&first), gzip(&second)].concat(), joined),
        ("a Resource that is not first", "gzip", gzip(&turned), turned.clone()),
        ("no compression", "identity", plain.clone(), plain),
        ("zstd", "zstd", zstd(&in_zstd), in_zstd),
        ("gzip in gzip", "gzip, gzip", gzip(&gzip(&twice)), twice),
        ("a name in the head", "gzip", named.finish().unwrap(), with_name),
    ];
    for (at, (what, encoding, body, meant)) in cases.into_iter().enumerate() {
        let answer = post(http, "/v1/traces", &[PROTOBUF, ("content-encoding", encoding)], &body).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        let left = sent(&backend, at + 1).await;
        if encoding == "gzip" {
            assert!(!is_inside(&stream(&body)[..32], &left), "{what}");
        }
        let meant = ExportTraceServiceRequest::decode(&*meant).unwrap().resource_spans;
        assert_eq!(spans_of(&strictly_inflated(&left)), meant, "{what}");
    }
    // Damaged in the middle, it is refused and nothing of it leaves.
    let mut body = gzip(&owls(30));
    let middle = body.len() / 2;
    body[middle] ^= 0x10;
    let answer = post(http, "/v1/traces", &[PROTOBUF, ("content-encoding", "gzip")], &body).await;
    assert_eq!(answer.brief(), "400 3");
    assert_eq!(backend.exchanges().len(), 7);
    assert_eq!(backend.role.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_beside_a_grafting_one_gets_what_it_would_have_got() {
    let (graft, gzips, plain) = (
        StandIn::start(Otlp::default()).await,
        StandIn::start(Otlp::default()).await,
        StandIn::start(Otlp::default()).await,
    );
    let settings = [
        sink("gzips", &gzips, "compression: gzip"),
        sink("graft", &graft, "compression: gzip, graft: true"),
        sink("plain", &plain, "compression: none"),
    ];
    let home = home(&settings.concat(), "", "to: [gzips, graft, plain]");
    let daemon = Daemon::start(&home).await;
    let http = daemon.telemetry_addresses()[1];
    let mut bodies = Vec::new();
    for at in 0..20 {
        let original = block(&OWL, 20 + at);
        let body = request(vec![original.clone()]);
        let packed = gzip(&body);
        let answer = post(http, "/v1/traces", &[PROTOBUF, ("content-encoding", "gzip")], &packed).await;
        assert_eq!(answer.status, 200);
        bodies.push(body);
        // One at a time, so that nothing is joined.
        for backend in [&graft, &gzips, &plain] {
            until_true("each sink to have it", PATIENCE, async || backend.exchanges().len() == bodies.len()).await;
        }
        let last = |backend: &StandIn<Otlp>| backend.exchanges().pop().expect("it has arrived").body;
        assert!(is_inside(stream(&packed), &last(&graft)));
        assert!(!is_inside(stream(&packed), &last(&gzips)));
        let uncompressed = last(&plain).to_vec();
        assert_eq!(strictly_inflated(&last(&gzips)), uncompressed, "the same bytes, compressed anew");
        assert_eq!(spans_of(&uncompressed), *std::slice::from_ref(&original));
        assert_eq!(spans_of(&strictly_inflated(&last(&graft))), [original]);
    }
    for backend in [&graft, &gzips, &plain] {
        assert_eq!(super::kit::arrived(backend), ids(&bodies));
    }
}

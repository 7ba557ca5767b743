//! Probes of protobuf itself: what is broken is refused whole, what is only strange goes through bit for bit.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::report::Report;
use super::speak::{EXPORT, Http1, PROTOBUF, call, framed, http2, post, send2, spans};
use super::target::Receiver;

const HTTP1: &str = "HTTP/1.1";
const GRPC: &str = "gRPC";

pub async fn probe(target: &dyn Receiver, report: &mut Report) {
    cut(target, report).await;
    broken(target, report).await;
    strange(target, report).await;
}

fn delimited(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(payload.len() as u64, &mut out);
    [out, payload.to_vec()].concat()
}

/// A request with one block, one scope and a span of these bytes.
fn of_span(span: &[u8]) -> Vec<u8> {
    delimited(1, &delimited(2, &delimited(2, span)))
}

fn of_resource(resource: &[u8]) -> Vec<u8> {
    delimited(1, &delimited(1, resource))
}

fn with_resource() -> Vec<u8> {
    let value = Some(AnyValue { value: Some(Value::StringValue("owl-service".to_owned())) });
    let attribute = KeyValue { key: "service.name".to_owned(), value, ..KeyValue::default() };
    let mut request = spans(30);
    request.resource_spans[0].resource = Some(Resource { attributes: vec![attribute], ..Resource::default() });
    request.encode_to_vec()
}

async fn cut(target: &dyn Receiver, report: &mut Report) {
    let whole = with_resource();
    let mut connection = Http1::open(target.address()).await;
    let (mut sender, _connection) = http2(target.address()).await;
    let (mut over_http, mut over_grpc) = (Vec::new(), Vec::new());
    for length in 1..whole.len() {
        let cut = &whole[..length];
        let answer = connection.send("POST", "/v1/traces", &[PROTOBUF], cut).await;
        if answer.brief() != "400 3" {
            over_http.push((length, answer.brief()));
        }
        let answer = send2(&mut sender, EXPORT, &[("content-type", "application/grpc")], framed(0, cut)).await;
        if answer.header("grpc-status") != "3" {
            over_grpc.push((length, answer.header("grpc-status").to_owned()));
        }
    }
    report.check("cut at any byte: those not refused", HTTP1, "[]", format!("{over_http:?}"));
    report.check("cut at any byte: those not refused", GRPC, "[]", format!("{over_grpc:?}"));
    report.check("nothing cut gets through", HTTP1, 0, target.arrived().len());
}

/// Arrays in arrays, so deep.
fn nested_value(depth: usize) -> Vec<u8> {
    let leaf = AnyValue { value: Some(Value::IntValue(1)) }.encode_to_vec();
    let value = (0..depth).fold(leaf, |inner, _| delimited(5, &delimited(1, &inner)));
    of_span(&delimited(9, &[delimited(1, b"k"), delimited(2, &value)].concat()))
}

async fn broken(target: &dyn Receiver, report: &mut Report) {
    let good = with_resource();
    let long_varint = |last: u8| [&[0x0a][..], &[0x80; 9], &[last]].concat();
    let name = |bytes: &[u8]| of_span(&delimited(5, bytes));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("noise", b"\xff\xff\xff".to_vec()),
        ("a text", b"not protobuf at all".to_vec()),
        ("a length behind the end", b"\x0a\x7f".to_vec()),
        ("a varint of eleven bytes", [&long_varint(0x80)[..], &[1]].concat()),
        ("a varint beyond 64 bits", long_varint(2)),
        ("a length of 2^64 - 1", long_varint(1)),
        ("field number 0", [&good[..], &[0x02, 0]].concat()),
        ("a key beyond 32 bits", [&good[..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0]].concat()),
        ("wire type 6", [&good[..], &[0x7e, 0]].concat()),
        ("wire type 7", [&good[..], &[0x7f, 0]].concat()),
        ("a group that does not end", [&good[..], &[0x7b]].concat()),
        ("the end of a group that did not begin", [&good[..], &[0x7c]].concat()),
        ("a group that ends as another", [&good[..], &[0x7b, 0x84, 0x01]].concat()),
        ("groups in groups, 200 deep", [&good[..], &[0x7b; 200], &[0x7c; 200]].concat()),
        ("blocks as a group", vec![0x0b, 0x0c]),
        ("blocks as a number", vec![0x08, 1]),
        ("a block longer than the request", [&good[..], &[0x0a, 4, 0x12, 0]].concat()),
        ("a scope longer than its block", delimited(1, &[0x12, 9, 0x12, 0])),
        ("a span longer than its scope", delimited(1, &delimited(2, &[0x12, 9, 0]))),
        ("a field longer than its span", of_span(&[0x2a, 9, b'n'])),
        ("a fixed64 of seven bytes", of_span(&[0x39, 1, 2, 3, 4, 5, 6, 7])),
        ("a fixed32 of three bytes", of_span(&[0x85, 1, 1, 2, 3])),
        ("a name that is no UTF-8", name(b"\xc3\x28")),
        ("a name with half a letter", name(b"owl\xe2\x82")),
        ("a name with a surrogate", name(b"\xed\xa0\x80")),
        ("a key that is no UTF-8", of_resource(&delimited(1, &delimited(1, b"\xff")))),
        ("a value that is no UTF-8", of_resource(&delimited(1, &delimited(2, &delimited(1, b"\xff"))))),
        ("an attribute that is cut", of_resource(&[0x0a, 5, 0x0a, 9])),
        ("values in values, 500 deep", nested_value(500)),
        ("a good block before a broken one", [&good[..], &[0x0a, 2, 0x12, 9]].concat()),
    ];
    for (what, bytes) in cases {
        let answer = post(target.address(), "/v1/traces", &[PROTOBUF], &bytes).await;
        let has_detail = answer.body.windows(10).any(|part| part == b"BadRequest");
        report.check(what, HTTP1, "400 3 true", format!("{} {has_detail}", answer.brief()));
        let answer = call(target.address(), EXPORT, &[], framed(0, &bytes)).await;
        report.check(what, GRPC, 3, answer.header("grpc-status"));
    }
    report.check("nothing broken gets through", HTTP1, 0, target.arrived().len());
}

async fn strange(target: &dyn Receiver, report: &mut Report) {
    let good = with_resource();
    let empty_spans = delimited(1, &delimited(2, &[0x12, 0].repeat(400_000)));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        // Field 15 of the request and field 900 of it are nobody's.
        ("unknown fields", [&good[..], &[0x7a, 2, b'h', b'i', 0xa0, 0x38, 7]].concat()),
        ("unknown fields in a span", of_span(&[0xc0, 0x3e, 7, 0xc9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8])),
        ("an unknown group", [&good[..], &[0x7b, 0x08, 1, 0x7c]].concat()),
        ("lengths that are longer than they need to be", vec![0x0a, 0x85, 0x80, 0x00, 0x12, 0x82, 0x00, 0x12, 0x00]),
        ("a scope before the Resource", delimited(1, &[delimited(2, &delimited(2, b"")), delimited(1, b"")].concat())),
        ("a block with nothing in it", delimited(1, b"")),
        ("fields of the wrong order", of_span(&[delimited(5, b"name"), delimited(1, &[1; 16])].concat())),
        ("values in values, 20 deep", nested_value(20)),
        ("400,000 spans of two bytes", empty_spans),
    ];
    for (what, bytes) in cases {
        let answer = post(target.address(), "/v1/traces", &[PROTOBUF], &bytes).await;
        let seen = format!("{} {}", answer.status, target.arrived_only(&bytes));
        report.check(what, HTTP1, "200 whole", seen);
        let answer = call(target.address(), EXPORT, &[], framed(0, &bytes)).await;
        let seen = format!("{} {}", answer.header("grpc-status"), target.arrived_only(&bytes));
        report.check(what, GRPC, "0 whole", seen);
    }
}

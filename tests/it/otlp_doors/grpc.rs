//! Probes of gRPC's own rules: framing, methods, deadlines, health, reflection.

use std::time::Duration;

use prost::Message;

use super::report::Report;
use super::speak::{EXPORT, call, framed, http2, send2, spans};
use super::target::Receiver;

const GRPC: &str = "gRPC";

pub async fn probe(target: &dyn Receiver, report: &mut Report) {
    framing(target, report).await;
    heads(target, report).await;
    health(target, report).await;
    reflection(target, report).await;
}

async fn framing(target: &dyn Receiver, report: &mut Report) {
    let message = spans(10).encode_to_vec();
    let one = framed(0, &message);
    let bodies = [
        ("no message", Vec::new(), "12"),
        ("an empty message", framed(0, b""), "0"),
        ("two messages", [&one[..], &one].concat(), "12"),
        ("a message and one byte", [&one[..], b"x"].concat(), "12"),
        ("half a prefix", vec![0, 0], "13"),
        ("half a message", one[..one.len() - 3].to_vec(), "13"),
        ("a flag that does not exist", framed(7, &message), "13"),
        ("a compressed message without an encoding", framed(1, &message), "13"),
        ("a length of four gigabytes", vec![0, 255, 255, 255, 255], "8"),
    ];
    for (name, body, expected) in bodies {
        let answer = call(target.address(), EXPORT, &[], body).await;
        let seen = format!("{} {}", answer.status, answer.header("grpc-status"));
        report.check(name, GRPC, format!("200 {expected}"), seen);
    }
    target.arrived();
    let answer = call(target.address(), EXPORT, &[("grpc-encoding", "gzip")], one).await;
    report.check("an uncompressed message of a compressed call", GRPC, 0, answer.header("grpc-status"));
    report.check("it arrives", GRPC, "whole", target.arrived_only(&message));
}

async fn heads(target: &dyn Receiver, report: &mut Report) {
    let one = framed(0, &spans(10).encode_to_vec());
    let (mut sender, _connection) = http2(target.address()).await;
    let types = [
        ("application/grpc", "0"),
        ("application/grpc+proto", "0"),
        ("Application/gRPC; x=y", "0"),
        ("application/grpc+json", "12"),
    ];
    for (given, expected) in types {
        let answer = send2(&mut sender, EXPORT, &[("content-type", given)], one.clone()).await;
        report.check(&format!("content type {given}, without te"), GRPC, expected, answer.header("grpc-status"));
    }
    for path in ["/opentelemetry.proto.collector.trace.v1.TraceService/Import", "/x.Y/Z", "/"] {
        let answer = call(target.address(), path, &[], one.clone()).await;
        let seen = format!("{} {}", answer.status, answer.header("grpc-status"));
        report.check(&format!("unknown method {path}"), GRPC, "200 12", seen);
    }
    target.arrived();
    for (timeout, delay, expected) in [("50m", 5000, "4"), ("20S", 1, "0"), ("99999999H", 1, "0"), ("soon", 0, "13")] {
        target.set_delay(Duration::from_millis(delay));
        let answer = call(target.address(), EXPORT, &[("grpc-timeout", timeout)], one.clone()).await;
        report.check(&format!("grpc-timeout {timeout}"), GRPC, expected, answer.header("grpc-status"));
    }
    target.set_delay(Duration::ZERO);
    target.arrived();
}

async fn health(target: &dyn Receiver, report: &mut Report) {
    let check = |service: &str| {
        let length = u8::try_from(service.len()).unwrap();
        framed(0, &[&[0x0a, length][..], service.as_bytes()].concat())
    };
    for service in ["", "opentelemetry.proto.collector.trace.v1.TraceService", "grpc.health.v1.Health"] {
        let answer = call(target.address(), "/grpc.health.v1.Health/Check", &[], check(service)).await;
        let seen = format!("{} {:?}", answer.header("grpc-status"), &answer.body[..]);
        report.check(&format!("health of `{service}`"), GRPC, "0 [0, 0, 0, 0, 2, 8, 1]", seen);
    }
    let answer = call(target.address(), "/grpc.health.v1.Health/Check", &[], check("nobody")).await;
    report.check("health of an unknown service", GRPC, 5, answer.header("grpc-status"));
    let answer = call(target.address(), "/grpc.health.v1.Health/List", &[], framed(0, b"")).await;
    report.check("health of all", GRPC, 0, answer.header("grpc-status"));
    let answer = call(target.address(), "/grpc.health.v1.Health/Heal", &[], framed(0, b"")).await;
    report.check("an unknown method of health", GRPC, 12, answer.header("grpc-status"));
}

async fn reflection(target: &dyn Receiver, report: &mut Report) {
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // list_services, twice in one stream.
        let question = framed(0, &[0x3a, 0]);
        let answer = call(target.address(), &path, &[], [&question[..], &question].concat()).await;
        let name = b"opentelemetry.proto.collector.logs.v1.LogsService";
        let count = answer.body.windows(name.len()).filter(|part| part == name).count();
        let seen = format!("{} {count}", answer.header("grpc-status"));
        report.check(&format!("reflection {version} lists the services"), GRPC, "0 2", seen);
        // file_containing_symbol: error_response, its code NOT_FOUND.
        let answer = call(target.address(), &path, &[], framed(0, &[0x22, 1, b'x'])).await;
        let is_not_found = answer.body.windows(2).any(|part| part == [0x08, 5]);
        let seen = format!("{} {is_not_found}", answer.header("grpc-status"));
        report.check(&format!("reflection {version} of an unknown symbol"), GRPC, "0 true", seen);
        // file_containing_symbol and file_by_filename: file_descriptor_response, which is field 4.
        let file = "opentelemetry/proto/trace/v1/trace.proto";
        for (field, asked) in [(0x22, "opentelemetry.proto.trace.v1.Span.Event"), (0x1a, file)] {
            let length = u8::try_from(asked.len()).unwrap();
            let question = [&[field, length][..], asked.as_bytes()].concat();
            let answer = call(target.address(), &path, &[], framed(0, &question)).await;
            // Behind the question, which is repeated, and the prefix of the message.
            let after = answer.body.get(5 + 2 + question.len()..).unwrap_or_default();
            let has_file =
                after.first() == Some(&0x22) && after.windows(file.len()).any(|part| part == file.as_bytes());
            let seen = format!("{} {has_file}", answer.header("grpc-status"));
            report.check(&format!("reflection {version} of {asked}"), GRPC, "0 true", seen);
        }
    }
}

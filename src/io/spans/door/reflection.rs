//! Server reflection, version 1 and its older twin (grpc-proto, grpc/reflection/v1/reflection.proto): lists the
//! services and describes what they take. Never knows an extension; OTLP has none.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Frame;
use tokio::sync::mpsc;

use super::descriptors;
use super::fault::{Fault, shown};
use super::frames::{Messages, framed};
use super::grpc::{self, Call};
use super::incoming::Incoming;
use super::life::Life;
use super::reply::{Reply, Response, Stream};
use super::services;
use crate::otlp::Malformed;
use crate::otlp::answer::Code;
use crate::otlp::wire::{Fields, put_bytes, put_key, put_varint};

const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Answers question after question until the sender is done or `timeout` has passed.
pub(super) fn answer(
    path: &str,
    call: Call,
    mut body: Incoming,
    life: &Arc<Life>,
    timeout: Duration,
) -> Result<Response, Fault> {
    if !PATHS.contains(&path) {
        return Err(Fault::UnknownMethod { path: shown(path) });
    }
    let (sender, frames) = mpsc::channel(2);
    let maker = Box::pin(async move {
        let all = async {
            let mut messages = Messages::new(&mut body);
            while let Some(question) = grpc::question(&mut messages, call).await? {
                let wrong = |_| Fault::Corrupt { encoding: "protobuf", reason: "it is no reflection request" };
                let answer = respond(&question).map_err(wrong)?;
                if sender.send(Frame::data(framed(&answer))).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let ended = tokio::time::timeout(timeout, all).await.unwrap_or(Err(Fault::Late));
        let trailers = match ended {
            Ok(()) => grpc::fine(),
            Err(fault) => grpc::failed(fault.grpc(), &fault.to_string()),
        };
        let _ = sender.send(Frame::trailers(trailers)).await;
    });
    Ok(grpc::respond(Reply::Stream(Stream::new(maker, frames, life.begin()))))
}

/// Fields of a question that ask for something.
const FILE_BY_NAME: u32 = 3;
const FILE_WITH_SYMBOL: u32 = 4;
const LIST_SERVICES: u32 = 7;

fn respond(question: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut asked = None;
    let mut out = Vec::new();
    for field in Fields::new(question) {
        let field = field?;
        if (FILE_BY_NAME..=LIST_SERVICES).contains(&field.number) {
            asked = Some((field.number, field.value.bytes().unwrap_or_default()));
        }
        if field.number == 1
            && let Some(host) = field.value.bytes()
        {
            put_bytes(&mut out, 1, host);
        }
    }
    put_bytes(&mut out, 2, question);
    let mut inner = Vec::new();
    match asked {
        Some((LIST_SERVICES, _)) => {
            for service in services().filter(|service| !service.is_empty()) {
                let mut entry = Vec::new();
                put_bytes(&mut entry, 1, service.as_bytes());
                put_bytes(&mut inner, 1, &entry);
            }
            put_bytes(&mut out, 6, &inner);
        }
        asked => {
            let file = match asked {
                Some((FILE_BY_NAME, name)) => descriptors::file_named(name),
                Some((FILE_WITH_SYMBOL, symbol)) => descriptors::file_with(symbol),
                Some(_) | None => None,
            };
            if let Some(file) = file {
                put_bytes(&mut inner, 1, file);
                put_bytes(&mut out, 4, &inner);
                return Ok(out);
            }
            let (code, message) = match asked {
                Some(_) => (Code::NotFound, "nothing of this name is described here"),
                None => (Code::InvalidArgument, "the request asks for nothing"),
            };
            put_key(&mut inner, 1, 0);
            put_varint(&mut inner, u64::from(code.as_u8()));
            put_bytes(&mut inner, 2, message.as_bytes());
            put_bytes(&mut out, 7, &inner);
        }
    }
    Ok(out)
}

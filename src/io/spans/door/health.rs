//! `grpc.health.v1.Health`: serving until we are told to stop (grpc-proto, grpc/health/v1/health.proto). Says nothing
//! about the budget: a full door still serves.

use std::sync::Arc;

use hyper::body::Frame;
use tokio::sync::mpsc;

use super::fault::{Fault, shown};
use super::frames::{Messages, framed};
use super::grpc::{self, Call};
use super::incoming::Incoming;
use super::life::Life;
use super::reply::{Reply, Response, Stream};
use super::{Door, services};
use crate::otlp::answer::Code;
use crate::otlp::wire::{Fields, put_bytes};

pub(super) const PREFIX: &str = "/grpc.health.v1.Health/";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl State {
    fn now(stopping: bool) -> State {
        if stopping { State::NotServing } else { State::Serving }
    }

    /// A `HealthCheckResponse`.
    fn message(self) -> [u8; 2] {
        [0x08, self as u8]
    }
}

pub(super) async fn answer(
    door: &Door,
    path: &str,
    call: Call,
    mut body: Incoming,
    life: &Arc<Life>,
) -> Result<Response, Fault> {
    let method = &path[PREFIX.len()..];
    if !["Check", "Watch", "List"].contains(&method) {
        return Err(Fault::UnknownMethod { path: shown(path) });
    }
    let asking = ask(&mut body, call);
    let service = tokio::time::timeout(door.options.head_timeout, asking).await.map_err(|_| Fault::Late)??;
    let is_known = services().any(|known| known == service);
    match method {
        "Check" if !is_known => Err(Fault::UnknownService { service: shown(&service) }),
        "Check" => Ok(grpc::say(&State::now(*door.stopping.borrow()).message())),
        "List" => Ok(grpc::say(&list(State::now(*door.stopping.borrow())))),
        _ => Ok(watch(door, is_known, life)),
    }
}

/// The service that the one question names; empty means the whole server.
async fn ask(body: &mut Incoming, call: Call) -> Result<String, Fault> {
    let mut messages = Messages::new(body);
    let question = grpc::question(&mut messages, call).await?.ok_or(Fault::Cardinality { what: "no message" })?;
    messages.end().await?;
    let wrong = || Fault::Corrupt { encoding: "protobuf", reason: "it is no health check" };
    let mut service = String::new();
    for field in Fields::new(&question) {
        let field = field.map_err(|_| wrong())?;
        if field.number == 1 {
            let name = field.value.bytes().ok_or_else(wrong)?;
            service = String::from_utf8(name.to_vec()).map_err(|_| wrong())?;
        }
    }
    Ok(service)
}

fn list(state: State) -> Vec<u8> {
    let mut out = Vec::new();
    for service in services() {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, service.as_bytes());
        put_bytes(&mut entry, 2, &state.message());
        put_bytes(&mut out, 1, &entry);
    }
    out
}

/// Says the state at once, and again when we are told to stop; then the stream ends, so that it holds up nothing.
fn watch(door: &Door, is_known: bool, life: &Arc<Life>) -> Response {
    let mut stopping = door.stopping.subscribe();
    let (sender, frames) = mpsc::channel(2);
    let maker = Box::pin(async move {
        let now = if is_known { State::now(*stopping.borrow()) } else { State::ServiceUnknown };
        let _ = sender.send(Frame::data(framed(&now.message()))).await;
        let _ = stopping.wait_for(|stopping| *stopping).await;
        if now == State::Serving {
            let _ = sender.send(Frame::data(framed(&State::NotServing.message()))).await;
        }
        let _ = sender.send(Frame::trailers(grpc::failed(Code::Unavailable, "the server stops"))).await;
    });
    grpc::respond(Reply::Stream(Stream::new(maker, frames, life.begin())))
}

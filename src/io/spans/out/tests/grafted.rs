//! Requests that leave as their senders compressed them.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::*;
use crate::model::Existing;
use crate::otlp::enrich::{Edit, HELD_FIELD, Member, graft, new_resource};
use crate::otlp::wire::{Fields, scan};

/// Spans of some words, as libdeflate packs them.
fn grafted(budget: &Arc<Budget>, round: usize) -> Parcel {
    let mut random = fastrand::Rng::with_seed(round as u64);
    let names: Vec<String> = (0..40).map(|_| format!("GET /api/v{round}/owls/{:x}", random.u64(..))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let slices = parcel(budget, &names).slices.concat();
    let mut request = ExportTraceServiceRequest::decode(&slices[..]).unwrap();
    let value = Some(AnyValue { value: Some(Value::StringValue("owl-service".to_owned())) });
    let name = KeyValue { key: "service.name".to_owned(), value, key_strindex: 0 };
    request.resource_spans[0].resource = Some(Resource { attributes: vec![name], ..Resource::default() });
    let plain = Bytes::from(request.encode_to_vec());
    let mut tool = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(6).unwrap());
    let mut deflate = vec![0; tool.deflate_compress_bound(plain.len())];
    let length = tool.deflate_compress(&plain, &mut deflate).unwrap();
    deflate.truncate(length);
    let member = Member { deflate: deflate.into(), crc: crc32fast::hash(&plain) };
    let block = scan(Signal::Traces, &plain, &mut ()).unwrap().blocks.remove(0);
    let edit = Edit { key: "tawny.cell", value: "prod-c2", existing: Existing::Replace };
    let resource = new_resource(&block.resource(&plain), &[edit]).unwrap();
    let share = Arc::new(budget.take(plain.len()).unwrap());
    let mut parcel = Parcel::new(Signal::Traces, vec![plain.clone()], names.len(), share);
    parcel.grafted = Some(Arc::new(graft(&member, plain.len(), &block, &resource).unwrap()));
    parcel
}

fn held_count(message: &[u8]) -> usize {
    let blocks = scan(Signal::Traces, message, &mut ()).unwrap().blocks;
    let fields = blocks.iter().flat_map(|block| Fields::new(&message[block.payload.clone()]).flatten());
    fields.filter(|field| field.number == HELD_FIELD).count()
}

#[tokio::test]
async fn grafted_requests_that_queued_up_leave_as_one_and_beside_others_they_are_compressed_anew() {
    for protocol in ["http", "grpc"] {
        let is_grpc = protocol == "grpc";
        let stand_in = StandIn::gated(move |_, _| if is_grpc { grpc(0) } else { http(200) }).await;
        let rig =
            rig(to(&stand_in), Patience::Retry, json!({"protocol": protocol, "compression": "gzip", "graft": true}));
        rig.offer(&["first"]).unwrap();
        stand_in.wait_for(1).await;
        for round in 0..3 {
            rig.outlet.offer(grafted(&rig.budget, round), None).unwrap();
        }
        stand_in.gate.add_permits(1);
        stand_in.wait_for(2).await;
        rig.outlet.offer(grafted(&rig.budget, 7), None).unwrap();
        rig.offer(&["plain"]).unwrap();
        stand_in.gate.add_permits(10);
        rig.until_settled(1 + 3 * 40 + 40 + 1).await;
        let seen = stand_in.seen();
        let counts: Vec<(usize, usize)> =
            seen.iter().map(|seen| (seen.spans().len(), held_count(&seen.message))).collect();
        assert_eq!(counts, [(1, 0), (3 * 40, 3), (41, 0)], "{protocol}");
        for seen in &seen[1..2] {
            let rounds = (0..3).map(|round| format!("/v{round}/"));
            assert!(
                rounds.into_iter().all(|round| seen.spans().iter().filter(|name| name.contains(&round)).count() == 40)
            );
        }
        assert_eq!(rig.end(GRACE).await, Left::default());
    }
}

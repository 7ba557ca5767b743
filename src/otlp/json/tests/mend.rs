//! Hex letters in the place of bytes, in protobuf: mended where they are ids, and nothing else is touched.

use proptest::prelude::*;
use prost::Message;

use super::dice::Dice;
use super::{Repair, mend_hex_ids};
use crate::model::Signal;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

fn as_letters(id: &mut Vec<u8>, count: &mut u64) {
    if !id.is_empty() {
        *id = id.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
        *count += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn letters_of_span_ids_become_bytes_again(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let good = Dice::new(&bytes).traces();
        let (mut bad, mut count) = (good.clone(), 0);
        for span in bad.resource_spans.iter_mut().flat_map(|block| &mut block.scope_spans).flat_map(|block| &mut block.spans) {
            as_letters(&mut span.trace_id, &mut count);
            as_letters(&mut span.span_id, &mut count);
            as_letters(&mut span.parent_span_id, &mut count);
            for link in &mut span.links {
                as_letters(&mut link.trace_id, &mut count);
                as_letters(&mut link.span_id, &mut count);
            }
        }
        let mended = mend_hex_ids(Signal::Traces, &bad.encode_to_vec()).unwrap();
        prop_assert_eq!(mended.as_ref().map_or(0, |mended| mended.repairs.count(Repair::HexTextId)), count);
        if let Some(mended) = mended {
            prop_assert_eq!(mended.protobuf, good.encode_to_vec());
        }
    }

    #[test]
    fn letters_of_log_ids_become_bytes_again(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let good = Dice::new(&bytes).logs();
        let (mut bad, mut count) = (good.clone(), 0);
        for log in bad.resource_logs.iter_mut().flat_map(|block| &mut block.scope_logs).flat_map(|block| &mut block.log_records) {
            as_letters(&mut log.trace_id, &mut count);
            as_letters(&mut log.span_id, &mut count);
        }
        if let Some(mended) = mend_hex_ids(Signal::Logs, &bad.encode_to_vec()).unwrap() {
            prop_assert_eq!((mended.protobuf, mended.repairs.count(Repair::HexTextId)), (good.encode_to_vec(), count));
        } else {
            prop_assert_eq!(count, 0);
        }
    }

    #[test]
    fn letters_of_exemplar_ids_become_bytes_again(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let good = Dice::new(&bytes).metrics();
        let (mut bad, mut count) = (good.clone(), 0);
        for metric in bad.resource_metrics.iter_mut().flat_map(|block| &mut block.scope_metrics).flat_map(|block| &mut block.metrics) {
            let exemplars: Vec<_> = match &mut metric.data {
                Some(Data::Gauge(data)) => data.data_points.iter_mut().flat_map(|point| &mut point.exemplars).collect(),
                Some(Data::Sum(data)) => data.data_points.iter_mut().flat_map(|point| &mut point.exemplars).collect(),
                Some(Data::Histogram(data)) => data.data_points.iter_mut().flat_map(|point| &mut point.exemplars).collect(),
                Some(Data::ExponentialHistogram(data)) => {
                    data.data_points.iter_mut().flat_map(|point| &mut point.exemplars).collect()
                }
                Some(Data::Summary(_)) | None => Vec::new(),
            };
            for exemplar in exemplars {
                as_letters(&mut exemplar.trace_id, &mut count);
                as_letters(&mut exemplar.span_id, &mut count);
            }
        }
        if let Some(mended) = mend_hex_ids(Signal::Metrics, &bad.encode_to_vec()).unwrap() {
            prop_assert_eq!((mended.protobuf, mended.repairs.count(Repair::HexTextId)), (good.encode_to_vec(), count));
        } else {
            prop_assert_eq!(count, 0);
        }
    }
}

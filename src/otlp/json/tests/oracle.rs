//! The reader beside opentelemetry-proto: what serde wrote from official messages must come back as the same messages.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;
use serde::Serialize;

use super::dice::Dice;
use super::{Mode, to_protobuf};
use crate::model::Signal;

/// Both modes, with and without blanks: the same message, the same size as prost's own, and nothing to mend.
fn comes_back<M>(signal: Signal, request: &M) -> Result<(), TestCaseError>
where
    M: Message + Serialize + Default + PartialEq + std::fmt::Debug,
{
    let texts = [serde_json::to_vec(request).unwrap(), serde_json::to_vec_pretty(request).unwrap()];
    for (text, mode) in texts.iter().flat_map(|text| [(text, Mode::Strict), (text, Mode::Lenient)]) {
        let read = to_protobuf(signal, text, mode);
        let read = read.map_err(|fault| TestCaseError::fail(format!("{fault}: {}", String::from_utf8_lossy(text))))?;
        prop_assert!(read.repairs.is_empty());
        prop_assert_eq!(&M::decode(read.protobuf.as_slice()).unwrap(), request);
        // Ours keeps the sign of a zero that prost leaves out.
        prop_assert!(read.protobuf.len() >= request.encoded_len());
    }
    Ok(())
}

fn thrown() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..1500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn traces_written_by_the_official_crate_come_back(bytes in thrown()) {
        let request: ExportTraceServiceRequest = Dice::new(&bytes).traces();
        comes_back(Signal::Traces, &request)?;
    }

    #[test]
    fn logs_written_by_the_official_crate_come_back(bytes in thrown()) {
        let request: ExportLogsServiceRequest = Dice::new(&bytes).logs();
        comes_back(Signal::Logs, &request)?;
    }

    #[test]
    fn metrics_written_by_the_official_crate_come_back(bytes in thrown()) {
        let request: ExportMetricsServiceRequest = Dice::new(&bytes).metrics();
        comes_back(Signal::Metrics, &request)?;
    }
}

//! Mends ids of a protobuf request that hold their hex letters instead of their bytes. Never looks at a request whose ids
//! have the right lengths, and never takes memory that was not booked first.

use std::sync::Arc;

use crate::io::spans::faces::{Arrival, NoRoom};
use crate::otlp::json::mend_hex_ids;

/// What became of the ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mending {
    /// None of them holds hex letters.
    Nothing,
    /// The request has a new body, which has to be scanned again.
    Mended,
}

/// Both bodies stand side by side for a moment, so there must be room for both.
pub(super) fn mend_ids(arrival: &mut Arrival) -> Result<Mending, NoRoom> {
    let share = Arc::get_mut(&mut arrival.share).expect("nobody else knows of the request yet");
    let held = share.bytes();
    if !share.grow(held + arrival.body.len()) {
        return Err(NoRoom);
    }
    // A scan has accepted the bytes, so there is nothing else to say of them.
    let mended = mend_hex_ids(arrival.signal, &arrival.body).ok().flatten();
    let outcome = match mended {
        None => Mending::Nothing,
        Some(read) => {
            arrival.body = read.protobuf.into();
            arrival.repairs = read.repairs;
            // It inflates to what the request was.
            arrival.member = None;
            Mending::Mended
        }
    };
    share.shrink(held);
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::io::spans::faces::Budget;
    use crate::model::Signal;
    use crate::otlp::enrich::Member;
    use crate::otlp::json::{Repair, Repairs};

    /// A request with one span that has this trace id.
    fn arrival(budget: &Arc<Budget>, trace_id: &[u8]) -> Arrival {
        let nested = |number: u8, inner: &[u8]| {
            let length = u8::try_from(inner.len()).expect("it is short");
            [&[number << 3 | 2, length], inner].concat()
        };
        let body: Bytes = nested(1, &nested(2, &nested(2, &nested(1, trace_id)))).into();
        let share = budget.take(body.len()).expect("there is room");
        let member = Some(Member { deflate: Bytes::new(), crc: 0 });
        let (signal, repairs) = (Signal::Traces, Repairs::default());
        Arrival { signal, body, member, repairs, share: Arc::new(share) }
    }

    #[test]
    fn letters_become_bytes_and_the_compressed_form_of_the_letters_is_forgotten() {
        let budget = Budget::new(1000);
        let mut request = arrival(&budget, b"0102030405060708090a0b0c0d0e0f10");
        assert_eq!(mend_ids(&mut request), Ok(Mending::Mended));
        let bytes: Vec<u8> = (1..=16).collect();
        assert_eq!(request.body, arrival(&budget, &bytes).body);
        assert_eq!((request.repairs.count(Repair::HexTextId), request.member), (1, None));
        assert_eq!(budget.in_use(), request.share.bytes());
    }

    #[test]
    fn other_odd_ids_and_a_full_budget_leave_the_request_alone() {
        let budget = Budget::new(1000);
        let mut request = arrival(&budget, b"0102");
        assert_eq!(mend_ids(&mut request), Ok(Mending::Nothing));
        assert!(request.member.is_some() && request.repairs.is_empty());
        let budget = Budget::new(60);
        let mut request = arrival(&budget, b"0102030405060708090a0b0c0d0e0f10");
        assert_eq!(mend_ids(&mut request), Err(NoRoom));
        assert_eq!(budget.in_use(), request.body.len());
    }
}

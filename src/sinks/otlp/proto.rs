//! The few messages of answers: `Export…ServiceResponse`, `google.rpc.Status` with a `RetryInfo`. Reads what is
//! well formed and gives `None` for the rest; never trusts a length.

use std::time::Duration;

/// The `partial_success` of an answer; the fields have the same numbers for every signal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) rejected: u64,
    pub(super) message: String,
}

pub(super) fn partial_success(body: &[u8]) -> Option<Partial> {
    let mut partial = Partial::default();
    let mut fields = Fields(body);
    while let Some((number, value)) = fields.next()? {
        if let (1, Value::Bytes(inner)) = (number, value) {
            let mut fields = Fields(inner);
            while let Some(field) = fields.next()? {
                match field {
                    // A negative count is nonsense: nothing was rejected.
                    (1, Value::Varint(count)) => partial.rejected = u64::try_from(count.cast_signed()).unwrap_or(0),
                    (2, Value::Bytes(text)) => partial.message = String::from_utf8_lossy(text).into_owned(),
                    _ => {}
                }
            }
        }
    }
    Some(partial)
}

/// The message of a `google.rpc.Status`.
pub(super) fn status_message(body: &[u8]) -> Option<String> {
    let mut message = None;
    let mut fields = Fields(body);
    while let Some(field) = fields.next()? {
        if let (2, Value::Bytes(text)) = field {
            message = Some(std::str::from_utf8(text).ok()?.to_owned());
        }
    }
    message
}

/// The delay of the `google.rpc.RetryInfo` among the details of a `google.rpc.Status`.
pub(super) fn retry_delay(status: &[u8]) -> Option<Duration> {
    let mut fields = Fields(status);
    while let Some(field) = fields.next()? {
        if let (3, Value::Bytes(any)) = field
            && let Some(delay) = retry_info(any)
        {
            return Some(delay);
        }
    }
    None
}

fn retry_info(any: &[u8]) -> Option<Duration> {
    let mut fields = Fields(any);
    let (mut is_retry_info, mut info) = (false, &[][..]);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(url)) => is_retry_info = url.ends_with(b"/google.rpc.RetryInfo"),
            (2, Value::Bytes(value)) => info = value,
            _ => {}
        }
    }
    if !is_retry_info {
        return None;
    }
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    let mut fields = Fields(info);
    while let Some(field) = fields.next()? {
        if let (1, Value::Bytes(duration)) = field {
            let mut fields = Fields(duration);
            while let Some(field) = fields.next()? {
                match field {
                    (1, Value::Varint(value)) => seconds = value.cast_signed(),
                    (2, Value::Varint(value)) => nanos = value.cast_signed(),
                    _ => {}
                }
            }
        }
    }
    // A delay below nothing is none; so is one without a RetryInfo's own field.
    let whole = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Some(whole.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0).min(999_999_999))))
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a message, in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// `None`: malformed. `Some(None)`: the end.
    #[expect(clippy::option_option, reason = "malformed, ended and a field are three things")]
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups are in none of these messages.
            _ => return None,
        };
        Some(Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for at in 0..10 {
            let byte = *self.0.get(at)?;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

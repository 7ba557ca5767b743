//! Reads one answer of HTTP/1.1 from a connection. Never reads more of it than is kept, and never follows anything
//! that it says.

use std::io;
use std::ops::Range;

use tokio::io::AsyncReadExt;
use tokio::net::tcp::ReadHalf;

use crate::io::transport::{ANSWER_BYTES_MAX, Received};

/// Head, sizes of chunks and trailers together; the largest servers send is some 8 KiB.
const LINES_BYTES_MAX: usize = 32 * 1024;
/// Room for one read: nearly every answer fits.
const READ_BYTES: usize = 4096;

/// An answer, and whether the connection takes another request behind it.
pub(super) struct Answer {
    pub(super) received: Received,
    pub(super) is_reusable: bool,
}

/// What has come and not been looked at yet.
pub(super) struct Incoming<'a> {
    reader: ReadHalf<'a>,
    held: &'a mut Vec<u8>,
    at: usize,
    lines_left: usize,
}

enum Length {
    Known(u64),
    Chunked,
    /// The answer ends with the connection.
    Open,
}

struct Head {
    received: Received,
    length: Length,
    is_reusable: bool,
}

impl<'a> Incoming<'a> {
    /// `held` is only memory that is used again.
    pub(super) fn new(reader: ReadHalf<'a>, held: &'a mut Vec<u8>) -> Incoming<'a> {
        held.clear();
        Incoming { reader, held, at: 0, lines_left: LINES_BYTES_MAX }
    }

    pub(super) async fn answer(mut self) -> io::Result<Answer> {
        let mut head = self.head().await?;
        // Interim answers precede the one that counts.
        while head.received.status < 200 {
            if head.received.status == 101 {
                return Err(malformed("the other side changes the protocol"));
            }
            head = self.head().await?;
        }
        let Head { mut received, length, is_reusable } = head;
        let is_whole = match length {
            Length::Known(count) => self.body(count, &mut received.body).await?,
            Length::Chunked => self.chunks(&mut received.body).await?,
            Length::Open => {
                self.rest(&mut received.body).await?;
                false
            }
        };
        // Bytes behind the end answer nothing that was asked.
        let is_reusable = is_reusable && is_whole && self.at == self.held.len();
        Ok(Answer { received, is_reusable })
    }

    async fn head(&mut self) -> io::Result<Head> {
        let line = self.line().await?;
        let (is_newer, status) =
            status(&self.held[line]).ok_or_else(|| malformed("the answer does not begin as HTTP/1"))?;
        let received = Received { status, ..Received::default() };
        let mut head = Head { received, length: Length::Open, is_reusable: is_newer };
        let (mut known, mut is_encoded) = (None, false);
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = split(&self.held[line]).ok_or_else(|| malformed("a header has no name"))?;
            if name.eq_ignore_ascii_case(b"content-length") {
                let count = number(value, 10).filter(|count| known.is_none_or(|known| known == *count));
                known = Some(count.ok_or_else(|| malformed("the length of the answer is no number"))?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                is_encoded = true;
                let is_chunked = last_word(value).eq_ignore_ascii_case(b"chunked");
                head.length = if is_chunked { Length::Chunked } else { Length::Open };
            } else if name.eq_ignore_ascii_case(b"connection") {
                head.is_reusable &= !has_word(value, b"close");
            } else if name.eq_ignore_ascii_case(b"retry-after") {
                head.received.retry_after = std::str::from_utf8(value).ok().map(str::to_owned);
            } else if name.eq_ignore_ascii_case(b"x-sentry-rate-limits") {
                head.received.rate_limits = std::str::from_utf8(value).ok().map(str::to_owned);
            }
        }
        if status < 200 || matches!(status, 204 | 304) {
            head.length = Length::Known(0);
        } else if let Some(count) = known.filter(|_| !is_encoded) {
            head.length = Length::Known(count);
        }
        Ok(head)
    }

    /// Waits for more; the end of the connection is an error here.
    async fn more(&mut self) -> io::Result<()> {
        if self.at == self.held.len() {
            self.held.clear();
            self.at = 0;
        }
        self.held.reserve(READ_BYTES);
        match self.reader.read_buf(self.held).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended early")),
            _ => Ok(()),
        }
    }

    /// Where the next line stands, without its end.
    async fn line(&mut self) -> io::Result<Range<usize>> {
        let mut looked_at = self.at;
        loop {
            if let Some(found) = end_of_line(&self.held[looked_at..]) {
                let (start, end) = (self.at, looked_at + found);
                self.at = end + 1;
                self.lines_left = self
                    .lines_left
                    .checked_sub(self.at - start)
                    .ok_or_else(|| malformed("the head of the answer is too long"))?;
                let has_return = end > start && self.held[end - 1] == b'\r';
                return Ok(start..end - usize::from(has_return));
            }
            if self.held.len() - self.at > self.lines_left {
                return Err(malformed("the head of the answer is too long"));
            }
            // Nothing moves before the line begins, unless there is nothing yet.
            looked_at = if self.at == self.held.len() { 0 } else { self.held.len() };
            self.more().await?;
        }
    }

    /// So many bytes, kept as far as there is room. `false`: there was none, and the rest is left unread.
    async fn body(&mut self, count: u64, into: &mut Vec<u8>) -> io::Result<bool> {
        let mut left = count;
        while left > 0 {
            let room = ANSWER_BYTES_MAX - into.len();
            if room == 0 {
                return Ok(false);
            }
            if self.at == self.held.len() {
                self.more().await?;
            }
            let here = self.held.len() - self.at;
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(room).min(here);
            into.extend_from_slice(&self.held[self.at..self.at + take]);
            self.at += take;
            left -= take as u64;
        }
        Ok(true)
    }

    async fn chunks(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let line = self.line().await?;
            let size = self.held[line].split(|byte| *byte == b';').next().and_then(|size| number(size, 16));
            let size = size.ok_or_else(|| malformed("the size of a chunk is no number"))?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(true);
            }
            if !self.body(size, into).await? {
                return Ok(false);
            }
            if !self.line().await?.is_empty() {
                return Err(malformed("a chunk is longer than it says"));
            }
        }
    }

    async fn rest(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let room = ANSWER_BYTES_MAX - into.len();
            let take = room.min(self.held.len() - self.at);
            into.extend_from_slice(&self.held[self.at..self.at + take]);
            self.at += take;
            if take == room {
                return Ok(());
            }
            match self.more().await {
                Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                more => more?,
            }
        }
    }
}

/// Looks at the bytes in blocks: an answer has as much head as body.
fn end_of_line(bytes: &[u8]) -> Option<usize> {
    let is_within = |block: &[u8; 16]| block.iter().fold(true, |within, byte| within & (*byte != b'\n'));
    let within = bytes.as_chunks().0.iter().take_while(|block| is_within(block)).count() * 16;
    bytes[within..].iter().position(|byte| *byte == b'\n').map(|found| within + found)
}

/// Whether the connection stays open unless somebody says so, and the status.
fn status(line: &[u8]) -> Option<(bool, u16)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first()?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    if !matches!(rest.get(4), None | Some(b' ')) {
        return None;
    }
    let status = u16::try_from(number(digits, 10)?).ok().filter(|status| *status >= 100)?;
    Some((*minor == b'1', status))
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':').filter(|at| *at > 0)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

fn last_word(value: &[u8]) -> &[u8] {
    value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii()
}

fn has_word(value: &[u8], word: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|held| held.trim_ascii().eq_ignore_ascii_case(word))
}

fn number(text: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    // The parser would take a sign.
    u64::from_str_radix(text, radix).ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

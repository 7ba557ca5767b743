//! What a connection is doing, seen from beside it: its stream notes each read, its service each request, and whoever
//! drives it judges by that whether it is idle, slow or busy. Costs a few atomic additions per request and no timer.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::wire::Wire;

#[derive(Debug, Default)]
pub(super) struct Life {
    in_flight: AtomicU32,
    served: AtomicU32,
    reads: AtomicU32,
    /// `reads`, when the last request ended.
    reads_at_rest: AtomicU32,
    closing: AtomicBool,
}

/// A request, or the stream of its answer, that is under way.
pub(super) struct Busy(Arc<Life>);

impl Life {
    pub(super) fn begin(self: &Arc<Life>) -> Busy {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// From now on, answers over HTTP/1 close the connection.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// How often something was read; it begins again where it ends.
    pub(super) fn read_count(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let life = &self.0;
        life.reads_at_rest.store(life.reads.load(Ordering::Relaxed), Ordering::Relaxed);
        life.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Watches a [`Life`].
pub(super) struct Watch {
    life: Arc<Life>,
    served: u32,
    idle_since: Instant,
    head_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Fine,
    /// No request for longer than the idle timeout.
    Idle,
    /// A request's head has begun and does not end.
    SlowHead,
}

impl Watch {
    pub(super) fn new(life: Arc<Life>) -> Watch {
        Watch { life, served: 0, idle_since: Instant::now(), head_since: None }
    }

    /// To be called a few times within each of the timeouts.
    pub(super) fn look(&mut self, now: Instant, idle_timeout: Duration, head_timeout: Duration) -> Sight {
        let life = &self.life;
        let served = life.served.load(Ordering::Relaxed);
        if life.in_flight.load(Ordering::Relaxed) > 0 || served != self.served {
            (self.served, self.idle_since, self.head_since) = (served, now, None);
            return Sight::Fine;
        }
        if life.reads.load(Ordering::Relaxed) != life.reads_at_rest.load(Ordering::Relaxed) {
            let since = *self.head_since.get_or_insert(now);
            if now.duration_since(since) >= head_timeout {
                return Sight::SlowHead;
            }
        }
        if now.duration_since(self.idle_since) >= idle_timeout { Sight::Idle } else { Sight::Fine }
    }
}

/// What is read at most of a connection that we have closed.
const LINGERING_BYTES_MAX: usize = 128 << 20;

/// A sender's stream. When hyper has closed its side, it is read on for a moment and the bytes are thrown away: a
/// socket that is dropped with unread bytes resets the connection, and the reset may overtake our last answer.
pub(super) struct Watched {
    stream: Wire,
    life: Arc<Life>,
    linger_timeout: Duration,
    lingering: Option<Lingering>,
    ahead: Ahead,
}

/// What is read beyond what was asked for.
enum Ahead {
    Nothing,
    /// Hyper asks HTTP/2 for as much as is left in its buffer, which cuts most requests in two.
    Some(Bytes),
}

/// As much as is read at once where less was asked for.
const AHEAD_BYTES: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; AHEAD_BYTES].into());
}

struct Lingering {
    end: Pin<Box<Sleep>>,
    left: usize,
}

impl Watched {
    pub(super) fn new(stream: Wire, life: Arc<Life>, linger_timeout: Duration) -> Watched {
        Watched { stream, life, linger_timeout, lingering: None, ahead: Ahead::Nothing }
    }

    /// For a protocol that asks for less than has come.
    pub(super) fn reading_ahead(self) -> Watched {
        Watched { ahead: Ahead::Some(Bytes::new()), ..self }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Watched { stream, ahead, .. } = &mut *self;
        let polled = match ahead {
            Ahead::Some(ahead) if !ahead.is_empty() || into.remaining() < AHEAD_BYTES => {
                read_ahead(stream, ahead, context, into)
            }
            Ahead::Some(_) | Ahead::Nothing => Pin::new(stream).poll_read(context, into),
        };
        if polled.is_ready() {
            self.life.reads.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }
}

/// What was read before, or else all that has come.
fn read_ahead(
    stream: &mut Wire,
    ahead: &mut Bytes,
    context: &mut Context<'_>,
    into: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if !ahead.is_empty() {
        into.put_slice(&ahead.split_to(ahead.len().min(into.remaining())));
        return Poll::Ready(Ok(()));
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let mut read = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(context, &mut read))?;
        let (now, later) = read.filled().split_at(read.filled().len().min(into.remaining()));
        into.put_slice(now);
        *ahead = Bytes::copy_from_slice(later);
        Poll::Ready(Ok(()))
    })
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Most answers are one piece, and the kernel's call for one is the cheaper one.
        if let [only] = slices {
            return Pin::new(&mut self.stream).poll_write(context, only);
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            let end = Box::pin(tokio::time::sleep(self.linger_timeout));
            self.lingering = Some(Lingering { end, left: LINGERING_BYTES_MAX });
        }
        let Watched { stream, lingering: Some(lingering), .. } = &mut *self else { return Poll::Ready(Ok(())) };
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut read = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(context, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() && read.filled().len() <= lingering.left => {
                    lingering.left -= read.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        lingering.end.as_mut().poll(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_slow_and_busy_are_told_apart() {
        let (idle, head) = (Duration::from_secs(100), Duration::from_secs(10));
        let life = Arc::new(Life::default());
        let mut watch = Watch::new(life.clone());
        let start = Instant::now();
        let mut look = |seconds| watch.look(start + Duration::from_secs(seconds), idle, head);
        let busy = life.begin();
        assert_eq!(look(500), Sight::Fine);
        drop(busy);
        assert_eq!(look(599), Sight::Fine);
        life.reads.fetch_add(1, Ordering::Relaxed);
        assert_eq!(look(599), Sight::Fine);
        assert_eq!(look(609), Sight::SlowHead);
        drop(life.begin());
        assert_eq!(look(610), Sight::Fine);
        assert_eq!(look(709), Sight::Fine);
        assert_eq!(look(710), Sight::Idle);
    }
}

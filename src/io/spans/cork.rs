//! Holds back what a connection of HTTP/2 writes in small pieces, so that the head of a message, its body and its end,
//! and whatever else is said at the same moment, leave in one call to the kernel. Never holds anything once [`Cork::flush`] was called, unless the socket is full.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than this is written at once, without a copy. Some frames of the usual 16 KiB: a copy costs less than a call.
const HELD_BYTES_MAX: usize = 48 * 1024;

/// A stream that two hold: the connection writes into it, and who drives the connection sends that off.
pub(super) struct Cork<S>(Arc<Mutex<Held<S>>>);

struct Held<S> {
    stream: S,
    bytes: Vec<u8>,
    /// Why the last flush failed; the connection hears of it with its next read.
    broken: Option<io::ErrorKind>,
    read_count: u64,
}

impl<S> Clone for Cork<S> {
    fn clone(&self) -> Cork<S> {
        Cork(self.0.clone())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Cork<S> {
    pub(super) fn new(stream: S) -> Cork<S> {
        Cork(Arc::new(Mutex::new(Held { stream, bytes: Vec::new(), broken: None, read_count: 0 })))
    }

    fn held(&self) -> MutexGuard<'_, Held<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often something was read.
    pub(super) fn read_count(&self) -> u64 {
        self.held().read_count
    }

    /// Writes what is held. Ready when nothing is, and with an error when the stream takes nothing more.
    pub(super) fn flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.held();
        let flushed = ready!(held.empty(context));
        held.broken = flushed.as_ref().err().map(io::Error::kind);
        Poll::Ready(flushed)
    }
}

impl<S: AsyncWrite + Unpin> Held<S> {
    fn empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            ready!(self.write(context, &[]))?;
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// One write of what is held and of `more`; says how much of `more` it took.
    fn write(&mut self, context: &mut Context<'_>, more: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Held { stream, bytes, .. } = self;
        let written = if more.is_empty() {
            ready!(Pin::new(stream).poll_write(context, bytes))?
        } else {
            let own = (!bytes.is_empty()).then(|| IoSlice::new(bytes));
            let slices: Vec<IoSlice<'_>> = own.into_iter().chain(more.iter().copied()).collect();
            ready!(Pin::new(stream).poll_write_vectored(context, &slices))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_held = written.min(bytes.len());
        bytes.drain(..of_held);
        Poll::Ready(Ok(written - of_held))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Cork<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut held = self.held();
        if let Some(kind) = held.broken {
            return Poll::Ready(Err(kind.into()));
        }
        let polled = Pin::new(&mut held.stream).poll_read(context, into);
        held.read_count += u64::from(polled.is_ready());
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Cork<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut held = self.held();
        let byte_count = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if held.bytes.len() + byte_count <= HELD_BYTES_MAX {
            slices.iter().for_each(|slice| held.bytes.extend_from_slice(slice));
            return Poll::Ready(Ok(byte_count));
        }
        loop {
            let taken = ready!(held.write(context, slices))?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: who drives the connection flushes when all has been said.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.held();
        ready!(held.empty(context))?;
        Pin::new(&mut held.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes a few bytes a call and notes each call.
    struct Narrow {
        width: usize,
        calls: Vec<Vec<u8>>,
    }

    impl AsyncRead for Narrow {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut call = slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>();
            call.truncate(self.width);
            let length = call.len();
            self.calls.push(call);
            Poll::Ready(Ok(length))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn small_pieces_leave_together_and_nothing_is_lost_or_doubled_at_any_width() {
        let mut context = Context::from_waker(Waker::noop());
        for width in [1000, 7919, usize::MAX] {
            let mut cork = Cork::new(Narrow { width, calls: Vec::new() });
            let mut expected = Vec::new();
            for length in [9, 40, 16_393, 20_000, 16_393, 60_000, 1, 13] {
                let piece: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
                expected.extend_from_slice(&piece);
                let mut rest = &piece[..];
                while !rest.is_empty() {
                    let Poll::Ready(taken) = Pin::new(&mut cork).poll_write(&mut context, rest) else { panic!() };
                    rest = &rest[taken.unwrap()..];
                }
                assert!(Pin::new(&mut cork).poll_flush(&mut context).is_ready());
            }
            assert!(matches!(cork.flush(&mut context), Poll::Ready(Ok(()))));
            let calls = std::mem::take(&mut cork.held().stream.calls);
            assert!(calls.concat() == expected, "{width}");
            if width == usize::MAX {
                let lengths: Vec<usize> = calls.iter().map(Vec::len).collect();
                assert_eq!(lengths, [9 + 40 + 16_393 + 20_000 + 16_393, 60_000, 14]);
            }
        }
    }

    #[test]
    fn a_stream_that_takes_nothing_more_breaks_the_connection() {
        let mut context = Context::from_waker(Waker::noop());
        let mut cork = Cork::new(Narrow { width: 0, calls: Vec::new() });
        assert!(matches!(Pin::new(&mut cork).poll_write(&mut context, b"head"), Poll::Ready(Ok(4))));
        assert!(matches!(cork.flush(&mut context), Poll::Ready(Err(_))));
        assert_eq!(cork.held().broken, Some(io::ErrorKind::WriteZero));
    }
}

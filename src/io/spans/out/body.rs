//! The body of a request: slices that lie where they were received, written one after another. Never copies them.

use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

/// A list of slices, cheap to clone for another attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    parts: Arc<[Bytes]>,
    byte_count: usize,
}

impl Slices {
    pub(super) fn new(parts: Vec<Bytes>) -> Slices {
        let byte_count = parts.iter().map(Bytes::len).sum();
        Slices { parts: parts.into_iter().filter(|part| !part.is_empty()).collect(), byte_count }
    }

    /// With the prefix of a gRPC message: whether it is compressed, and its length.
    pub(super) fn framed(&self, is_compressed: bool) -> Option<Slices> {
        let length = u32::try_from(self.byte_count).ok()?;
        let mut prefix = [0; 5];
        prefix[0] = u8::from(is_compressed);
        prefix[1..].copy_from_slice(&length.to_be_bytes());
        let mut parts = Vec::with_capacity(self.parts.len() + 1);
        parts.push(Bytes::copy_from_slice(&prefix));
        parts.extend(self.parts.iter().cloned());
        Some(Slices::new(parts))
    }

    pub(super) fn body(&self) -> SliceBody {
        let unread = Unread { slices: self.clone(), part: 0, offset: 0, left: self.byte_count };
        SliceBody(Some(unread).filter(|unread| unread.left > 0))
    }

    #[cfg(test)]
    pub(super) fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    #[cfg(test)]
    pub(super) fn concat(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

/// One frame with everything: the connection then writes all slices in one call to the kernel, as far as they fit.
pub(super) struct SliceBody(Option<Unread>);

impl Body for SliceBody {
    type Data = Unread;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Unread>, Infallible>>> {
        Poll::Ready(self.0.take().map(|unread| Ok(Frame::data(unread))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |unread| unread.left as u64))
    }
}

impl SliceBody {
    /// For who writes it itself; `None` where there is nothing.
    pub(super) fn into_unread(self) -> Option<Unread> {
        self.0
    }
}

/// What is left to write.
pub(super) struct Unread {
    slices: Slices,
    part: usize,
    offset: usize,
    left: usize,
}

impl Buf for Unread {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.slices.parts.get(self.part).map_or(&[], |part| &part[self.offset..])
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        let rest = self.slices.parts.get(self.part + 1..).unwrap_or_default().iter().map(|part| &part[..]);
        let mut count = 0;
        for (to, chunk) in to.iter_mut().zip(std::iter::once(self.chunk()).chain(rest)) {
            if !chunk.is_empty() {
                *to = IoSlice::new(chunk);
                count += 1;
            }
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.left, "cannot advance past the end");
        self.left -= count;
        while count > 0 {
            let here = self.slices.parts[self.part].len() - self.offset;
            if count < here {
                self.offset += count;
                return;
            }
            count -= here;
            self.part += 1;
            self.offset = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_read_in_order_wherever_one_stops() {
        let parts: Vec<Bytes> = ["ab", "", "cde", "f"].map(Bytes::from).to_vec();
        for step in 1..=6 {
            let slices = Slices::new(parts.clone());
            assert_eq!(slices.body().size_hint().exact(), Some(6));
            let mut unread = slices.body().0.unwrap();
            let mut read = Vec::new();
            while unread.has_remaining() {
                let mut chunks = [IoSlice::new(&[]); 4];
                let count = unread.chunks_vectored(&mut chunks);
                let seen: Vec<u8> = chunks[..count].iter().flat_map(|chunk| chunk.to_vec()).collect();
                assert_eq!(seen.len(), unread.remaining());
                let taken = step.min(seen.len());
                read.extend_from_slice(&seen[..taken]);
                unread.advance(taken);
            }
            assert_eq!(read, b"abcdef", "{step}");
        }
    }

    #[test]
    fn an_empty_request_is_a_body_without_frames_and_a_framed_one_is_its_prefix() {
        assert!(Slices::default().body().is_end_stream());
        assert_eq!(Slices::default().framed(false).unwrap().concat(), [0; 5]);
        let framed = Slices::new(vec![Bytes::from_static(b"xyz")]).framed(true).unwrap();
        assert_eq!(framed.concat(), [1, 0, 0, 0, 3, b'x', b'y', b'z']);
        assert_eq!(framed.body().size_hint().exact(), Some(8));
    }
}

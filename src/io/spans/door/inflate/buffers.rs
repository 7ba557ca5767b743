//! Memory for inflated bodies, used again: fresh pages cost as much as a fifth of the inflation itself. Never keeps
//! more than it says.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Larger ones are rare and go back to the allocator at once.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// What may lie idle in all.
const IDLE_BYTES_MAX: usize = 8 << 20;

/// Buffers that nobody uses.
#[derive(Debug, Default)]
pub(in super::super) struct Buffers {
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    byte_count: usize,
}

/// A buffer in use; goes back when the last slice of it is dropped.
pub(in super::super) struct Buffer {
    bytes: Vec<u8>,
    home: Arc<Buffers>,
}

/// The capacity that a body of this size gets: at most a quarter more than it needs, so that one buffer serves many
/// sizes and the budget is hardly wrong.
pub(in super::super) fn capacity_for(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 8).max(1024);
    bytes.next_multiple_of(step).max(step)
}

impl Buffers {
    /// A buffer with at least this capacity; what is in it is of no meaning.
    pub(in super::super) fn take(self: &Arc<Buffers>, bytes: usize) -> Buffer {
        let capacity = capacity_for(bytes);
        let found = if capacity <= BUFFER_BYTES_MAX {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let place = idle.buffers.iter().rposition(|buffer| buffer.capacity() == capacity);
            place.map(|place| {
                idle.byte_count -= capacity;
                idle.buffers.swap_remove(place)
            })
        } else {
            None
        };
        let bytes = found.unwrap_or_else(|| Vec::with_capacity(capacity));
        Buffer { bytes, home: self.clone() }
    }
}

impl Buffer {
    /// The first `bytes` of it, to be written over.
    pub(super) fn front(&mut self, bytes: usize) -> &mut [u8] {
        if self.bytes.capacity() < bytes || self.bytes.is_empty() {
            // Zeroes that come from the system cost nothing until they are touched.
            self.bytes = vec![0; capacity_for(bytes)];
        } else if self.bytes.len() < bytes {
            self.bytes.resize(bytes, 0);
        }
        &mut self.bytes[..bytes]
    }

    /// The whole of it, to be written over from its start; its length becomes what was written.
    pub(in super::super) fn whole(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The first `bytes` of it, to be read and shared.
    pub(in super::super) fn freeze(self, bytes: usize) -> Bytes {
        Bytes::from_owner(self).slice(..bytes)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let capacity = self.bytes.capacity();
        if capacity == 0 || capacity > BUFFER_BYTES_MAX {
            return;
        }
        let mut idle = self.home.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.byte_count + capacity <= IDLE_BYTES_MAX {
            idle.byte_count += capacity;
            idle.buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_and_is_used_again() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(100_000);
        buffer.front(100_000)[99_999] = 7;
        let place = buffer.as_ref().as_ptr();
        let bytes = buffer.freeze(100_000);
        let slice = bytes.slice(99_999..);
        drop(bytes);
        assert_eq!(buffers.idle.lock().unwrap().byte_count, 0);
        assert_eq!(slice[0], 7);
        drop(slice);
        assert_eq!(buffers.idle.lock().unwrap().byte_count, capacity_for(100_000));
        assert_eq!(buffers.take(100_100).as_ref().as_ptr(), place);
    }

    #[test]
    fn what_lies_idle_is_bounded() {
        let buffers = Arc::new(Buffers::default());
        let many: Vec<_> = (0..20)
            .map(|_| {
                let mut buffer = buffers.take(1 << 20);
                buffer.front(1);
                buffer
            })
            .collect();
        drop(many);
        assert!(buffers.idle.lock().unwrap().byte_count <= IDLE_BYTES_MAX);
        assert!((1..5_000_000).step_by(997).all(|bytes| capacity_for(bytes) <= (bytes + bytes / 4).max(1024)));
    }
}

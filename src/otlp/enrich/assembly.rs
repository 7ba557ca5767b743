//! A request put together from slices of the one that came and a few new bytes. Copies nothing but heads of a few
//! bytes, and joins slices that lie side by side.

use std::ops::Range;

use bytes::Bytes;

use crate::otlp::wire::{Block, Fields, ResourcePlace, put_key, put_varint, varint_length};

use super::NewResource;

/// Collects slices that, written one after another, are a request.
#[derive(Clone, Debug)]
pub struct Assembly<'a> {
    body: &'a Bytes,
    slices: Vec<Bytes>,
    /// Bytes of the body that follow the slices; the next may continue them.
    open: Range<usize>,
    byte_count: usize,
}

impl<'a> Assembly<'a> {
    pub fn new(body: &'a Bytes) -> Assembly<'a> {
        Assembly { body, slices: Vec::new(), open: 0..0, byte_count: 0 }
    }

    /// Adds bytes of the request as they are.
    pub fn keep(&mut self, place: Range<usize>) {
        self.byte_count += place.len();
        if place.is_empty() {
            return;
        }
        if place.start == self.open.end {
            self.open.end = place.end;
        } else {
            self.close();
            self.open = place;
        }
    }

    /// Adds a block with its new Resource. Where that changes nothing, and the old one was not in pieces, the block
    /// stays as it is.
    pub fn block(&mut self, block: &Block, resource: &NewResource) {
        match &block.resource {
            ResourcePlace::One { .. } | ResourcePlace::Absent if !resource.is_changed => self.keep(block.field.clone()),
            ResourcePlace::One { field, .. } => {
                self.head(block.payload.len() - field.len(), resource);
                self.keep(block.payload.start..field.start);
                self.keep(field.end..block.payload.end);
            }
            ResourcePlace::Absent => {
                self.head(block.payload.len(), resource);
                self.keep(block.payload.clone());
            }
            ResourcePlace::Split => {
                let pieces = pieces(self.body, block);
                let pieces_length = pieces.iter().map(ExactSizeIterator::len).sum::<usize>();
                self.head(block.payload.len() - pieces_length, resource);
                let mut from = block.payload.start;
                for piece in pieces {
                    self.keep(from..piece.start);
                    from = piece.end;
                }
                self.keep(from..block.payload.end);
            }
        }
    }

    pub fn byte_count(&self) -> usize {
        self.byte_count
    }

    /// No slice is empty; there are none when nothing was added.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.close();
        self.slices
    }

    /// Key and length of a block, and its Resource, before `rest` further bytes.
    fn head(&mut self, rest: usize, resource: &NewResource) {
        let length = (resource.field.len() + rest) as u64;
        let mut head = Vec::with_capacity(1 + varint_length(length));
        put_key(&mut head, 1, 2);
        put_varint(&mut head, length);
        self.close();
        self.byte_count += head.len() + resource.field.len();
        self.slices.push(head.into());
        self.slices.push(resource.field.clone());
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.slices.push(self.body.slice(self.open.clone()));
        }
        self.open = 0..0;
    }
}

/// The places of all `resource` fields of a block.
fn pieces(body: &[u8], block: &Block) -> Vec<Range<usize>> {
    let start = block.payload.start;
    let fields = Fields::new(&body[block.payload.clone()]).flatten().filter(|field| field.number == 1);
    fields.map(|field| start + field.start..start + field.end).collect()
}

//! What is sent, as it goes over the wire. Every request has ids of its own, so that none is taken for a resend.

use bytes::Bytes;
use prost::Message;
use tawny::model::Signal;
use tawny::otlp::wire::{SeenSpan, Watch, scan};

use crate::Coding;
use crate::request::request;

/// One request, and where the ids of its spans lie.
pub struct Template {
    body: Vec<u8>,
    /// Start and length of each id.
    ids: Vec<(usize, usize)>,
}

struct Places {
    base: usize,
    ids: Vec<(usize, usize)>,
}

impl Watch for Places {
    fn span(&mut self, _block: usize, span: &SeenSpan<'_>) {
        for id in [span.trace_id, span.span_id, span.parent_id] {
            self.ids.push((id.as_ptr() as usize - self.base, id.len()));
        }
    }
}

impl Template {
    pub fn new(span_count: usize) -> Template {
        let body = request(span_count).encode_to_vec();
        let mut places = Places { base: body.as_ptr() as usize, ids: Vec::new() };
        scan(Signal::Traces, &body, &mut places).unwrap();
        Template { ids: places.ids, body }
    }

    pub fn byte_count(&self) -> usize {
        self.body.len()
    }
}

/// Makes requests for one connection.
pub struct Maker {
    template: Template,
    coding: Coding,
    random: u64,
    gzip: libdeflater::Compressor,
    zstd: zstd::bulk::Compressor<'static>,
}

impl Maker {
    /// Makers with different seeds make different ids.
    pub fn new(span_count: usize, coding: Coding, seed: u64) -> Maker {
        Maker {
            template: Template::new(span_count),
            coding,
            random: seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            gzip: libdeflater::Compressor::new(libdeflater::CompressionLvl::new(1).unwrap()),
            zstd: zstd::bulk::Compressor::new(1).unwrap(),
        }
    }

    pub fn next(&mut self) -> Bytes {
        let Template { body, ids, .. } = &mut self.template;
        for (start, length) in ids {
            for part in body[*start..*start + *length].chunks_mut(8) {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                part.copy_from_slice(&self.random.to_le_bytes()[..part.len()]);
            }
        }
        match self.coding {
            Coding::None => Bytes::copy_from_slice(body),
            Coding::Zstd => self.zstd.compress(body).unwrap().into(),
            Coding::Gzip => {
                let mut out = vec![0; self.gzip.gzip_compress_bound(body.len())];
                let length = self.gzip.gzip_compress(body, &mut out).unwrap();
                out.truncate(length);
                out.into()
            }
        }
    }
}

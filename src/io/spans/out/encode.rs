//! Compresses requests: one gzip member or one zstd frame each, and once for all sinks that want the same. Never
//! compresses what will be sent as it is.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};
use tokio::sync::{OnceCell, Semaphore};
use zstd::bulk::Compressor as ZstdCompressor;

use super::body::Slices;
use crate::sinks::Compression;

/// Larger requests are compressed on a thread of their own: a millisecond is long for the alerts that share ours.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Encoders that wait for work, per format and level.
const IDLE_COUNT_MAX: usize = 4;
/// Input or output that an idle encoder keeps: that of a joined request. What is freed on a thread that then has nothing
/// to do stays with the thread, so giving back and taking again costs more memory than keeping.
const SCRATCH_BYTES_MAX: usize = (1 << 20) + 64 * 1024;

/// What sinks have made of one parcel.
#[derive(Default)]
pub struct Encoded(Mutex<Vec<(Compression, Arc<OnceCell<Bytes>>)>>);

impl Encoded {
    fn cell(&self, compression: Compression) -> Arc<OnceCell<Bytes>> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = cells.iter().find(|(known, _)| *known == compression) {
            return cell.clone();
        }
        let cell = Arc::<OnceCell<Bytes>>::default();
        cells.push((compression, cell.clone()));
        cell
    }
}

/// Why a request could not be compressed: only for want of memory.
#[derive(Debug, thiserror::Error)]
#[error("cannot compress {byte_count} bytes")]
pub(super) struct EncodeFault {
    byte_count: usize,
}

/// Contexts are worth keeping: making one costs as much as a small request.
#[derive(Clone)]
pub struct Encoders(Arc<Pool>);

struct Pool {
    /// Per format and level.
    idle: Mutex<HashMap<Compression, Vec<Encoder>>>,
    idle_count_max: usize,
    /// Large requests that are compressed at once: as many as there are processors. More would not be quicker, and each
    /// would have scratch space and a thread of its own.
    turns: Arc<Semaphore>,
}

impl Default for Encoders {
    fn default() -> Encoders {
        let count = std::thread::available_parallelism().map_or(1, NonZero::get);
        let turns = Arc::new(Semaphore::new(count));
        Encoders(Arc::new(Pool { idle: Mutex::default(), idle_count_max: count.min(IDLE_COUNT_MAX), turns }))
    }
}

impl Encoders {
    /// The body of a request; of one that several sinks get, the same bytes for all.
    pub(super) async fn encode(
        &self,
        compression: Compression,
        slices: &[Bytes],
        shared: Option<&Encoded>,
    ) -> Result<Slices, EncodeFault> {
        if compression == Compression::None {
            return Ok(Slices::new(slices.to_vec()));
        }
        let bytes = match shared {
            None => self.compress(compression, slices).await?,
            Some(shared) => {
                let cell = shared.cell(compression);
                cell.get_or_try_init(|| self.compress(compression, slices)).await?.clone()
            }
        };
        Ok(Slices::new(vec![bytes]))
    }

    async fn compress(&self, compression: Compression, slices: &[Bytes]) -> Result<Bytes, EncodeFault> {
        let byte_count = slices.iter().map(Bytes::len).sum();
        if byte_count <= INLINE_BYTES_MAX {
            return self.compress_here(compression, slices, byte_count);
        }
        let Ok(turn) = self.0.turns.clone().acquire_owned().await else { return Err(EncodeFault { byte_count }) };
        let (own, slices) = (self.clone(), slices.to_vec());
        let task = tokio::task::spawn_blocking(move || {
            // It ends here, also for a lane that has stopped waiting.
            let _turn = turn;
            own.compress_here(compression, &slices, byte_count)
        });
        // A task that was not started (the runtime ends) or died has no bytes for us.
        task.await.unwrap_or(Err(EncodeFault { byte_count }))
    }

    fn compress_here(
        &self,
        compression: Compression,
        slices: &[Bytes],
        byte_count: usize,
    ) -> Result<Bytes, EncodeFault> {
        let lock = || self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = lock().get_mut(&compression).and_then(Vec::pop);
        let mut encoder = match idle {
            Some(encoder) => encoder,
            None => Encoder::new(compression).ok_or(EncodeFault { byte_count })?,
        };
        let bytes = encoder.encode(slices).ok_or(EncodeFault { byte_count })?;
        encoder.forget();
        let mut idle = lock();
        let idle = idle.entry(compression).or_default();
        if idle.len() < self.0.idle_count_max {
            idle.push(encoder);
        }
        Ok(bytes)
    }
}

enum Context {
    Gzip(Compressor),
    Zstd(ZstdCompressor<'static>),
}

struct Encoder {
    context: Context,
    /// Both coders want their input, and their output, in one piece.
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Encoder {
    fn new(compression: Compression) -> Option<Encoder> {
        let context = match compression {
            Compression::None => return None,
            Compression::Gzip { level } => {
                Context::Gzip(Compressor::new(CompressionLvl::new(level.into()).unwrap_or_default()))
            }
            Compression::Zstd { level } => Context::Zstd(ZstdCompressor::new(level.into()).ok()?),
        };
        Some(Encoder { context, input: Vec::new(), output: Vec::new() })
    }

    fn encode(&mut self, slices: &[Bytes]) -> Option<Bytes> {
        let Encoder { context, input, output } = self;
        let whole = match slices {
            [only] => &only[..],
            _ => {
                input.clear();
                input.reserve_exact(slices.iter().map(Bytes::len).sum());
                slices.iter().for_each(|slice| input.extend_from_slice(slice));
                &input[..]
            }
        };
        let bound = match context {
            Context::Gzip(compressor) => compressor.gzip_compress_bound(whole.len()),
            Context::Zstd(_) => zstd::zstd_safe::compress_bound(whole.len()),
        };
        if output.len() < bound {
            output.resize(bound, 0);
        }
        let length = match context {
            Context::Gzip(compressor) => compressor.gzip_compress(whole, output).ok()?,
            Context::Zstd(compressor) => compressor.compress_to_buffer(whole, &mut output[..]).ok()?,
        };
        // A copy of what there is: the scratch is several times larger, and stays here.
        Some(Bytes::copy_from_slice(&output[..length]))
    }

    fn forget(&mut self) {
        self.input.clear();
        if self.input.capacity() > SCRATCH_BYTES_MAX {
            self.input = Vec::new();
        }
        if self.output.capacity() > SCRATCH_BYTES_MAX {
            self.output = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn slices() -> Vec<Bytes> {
        (0..40_u8).map(|at| Bytes::from(vec![at; 1000 + usize::from(at) * 100])).collect()
    }

    fn inflated(compression: Compression, body: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match compression {
            Compression::None => plain.extend_from_slice(body),
            // Reads one member and stops, as strict receivers do.
            Compression::Gzip { .. } => {
                flate2::read::GzDecoder::new(body).read_to_end(&mut plain).map(|_| ()).unwrap();
            }
            Compression::Zstd { .. } => plain = zstd::decode_all(body).unwrap(),
        }
        plain
    }

    #[tokio::test]
    async fn what_was_compressed_is_the_slices_one_after_another_in_every_format_and_level() {
        let encoders = Encoders::default();
        let plain = slices().concat();
        assert!(plain.len() > INLINE_BYTES_MAX);
        let gzip = (1..=12).map(|level| Compression::Gzip { level });
        let zstd = (1..=19).map(|level| Compression::Zstd { level });
        for compression in [Compression::None].into_iter().chain(gzip).chain(zstd) {
            for (slices, plain) in [(slices(), &plain[..]), (slices()[..3].to_vec(), &plain[..3300]), (vec![], &[])] {
                for _ in 0..2 {
                    let body = encoders.encode(compression, &slices, None).await.unwrap();
                    assert_eq!(inflated(compression, &body.concat()), plain, "{compression:?}");
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_large_requests_share_the_scratch_of_a_few_encoders() {
        let encoders = Encoders::default();
        let gzip = Compression::Gzip { level: 1 };
        let plain = Bytes::from(vec![7; 1 << 20]);
        let halves = [plain.slice(..1 << 19), plain.slice(1 << 19..)];
        let places = |encoders: &Encoders| -> Vec<usize> {
            let idle = encoders.0.idle.lock().unwrap();
            idle[&gzip].iter().flat_map(|held| [held.input.as_ptr() as usize, held.output.as_ptr() as usize]).collect()
        };
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let tasks = (0..8).map(|_| {
                let (encoders, halves) = (encoders.clone(), halves.clone());
                tokio::spawn(async move { encoders.encode(gzip, &halves, None).await.unwrap().concat() })
            });
            for task in tasks.collect::<Vec<_>>() {
                assert_eq!(inflated(gzip, &task.await.unwrap()), plain);
            }
            seen.extend(places(&encoders));
        }
        assert!(seen.len() <= 2 * encoders.0.idle_count_max, "{} places", seen.len());
    }

    #[tokio::test]
    async fn sinks_that_want_the_same_share_one_encoding_and_others_have_their_own() {
        let (encoders, shared) = (Encoders::default(), Encoded::default());
        let one = Compression::Gzip { level: 1 };
        let first = encoders.encode(one, &slices(), Some(&shared)).await.unwrap();
        let second = encoders.encode(one, &slices(), Some(&shared)).await.unwrap();
        assert_eq!(first.parts()[0].as_ptr(), second.parts()[0].as_ptr(), "the same memory");
        let other = encoders.encode(Compression::Gzip { level: 6 }, &slices(), Some(&shared)).await.unwrap();
        assert_ne!(first.parts()[0].as_ptr(), other.parts()[0].as_ptr());
        assert!(other.parts()[0].len() < first.parts()[0].len());
    }
}

//! Takes the message of an answer out of its framing and its compression: servers of gRPC answer in the format of the
//! request. Never gives a part of a message, and never holds more of one than is read of an answer.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Read;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use libdeflater::Decompressor;
use zstd::zstd_safe::DCtx;

use super::link::{ANSWER_BYTES_MAX, Received};

/// What can be read, as `grpc-accept-encoding` has it (gRPC, PROTOCOL-HTTP2.md).
pub(super) const ACCEPTED: &str = "identity,gzip,deflate,zstd";

thread_local! {
    static GUNZIP: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    static UNZSTD: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// `None`: cut short, damaged, too long, or in a format that nobody asked for.
pub(super) fn unpacked(received: &Received) -> Option<Cow<'_, [u8]>> {
    let Received { headers, body, .. } = received;
    let is_grpc = text(headers, CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("application/grpc"));
    if body.is_empty() {
        return Some(Cow::Borrowed(&[]));
    }
    if !is_grpc {
        return inflated(text(headers, CONTENT_ENCODING.as_str()).unwrap_or("identity"), body);
    }
    let ([flag, length @ ..], rest) = body.split_first_chunk::<5>()?;
    let message = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    match flag {
        0 => Some(Cow::Borrowed(message)),
        1 => inflated(text(headers, "grpc-encoding")?, message),
        _ => None,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn inflated<'a>(encoding: &str, packed: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "identity" | "" => Some(Cow::Borrowed(packed)),
        // Some servers compress what is empty to nothing.
        _ if packed.is_empty() => Some(Cow::Borrowed(packed)),
        "gzip" | "x-gzip" => gunzipped(packed).map(Cow::Owned),
        "deflate" => unzipped(packed).map(Cow::Owned),
        "zstd" => unzstd(packed).map(Cow::Owned),
        _ => None,
    }
}

/// One member, which ends with its size.
fn gunzipped(packed: &[u8]) -> Option<Vec<u8>> {
    let size = usize::try_from(u32::from_le_bytes(*packed.last_chunk()?)).ok()?;
    if size > ANSWER_BYTES_MAX {
        return None;
    }
    let mut plain = vec![0; size];
    let found = GUNZIP.with_borrow_mut(|tool| tool.gzip_decompress(packed, &mut plain)).ok()?;
    (found == size).then_some(plain)
}

fn unzipped(packed: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let bytes_max = u64::try_from(ANSWER_BYTES_MAX + 1).unwrap_or(u64::MAX);
    flate2::bufread::ZlibDecoder::new(packed).take(bytes_max).read_to_end(&mut plain).ok()?;
    (plain.len() <= ANSWER_BYTES_MAX).then_some(plain)
}

fn unzstd(packed: &[u8]) -> Option<Vec<u8>> {
    UNZSTD.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(DCtx::try_create()?),
        };
        let mut plain = Vec::with_capacity(ANSWER_BYTES_MAX);
        // All at once, into what there is room for: no window is kept.
        context.decompress(&mut plain, packed).ok()?;
        Some(plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(headers: &[(&'static str, &'static str)], body: &[u8]) -> Received {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Received { status: 200, headers, trailers: None, body: body.to_vec() }
    }

    #[test]
    fn of_a_call_the_first_message_is_read_whole_or_not_at_all() {
        let headers = [("content-type", "application/grpc+proto")];
        let framed = [&[0, 0, 0, 0, 2][..], b"ab", &[0, 0, 0, 0, 1], b"c"].concat();
        for end in 0..=framed.len() {
            let expected: Option<&[u8]> = match end {
                0 => Some(b""),
                1..=6 => None,
                _ => Some(b"ab"),
            };
            assert_eq!(unpacked(&received(&headers, &framed[..end])).as_deref(), expected, "{end}");
        }
        assert_eq!(unpacked(&received(&headers, &[2, 0, 0, 0, 1, 7])), None);
    }

    #[test]
    fn what_is_no_call_is_read_as_http_has_it() {
        let page = received(&[("content-type", "text/html")], b"<html>");
        assert_eq!(unpacked(&page).as_deref(), Some(&b"<html>"[..]));
        let unknown = received(&[("content-encoding", "br")], b"?");
        assert_eq!(unpacked(&unknown), None);
        let empty = received(&[("content-encoding", "gzip")], b"");
        assert_eq!(unpacked(&empty).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn as_much_is_inflated_as_is_read_and_no_more() {
        for (bytes, is_read) in [(ANSWER_BYTES_MAX, true), (ANSWER_BYTES_MAX + 1, false)] {
            let plain = vec![7; bytes];
            let gzip = {
                let mut tool = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
                let mut packed = vec![0; tool.gzip_compress_bound(bytes)];
                let length = tool.gzip_compress(&plain, &mut packed).unwrap();
                packed.truncate(length);
                packed
            };
            let mut zlib = Vec::new();
            let level = flate2::Compression::fast();
            flate2::bufread::ZlibEncoder::new(&plain[..], level).read_to_end(&mut zlib).unwrap();
            let zstd = zstd::encode_all(&plain[..], 1).unwrap();
            for (encoding, packed) in [("gzip", gzip), ("deflate", zlib), ("zstd", zstd)] {
                let found = inflated(encoding, &packed);
                assert_eq!(found.is_some_and(|found| found == plain), is_read, "{encoding} {bytes}");
            }
        }
    }
}

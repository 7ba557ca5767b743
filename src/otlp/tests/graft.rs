//! Grafted requests against two inflaters and the official messages: one member, one Resource, the same items.

use std::io::{Read, Write};
use std::ops::Range;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::dice::Dice;
use super::mangle::{Shape, mangle};
use super::model::{Existing, Signal};
use super::oracle::{EDITS, Request, SIGNALS};
use super::otlp::enrich::{Edit, GZIP_HEAD, Grafted, HELD_FIELD, Member, NewResource, graft, join, new_resource};
use super::otlp::wire::{Fields, ResourcePlace, Scan, put_bytes, scan};
use super::requests::request;

/// Deflate streams of one request, as different senders write them.
fn streams(plain: &[u8]) -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    for level in [1, 6, 12] {
        let mut tool = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(level).unwrap());
        let mut out = vec![0; tool.deflate_compress_bound(plain.len())];
        let length = tool.deflate_compress(plain, &mut out).unwrap();
        streams.push(out[..length].to_vec());
    }
    for level in [0, 1, 6, 9] {
        let mut tool = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(level));
        // Flushed in the middle: several blocks, and empty stored ones between them.
        for piece in plain.chunks(plain.len() / 3 + 1) {
            tool.write_all(piece).unwrap();
            tool.flush().unwrap();
        }
        streams.push(tool.finish().unwrap());
    }
    let mut whole = Vec::with_capacity(plain.len() + 1024);
    Compress::new(Compression::fast(), false).compress_vec(plain, &mut whole, FlushCompress::Finish).unwrap();
    streams.push(whole);
    streams
}

/// Two readers that take one member and nothing behind it.
fn inflated(packed: &[u8]) -> Vec<u8> {
    let mut decoder = flate2::bufread::GzDecoder::new(packed);
    let mut plain = Vec::new();
    decoder.read_to_end(&mut plain).unwrap();
    assert!(decoder.into_inner().is_empty(), "something follows the member");
    let mut again = vec![0; plain.len()];
    assert_eq!(libdeflater::Decompressor::new().gzip_decompress(packed, &mut again), Ok(plain.len()));
    assert_eq!(again, plain);
    plain
}

fn member(plain: &[u8], stream: Vec<u8>) -> Member {
    Member { deflate: stream.into(), crc: crc32fast::hash(plain) }
}

fn scanned(signal: Signal, plain: &[u8]) -> Scan {
    scan(signal, plain, &mut ()).unwrap()
}

fn whole(Grafted(slices): &Grafted) -> Vec<u8> {
    slices.concat()
}

/// A request with only this block.
fn alone(bytes: &[u8], payload: Range<usize>) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &bytes[payload]);
    out
}

/// Each block of a request, alone: grafted if its Resource stands first, and then what prost makes of it is the request
/// with its attributes edited.
fn check(signal: Signal, bytes: &[u8]) -> usize {
    let mut count = 0;
    for block in scanned(signal, bytes).blocks {
        let plain = alone(bytes, block.payload);
        let block = scanned(signal, &plain).blocks.remove(0);
        let resource = new_resource(&block.resource(&plain), &EDITS).unwrap();
        let is_first =
            matches!(&block.resource, ResourcePlace::One { field, .. } if field.start == block.payload.start);
        for stream in streams(&plain) {
            let grafted = graft(&member(&plain, stream), plain.len(), &block, &resource);
            assert_eq!(grafted.is_some(), is_first);
            let Some(grafted) = grafted else { continue };
            let after = inflated(&whole(&grafted));
            assert!(after.ends_with(&plain), "all of the old request is there");
            let mut meant = Request::decode(signal, &plain).unwrap();
            meant.edit(&EDITS);
            assert_eq!(Request::decode(signal, &after).unwrap().encode(), meant.encode());
            one_resource(signal, &after, resource.is_changed);
            count += 1;
        }
    }
    count
}

fn one_resource(signal: Signal, after: &[u8], is_changed: bool) {
    let scan = scanned(signal, after);
    assert_eq!(scan.blocks.len(), 1);
    assert!(matches!(scan.blocks[0].resource, ResourcePlace::One { .. }));
    let fields = Fields::new(&after[scan.blocks[0].payload.clone()]).flatten();
    assert_eq!(fields.filter(|field| field.number == HELD_FIELD).count(), usize::from(is_changed));
}

proptest! {
    #![proptest_config(Config { cases: 150, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_grafted_request_is_one_member_with_one_edited_resource_and_the_same_items(
        signal in prop::sample::select(&SIGNALS[..]),
        entropy in prop::collection::vec(any::<u8>(), 0..1500),
        choices in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        let plain = request(signal, &mut Dice(&entropy)).encode();
        check(signal, &plain);
        check(signal, &mangle(Shape::Request(signal), &plain, &mut Dice(&choices)));
    }
}

/// Grafted requests joined: one member, which inflates to what each of them does.
fn check_joined(requests: &[Grafted]) -> bool {
    let Some(joined) = join(&requests.iter().collect::<Vec<_>>()) else { return false };
    // One that does not say where it ends is the last.
    let mut meant: Vec<Vec<u8>> = requests.iter().map(|request| inflated(&whole(request))).collect();
    let joined = inflated(&joined.concat());
    meant.retain(|request| joined.windows(request.len()).filter(|window| window == request).count() == 1);
    assert_eq!((meant.len(), meant.concat().len()), (requests.len(), joined.len()));
    true
}

#[test]
fn grafted_requests_of_several_senders_are_joined_into_one_member_with_all_their_blocks() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut joined = [0; 2];
    for round in 0..200 {
        let requests: Vec<Grafted> = (0..random.usize(2..6))
            .map(|_| {
                let plain = wordy_block_of(&mut random);
                let block = scanned(Signal::Traces, &plain).blocks.remove(0);
                // Some stay as they are.
                let edits = if random.u8(..4) == 0 { &[] } else { &EDITS[..] };
                let resource = new_resource(&block.resource(&plain), edits).unwrap();
                let mut streams = streams(&plain);
                // Mostly those that libdeflate writes.
                let at = if round % 4 == 0 { random.usize(..streams.len()) } else { random.usize(..3) };
                graft(&member(&plain, streams.swap_remove(at)), plain.len(), &block, &resource).unwrap()
            })
            .collect();
        joined[usize::from(check_joined(&requests))] += 1;
    }
    assert!(joined[1] > 80, "{joined:?}");
}

#[test]
fn a_joined_request_has_the_blocks_of_all_with_one_edited_resource_each() {
    let mut random = fastrand::Rng::with_seed(5);
    let plains: Vec<Vec<u8>> = std::iter::repeat_with(|| wordy_block_of(&mut random)).take(3).collect();
    let grafted: Vec<Grafted> = plains
        .iter()
        .map(|plain| {
            let block = scanned(Signal::Traces, plain).blocks.remove(0);
            let resource = new_resource(&block.resource(plain), &EDITS).unwrap();
            graft(&member(plain, streams(plain).remove(1)), plain.len(), &block, &resource).unwrap()
        })
        .collect();
    let after = inflated(&join(&grafted.iter().collect::<Vec<_>>()).unwrap().concat());
    let mut meant = Request::decode(Signal::Traces, &plains.concat()).unwrap();
    meant.edit(&EDITS);
    assert_eq!(Request::decode(Signal::Traces, &after).unwrap().encode(), meant.encode());
}

fn one_block() -> Vec<u8> {
    one_block_of(&mut fastrand::Rng::with_seed(3))
}

/// With as many words as the names and values of real spans have: what is short or random is not compressed, and has no
/// codes of its own.
fn wordy_block_of(random: &mut fastrand::Rng) -> Vec<u8> {
    let plain = one_block_of(random);
    let mut payload = plain[scanned(Signal::Traces, &plain).blocks.remove(0).payload].to_vec();
    let words = ["http.request.method", "GET ", "/api/v1/owls", "server.address", "503", "prod"];
    let mut text = Vec::new();
    for _ in 0..300 {
        text.extend_from_slice(words[random.usize(..words.len())].as_bytes());
        text.push(random.u8(..));
    }
    put_bytes(&mut payload, 77, &text);
    alone(&payload, 0..payload.len())
}

/// Whose Resource stands first.
fn one_block_of(random: &mut fastrand::Rng) -> Vec<u8> {
    loop {
        let entropy: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1200).collect();
        let bytes = request(Signal::Traces, &mut Dice(&entropy)).encode();
        let mut blocks = scanned(Signal::Traces, &bytes).blocks;
        blocks.retain(|block| {
            let place = &block.resource;
            block.item_count > 0
                && matches!(place, ResourcePlace::One { field, .. } if field.start == block.payload.start)
        });
        if let Some(block) = blocks.pop() {
            return alone(&bytes, block.payload);
        }
    }
}

#[test]
fn a_request_of_the_usual_shape_is_grafted() {
    assert!(check(Signal::Traces, &one_block()) > 0);
}

#[test]
fn a_resource_that_stays_as_it_is_leaves_the_request_as_it_was() {
    let plain = one_block();
    let block = scanned(Signal::Traces, &plain).blocks.remove(0);
    let resource = new_resource(&block.resource(&plain), &[]).unwrap();
    for stream in streams(&plain) {
        let grafted = graft(&member(&plain, stream), plain.len(), &block, &resource).unwrap();
        assert_eq!(grafted.0[0], GZIP_HEAD[..]);
        assert_eq!(inflated(&whole(&grafted)), plain);
    }
}

#[test]
fn other_shapes_and_resources_beyond_a_stored_block_take_the_long_way() {
    let plain = one_block();
    let stream = streams(&plain).remove(0);
    let grafts = |bytes: &[u8], resource: Option<&NewResource>| {
        let block = scanned(Signal::Traces, bytes).blocks.remove(0);
        let new = new_resource(&block.resource(bytes), &EDITS).unwrap();
        graft(&member(bytes, stream.clone()), bytes.len(), &block, resource.unwrap_or(&new)).is_some()
    };
    assert!(grafts(&plain, None));
    let twice = [&plain[..], &plain[..]].concat();
    assert!(!grafts(&twice, None), "two blocks");
    let mut followed = plain.clone();
    put_bytes(&mut followed, 77, b"unknown");
    assert!(!grafts(&followed, None), "something beside the block");
    let payload = scanned(Signal::Traces, &plain).blocks.remove(0).payload;
    let mut inner = Vec::new();
    put_bytes(&mut inner, 3, b"schema");
    inner.extend_from_slice(&plain[payload]);
    assert!(!grafts(&alone(&inner, 0..inner.len()), None), "the Resource is not first");
    let long = "x".repeat(70_000);
    let edit = Edit { key: "k", value: &long, existing: Existing::Replace };
    let large = new_resource(&[], &[edit]).unwrap();
    assert!(!grafts(&plain, Some(&large)), "the stored block has no room");
    assert!(!grafts(&Bytes::from_static(&[0x0a, 0]), None), "no Resource");
}

use std::io::Write;

use flate2::Compression;

use super::*;
use crate::io::spans::faces::Budget;

const LIMIT: usize = 1 << 20;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_sized(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

/// As streaming encoders write it: no size in the frame's head.
fn zstd_streamed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    for chunk in bytes.chunks(50_000) {
        encoder.write_all(chunk).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

fn run(name: &str, body: &[u8], limit: usize) -> Result<Bytes, Fault> {
    let budget = Budget::new(64 << 20);
    let mut share = budget.take(body.len()).unwrap();
    let codings = Codings::read([name.as_bytes()].into_iter())?;
    let body = inflate(codings, Bytes::copy_from_slice(body), limit, &mut share, &Arc::default())?;
    assert!(share.bytes() >= body.len() && share.bytes() <= body.len() + body.len() / 4 + 1024);
    Ok(body)
}

fn sample(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place * place / 7 % 251).to_le_bytes()[0]).collect()
}

type Pack = (&'static str, fn(&[u8]) -> Vec<u8>);

const PACKS: [Pack; 5] =
    [("gzip", gzip), ("deflate", zlib), ("deflate", raw), ("zstd", zstd_sized), ("zstd", zstd_streamed)];

#[test]
fn every_coding_gives_back_what_was_packed() {
    for size in [0, 1, 1000, 65_536, 300_000, LIMIT] {
        let sample = sample(size);
        for (name, pack) in PACKS {
            assert_eq!(run(name, &pack(&sample), LIMIT).unwrap(), sample, "{name} of {size}");
        }
    }
}

#[test]
fn a_body_at_the_limit_passes_and_one_byte_more_does_not() {
    for (name, pack) in PACKS {
        let beyond = run(name, &pack(&sample(LIMIT + 1)), LIMIT);
        assert_eq!(beyond, Err(Fault::InflatesTooLarge { bytes_max: LIMIT }), "{name}");
    }
}

#[test]
fn every_cut_is_refused_and_so_is_anything_behind_the_end() {
    for (name, pack) in PACKS {
        let whole = pack(&sample(3000));
        for end in 0..whole.len() {
            let cut = run(name, &whole[..end], LIMIT);
            assert!(matches!(cut, Err(Fault::Corrupt { .. })), "{name} cut at {end}: {cut:?}");
        }
        for tail in [&b"\0"[..], b"garbage", &whole[whole.len() - 8..], &[0x1f, 0x8b, 8]] {
            // A raw stream whose end is followed by bytes of a stream is still followed by something.
            let longer = [&whole[..], tail].concat();
            let refused = run(name, &longer, LIMIT);
            let is_trailer_twice = name == "gzip" && tail.len() == 8;
            assert!(matches!(refused, Err(Fault::Corrupt { .. })) || is_trailer_twice, "{name}: {refused:?}");
        }
    }
}

#[test]
fn a_damaged_checksum_is_found() {
    let mut damaged = gzip(&sample(5000));
    let place = damaged.len() - 6;
    damaged[place] ^= 1;
    assert!(matches!(run("gzip", &damaged, LIMIT), Err(Fault::Corrupt { .. })));
    let mut damaged = zlib(&sample(5000));
    let place = damaged.len() - 1;
    damaged[place] ^= 1;
    assert!(matches!(run("deflate", &damaged, LIMIT), Err(Fault::Corrupt { .. })));
}

#[test]
fn all_members_and_all_frames_are_one_body() {
    let parts = [sample(1000), sample(1000), sample(70_000), Vec::new(), sample(5)];
    let whole = parts.concat();
    let members: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
    assert_eq!(run("gzip", &members, LIMIT).unwrap(), whole);
    // Two equal members end with the very bytes that one of them ends with.
    assert_eq!(run("gzip", &[gzip(&parts[0]), gzip(&parts[0])].concat(), LIMIT).unwrap(), parts[..2].concat());
    let mut frames: Vec<u8> = parts.iter().flat_map(|part| zstd_sized(part)).collect();
    frames.extend([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    frames.extend(zstd_streamed(&parts[2]));
    assert_eq!(run("zstd", &frames, LIMIT).unwrap(), [whole, sample(70_000)].concat());
}

#[test]
fn a_bomb_stops_at_the_limit_without_booking_more() {
    let zeros = vec![0; 32 << 20];
    for (name, pack) in PACKS {
        let bomb = pack(&zeros);
        assert!(bomb.len() < 80_000, "{name} {}", bomb.len());
        let budget = Budget::new(LIMIT + LIMIT / 4 + bomb.len());
        let mut share = budget.take(bomb.len()).unwrap();
        let codings = Codings::read([name.as_bytes()].into_iter()).unwrap();
        let refused = inflate(codings, bomb.into(), LIMIT, &mut share, &Arc::default());
        assert_eq!(refused, Err(Fault::InflatesTooLarge { bytes_max: LIMIT }), "{name}");
    }
}

#[test]
fn without_room_in_the_budget_nothing_is_inflated() {
    for (name, pack) in PACKS {
        let body = pack(&sample(500_000));
        let budget = Budget::new(400_000);
        let Some(mut share) = budget.take(body.len()) else { continue };
        let codings = Codings::read([name.as_bytes()].into_iter()).unwrap();
        assert_eq!(inflate(codings, body.into(), LIMIT, &mut share, &Arc::default()), Err(Fault::NoRoom), "{name}");
    }
}

#[test]
fn names_are_read_in_any_case_and_stacked_ones_are_undone_backwards() {
    let sample = sample(4000);
    assert_eq!(run("GZip", &gzip(&sample), LIMIT).unwrap(), sample);
    assert_eq!(run("identity", &sample, LIMIT).unwrap(), sample);
    assert_eq!(run("gzip, zstd", &zstd_sized(&gzip(&sample)), LIMIT).unwrap(), sample);
    assert_eq!(run("gzip,gzip,gzip", b"", LIMIT), Err(Fault::TooManyEncodings { count_max: 2 }));
    assert_eq!(run("br", b"", LIMIT), Err(Fault::UnknownEncoding { encoding: "br".to_owned() }));
}

/// Runs with the wish to keep the member.
fn kept(name: &str, body: &[u8]) -> Result<(Bytes, Option<Member>), Fault> {
    let budget = Budget::new(64 << 20);
    let mut share = budget.take(body.len()).unwrap();
    let codings = Codings::read([name.as_bytes()].into_iter())?;
    let kept = inflate_keeping(codings, Bytes::copy_from_slice(body), LIMIT, &mut share, &Arc::default(), true)?;
    let member_bytes = kept.1.as_ref().map_or(0, |member| member.deflate.len());
    assert!(share.bytes() >= kept.0.len() + member_bytes, "both are booked");
    Ok(kept)
}

#[test]
fn one_plain_member_is_kept_with_the_checksum_of_what_it_holds() {
    for plain in [sample(1), sample(5000), sample(300_000)] {
        let packed = gzip(&plain);
        let (body, member) = kept("gzip", &packed).unwrap();
        let member = member.unwrap();
        assert_eq!((&body[..], member.crc), (&plain[..], crc32fast::hash(&plain)));
        assert_eq!(member.deflate, packed[10..packed.len() - 8]);
    }
}

#[test]
fn a_body_of_any_other_form_is_inflated_and_nothing_of_it_is_kept() {
    let plain = sample(5000);
    let mut named = flate2::GzBuilder::new().filename("spans").write(Vec::new(), Compression::fast());
    named.write_all(&plain).unwrap();
    let twice = [gzip(&plain), gzip(&plain)].concat();
    let behind_an_empty_one = [gzip(&[]), gzip(&plain)].concat();
    for packed in [named.finish().unwrap(), twice, behind_an_empty_one] {
        let (body, member) = kept("gzip", &packed).unwrap();
        assert!(body.ends_with(&plain));
        assert_eq!(member, None);
    }
    assert_eq!(kept("zstd", &zstd_sized(&plain)).unwrap().1, None);
    assert_eq!(kept("gzip, gzip", &gzip(&gzip(&plain))).unwrap().1, None);
    // Its trailer stands twice: nobody can tell cheaply where the stream ends.
    let mut doubled = gzip(&plain);
    let trailer = doubled[doubled.len() - 8..].to_vec();
    doubled.extend_from_slice(b"between");
    doubled.extend_from_slice(&trailer);
    if let Ok((_, member)) = kept("gzip", &doubled) {
        assert_eq!(member, None);
    }
}

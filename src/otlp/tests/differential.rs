//! Requests nobody thought of, whole and damaged: what we say of them is what prost says.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::dice::Dice;
use super::mangle::{Shape, mangle, unknowns};
use super::model::Signal;
use super::oracle::{Request, SIGNALS, compare};
use super::requests::request;

/// Bytes that requests are made of.
fn entropy() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1500)
}

fn signal() -> impl Strategy<Value = Signal> {
    prop::sample::select(&SIGNALS[..])
}

fn cases(cases: u32) -> Config {
    // A failure is printed with its input; a file of them would be written beside the sources.
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// A request as the official encoder writes it, and the same in other bytes.
fn two_forms(signal: Signal, entropy: &[u8], choices: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let plain = request(signal, &mut Dice(entropy)).encode();
    let mangled = mangle(Shape::Request(signal), &plain, &mut Dice(choices));
    (plain, mangled)
}

/// Changes, inserts, repeats or cuts off a few bytes.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice<'_>) {
    const TELLING: [u8; 12] = [0, 1, 2, 0x0a, 0x0b, 0x0c, 0x12, 0x22, 0x7f, 0x80, 0xc3, 0xff];
    for _ in 0..=dice.below(3) {
        let place = (usize::from(dice.byte()) << 8 | usize::from(dice.byte())) % (bytes.len() + 1);
        let telling = TELLING[dice.below(TELLING.len())];
        match (dice.below(6), bytes.get_mut(place)) {
            (0, Some(byte)) => *byte = telling,
            (1, Some(byte)) => *byte ^= 1 << (telling & 7),
            (2, Some(byte)) => *byte = byte.wrapping_add(1),
            (3, _) => bytes.insert(place, telling),
            (4, Some(_)) => drop(bytes.remove(place)),
            _ => bytes.truncate(place),
        }
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn a_spliced_request_is_the_decoded_one_edited(
        signal in signal(), entropy in entropy(), choices in entropy(),
    ) {
        let (plain, mangled) = two_forms(signal, &entropy, &choices);
        prop_assert!(compare(signal, &plain).is_some());
        let meant = |bytes: &[u8]| Request::decode(signal, bytes).expect("it is a request").encode();
        prop_assert_eq!(meant(&mangled), meant(&plain));
        let spliced = compare(signal, &mangled).expect("it is a request");
        let shape = Shape::Request(signal);
        prop_assert_eq!(unknowns(shape, &spliced), unknowns(shape, &mangled));
    }

    #[test]
    fn damaged_requests_are_taken_or_refused_as_prost_does(
        signal in signal(), entropy in entropy(), choices in entropy(), damages in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let (plain, mangled) = two_forms(signal, &entropy, &choices);
        let mut dice = Dice(&damages);
        while !dice.0.is_empty() {
            let mut bytes = if dice.hits(2) { mangled.clone() } else { plain.clone() };
            damage(&mut bytes, &mut dice);
            compare(signal, &bytes);
        }
    }

    #[test]
    fn noise_is_taken_or_refused_as_prost_does(signal in signal(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        compare(signal, &bytes);
        // As the payload of a block, so that it is not always refused at its first byte.
        let mut inner = vec![0x0a, bytes.len().to_le_bytes()[0]];
        inner.extend(&bytes);
        compare(signal, &inner);
    }
}

#[test]
fn every_way_to_cut_a_request_off_is_judged_as_prost_judges_it() {
    let mut random = fastrand::Rng::with_seed(7);
    for signal in SIGNALS {
        let entropy: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(900).collect();
        let (plain, mangled) = two_forms(signal, &entropy, &entropy);
        for bytes in [plain, mangled] {
            for length in 0..bytes.len().min(3000) {
                compare(signal, &bytes[..length]);
            }
        }
    }
}

/// The first byte names the signal; see `fuzz/README.md`.
#[test]
fn the_corpus_of_the_fuzz_target_and_its_damaged_forms_are_judged_as_prost_judges_them() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/splice");
    let mut random = fastrand::Rng::with_seed(11);
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let Some((first, body)) = bytes.split_first() else { continue };
        let signal = SIGNALS[usize::from(*first) % SIGNALS.len()];
        compare(signal, body);
        for _ in 0..100 {
            let damages: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(18).collect();
            let mut damaged = body.to_vec();
            damage(&mut damaged, &mut Dice(&damages));
            compare(signal, &damaged);
        }
        count += 1;
    }
    assert!(count >= 10, "the corpus is gone");
}

//! What is packed here, byte by byte against the library that reads it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::model::Phase;
use crate::model::incident::{Quiet, QuietHow};

fn check<T: Serialize + ?Sized>(value: &T) {
    assert_eq!(pack::packed(&value, 16), rmp_serde::to_vec(&value).unwrap());
}

#[derive(Serialize)]
struct Nothing;

#[derive(Serialize)]
struct Wrapped(u32);

#[derive(Serialize)]
struct Pair(i8, char);

#[derive(Serialize)]
enum Each {
    Unit,
    Newtype(Option<bool>),
    Tuple(f32, f64),
    Struct { a: (), b: Option<u8> },
}

#[derive(Serialize)]
struct Fields<'a> {
    nothing: Nothing,
    wrapped: Wrapped,
    pair: Pair,
    each: [Each; 4],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    absent: Vec<u8>,
    tuple: (&'a str, i64),
}

#[test]
fn every_form_of_serde_is_packed_as_the_library_packs_it() {
    check(&Fields {
        nothing: Nothing,
        wrapped: Wrapped(7),
        pair: Pair(-33, 'é'),
        each: [Each::Unit, Each::Newtype(Some(true)), Each::Tuple(1.5, f64::NAN), Each::Struct { a: (), b: None }],
        absent: Vec::new(),
        tuple: ("t", i64::MIN),
    });
    // Whose length is not known, and what is too wide, is left to the library.
    check(&Unsized);
    check(&vec![u128::MAX]);
}

struct Unsized;

impl Serialize for Unsized {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element("a")?;
        list.end()
    }
}

#[test]
fn lengths_are_packed_alike_on_both_sides_of_each_form() {
    for length in [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        check("x".repeat(length).as_str());
        check(&vec![1_u8; length]);
        check(&(0..length).map(|at| (at, ())).collect::<BTreeMap<_, _>>());
        struct Bytes(Vec<u8>);
        impl Serialize for Bytes {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }
        check(&Bytes(vec![1; length]));
    }
}

#[test]
fn numbers_are_packed_alike_on_both_sides_of_each_form() {
    for power in 0..63 {
        for number in [(1_i64 << power) - 1, 1 << power, (1 << power) + 1] {
            check(&[number, -number, -number - 1]);
            check(&(number.cast_unsigned(), number.cast_unsigned() << 1));
        }
    }
    check(&[i64::MAX, i64::MIN]);
    check(&[u64::MAX, 0]);
    check(&(i8::MIN, i16::MIN, i32::MIN, u8::MAX, u16::MAX, u32::MAX));
}

proptest! {
    #[test]
    fn texts_and_numbers_are_packed_alike(texts in prop::collection::vec(".{0,300}", 0..40), numbers: Vec<i64>) {
        check(&(texts, numbers));
    }
}

#[test]
fn states_are_packed_alike() {
    for number in 1..40 {
        let mut incident = open_incident(number, at(60));
        check(&incident);
        incident.phase = Phase::Held { until: at(5) };
        incident.quiet = Some(Quiet::new(QuietHow::Limit, "a.yaml:1 x".into(), at(1), at(2)));
        check(&incident);
        check(&firing_member(number, 1, at(60)));
        check(&ended_member(number, 1, at(60)));
    }
}

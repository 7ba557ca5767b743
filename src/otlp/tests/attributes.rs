//! Attributes at a distance from the end of the request, where they are recognised at a glance: every byte before a
//! text or number, wrong in every way, is judged as prost judges it.

use super::model::Signal;
use super::oracle::compare;
use super::otlp::wire::put_bytes;

/// Bytes before the end of the request that are enough for the longest glance.
const DISTANCE: usize = 700;

/// A span with these bytes as its attributes, and a second that is as most are.
fn request(attributes: &[u8]) -> Vec<u8> {
    let span = [&head(), attributes, &[0x7a, 0, 0x85, 0x01, 1, 1, 0, 0]].concat();
    let plain = [&head()[..], &[0x7a, 2, 0x18, 2]].concat();
    let mut scope = Vec::new();
    put_bytes(&mut scope, 2, &span);
    put_bytes(&mut scope, 2, &plain);
    put_bytes(&mut scope, 3, &[b'a'; DISTANCE]);
    let mut block = Vec::new();
    put_bytes(&mut block, 2, &scope);
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &block);
    request
}

/// Ids, a name, the kind and both times.
fn head() -> Vec<u8> {
    let mut head = Vec::new();
    put_bytes(&mut head, 1, &[0xa1; 16]);
    put_bytes(&mut head, 2, &[0xa2; 8]);
    put_bytes(&mut head, 4, &[0xa3; 8]);
    put_bytes(&mut head, 5, b"GET /owls");
    head.extend([0x30, 2, 0x39, 1, 2, 3, 4, 5, 6, 7, 0x88, 0x41, 1, 2, 3, 4, 5, 6, 7, 0x89]);
    head
}

/// With a name of this length.
fn attribute(name: usize, value: &[u8]) -> Vec<u8> {
    let mut inside = Vec::new();
    put_bytes(&mut inside, 1, &vec![b'n'; name]);
    put_bytes(&mut inside, 2, value);
    let mut field = Vec::new();
    put_bytes(&mut field, 9, &inside);
    field
}

fn text(text: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    put_bytes(&mut value, 1, text);
    value
}

/// Of each kind, with names of several lengths, some of them too long for a glance.
fn attributes() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for name in [0, 1, 20, 113, 119, 121, 122, 128, 255] {
        all.push(attribute(name, &text(b"")));
        all.push(attribute(name, &text(b"plain")));
        all.push(attribute(name, &text("\u{e4}".as_bytes())));
        all.push(attribute(name, &[0x10, 1]));
        all.push(attribute(name, &[0x18, 0xc8, 1]));
        all.push(attribute(name, &[0x21, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff]));
        for length in 1..=11 {
            let mut value = vec![0x18];
            value.extend(std::iter::repeat_n(0x81, length - 1));
            value.push(1);
            all.push(attribute(name, &value));
        }
    }
    all
}

/// Between two others, so that the glance goes on.
fn judge(middle: &[u8]) -> bool {
    let before = attribute(3, &text(b"before"));
    let after = attribute(3, &text(b"after"));
    compare(Signal::Traces, &request(&[&before, middle, &after].concat())).is_some()
}

#[test]
fn usual_attributes_far_from_the_end_are_judged_as_prost_judges_them() {
    let accepted = attributes().iter().filter(|attribute| judge(attribute)).count();
    // One varint of each name has eleven bytes.
    assert_eq!(accepted, attributes().len() - 9);
}

#[test]
fn every_wrong_byte_around_a_name_is_judged_as_prost_judges_it() {
    for plain in attributes() {
        let name = usize::from(plain[3]);
        let places = (0..4).chain(4 + name..plain.len().min(4 + name + 13));
        for place in places.filter(|place| *place < plain.len()) {
            for wrong in 0..=255_u8 {
                let mut bytes = plain.clone();
                bytes[place] = wrong;
                judge(&bytes);
            }
        }
    }
}

#[test]
fn lengths_that_agree_by_chance_are_judged_as_prost_judges_them() {
    for length in 0..=255_u8 {
        let names =
            [0, 1, 2, 120, 127, 128, 249, 250, 255].into_iter().chain((0..10).map(|less| length.wrapping_sub(less)));
        for name in names {
            let rest = length.wrapping_sub(name);
            let (value, text) = (rest.wrapping_sub(4), rest.wrapping_sub(6));
            let ends = [[0x12, value, 0x0a, text], [0x12, value, 0x09, text], [0x12, value, 0x18, 1]];
            for end in ends {
                let mut bytes = vec![0x4a, length, 0x0a, name];
                bytes.extend(std::iter::repeat_n(b'n', usize::from(name)));
                bytes.extend(end);
                bytes.extend([b't'; 130]);
                judge(&bytes);
                bytes.truncate(2 + usize::from(length));
                judge(&bytes);
            }
        }
    }
}

#[test]
fn a_text_that_is_not_utf8_is_refused_wherever_it_lies_between_numbers() {
    let number = attribute(4, &[0x18, 0xc8, 1]);
    let texts = |count: usize| attribute(10, &text(b"some thirty bytes of plain text")).repeat(count);
    for count in [0, 1, 2, 3, 5, 8, 12] {
        for wrong in [attribute(4, &text(b"\xff")), attribute(1, &text("\u{df}".as_bytes()))] {
            for parts in [
                [&wrong[..], &texts(count), &number, &texts(1)],
                [&texts(count), &wrong, &number, &texts(1)],
                [&number, &texts(count), &wrong, &number],
                [&number, &number, &texts(count), &wrong],
            ] {
                judge(&parts.concat());
            }
        }
    }
}

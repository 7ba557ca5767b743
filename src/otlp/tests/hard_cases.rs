//! The known hard cases of reading and splicing OTLP, each by its bytes.

use bytes::Bytes;

use super::model::Signal;
use super::oracle::{EDITS, compare, splice};
use super::otlp::Malformed;
use super::otlp::enrich::{Assembly, new_resource};
use super::otlp::resource::labels;
use super::otlp::wire::{BLOCK_COUNT_MAX, Block, Fields, ResourcePlace, Scan, put_bytes, scan};

/// A message field.
fn field(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, number, payload);
    out
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    field(1, &[field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat())
}

/// A request with one block.
fn request(block: &[Vec<u8>]) -> Vec<u8> {
    field(1, &block.concat())
}

/// Scopes with one span.
fn spans(span: &[u8]) -> Vec<u8> {
    field(2, &field(2, span))
}

fn traces(bytes: &[u8]) -> Result<Scan, Malformed> {
    // Whatever a test is about, prost must see it alike.
    compare(Signal::Traces, bytes);
    scan(Signal::Traces, bytes, &mut ())
}

fn only_block(bytes: &[u8]) -> Block {
    let scan = traces(bytes).unwrap();
    assert_eq!(scan.blocks.len(), 1);
    scan.blocks[0].clone()
}

/// How often each field stands in the block of a request.
fn count_of(request: &[u8], number: u32) -> usize {
    let block = Fields::new(request).next().unwrap().unwrap().value.bytes().unwrap();
    Fields::new(block).filter(|field| field.unwrap().number == number).count()
}

#[test]
fn a_block_without_edits_goes_as_it_came_with_a_resource_or_without() {
    for block in [vec![field(1, &attribute("a", "1")), spans(b"")], vec![spans(b"")], vec![]] {
        let body = Bytes::from(request(&block));
        let scan = traces(&body).unwrap();
        let mut assembly = Assembly::new(&body);
        let unchanged = new_resource(&scan.blocks[0].resource(&body), &[]).unwrap();
        assembly.block(&scan.blocks[0], &unchanged);
        assert_eq!(assembly.finish().concat(), body);
    }
}

#[test]
fn a_resource_in_pieces_becomes_one() {
    let pieces = [field(1, &attribute("a", "1")), spans(b""), field(1, &attribute("b", "2")), field(1, b"")];
    let body = request(&pieces);
    assert_eq!(only_block(&body).resource, ResourcePlace::Split);
    let spliced = compare(Signal::Traces, &body).unwrap();
    assert_eq!((count_of(&body, 1), count_of(&spliced, 1)), (3, 1));
    let block = only_block(&spliced);
    let resource = block.resource(&spliced);
    assert_eq!(labels(&resource).get("a"), Some("1"));
    assert_eq!(labels(&resource).get("b"), Some("2"));
}

#[test]
fn a_block_without_a_resource_gets_one() {
    let body = request(&[spans(b"")]);
    assert_eq!(only_block(&body).resource, ResourcePlace::Absent);
    let spliced = compare(Signal::Traces, &body).unwrap();
    assert_eq!(labels(&only_block(&spliced).resource(&spliced)).get("tawny.owner"), Some("owls"));
}

#[test]
fn an_empty_request_is_a_request() {
    for signal in Signal::ALL {
        assert_eq!(scan(signal, b"", &mut ()), Ok(Scan::default()));
    }
    assert_eq!(compare(Signal::Logs, b""), Some(Vec::new()));
}

#[test]
fn every_duplicate_of_an_upserted_key_goes_and_a_kept_one_stays() {
    let attributes = [attribute("service.name", "1"), attribute("k", "old"), attribute("service.name", "2")];
    let new = new_resource(&attributes.concat(), &EDITS).unwrap();
    let message = Fields::new(&new.field).next().unwrap().unwrap().value.bytes().unwrap();
    let expected = [attribute("k", "old"), attribute("tawny.owner", "owls"), attribute("service.name", "eule")];
    assert_eq!(message, expected.concat());
    assert!(new.is_changed);
    // A second pass finds everything as it would write it.
    assert!(!new_resource(message, &EDITS).unwrap().is_changed);
}

#[test]
fn the_last_of_two_equal_attributes_is_the_label() {
    let array = field(5, &[field(1, b""), field(1, &field(1, b"")), field(1, &[0x18, 7])].concat());
    let with_array = field(1, &[field(1, b"array"), field(2, &array)].concat());
    let bytes = field(1, &[field(1, b"a"), field(2, &field(7, b"raw"))].concat());
    let resource = [attribute("a", "1"), attribute("b", "1"), attribute("b", "2"), with_array, bytes].concat();
    let labels = labels(&resource);
    assert_eq!(labels.iter().collect::<Vec<_>>(), [("array", "[7]"), ("b", "2")]);
}

#[test]
fn a_span_whose_name_is_no_text_is_refused_wherever_the_fault_lies() {
    let ids = [field(1, &[1; 16]), field(2, &[1; 8])].concat();
    let times = [vec![0x30, 2, 0x39], vec![1; 8], vec![0x41], vec![1; 8]].concat();
    for length in [1, 31, 32, 63, 64, 65, 100, 127] {
        for place in 0..length {
            let mut name = vec![b'a'; length];
            name[place] = 0xff;
            let span = [ids.clone(), field(5, &name), times.clone(), vec![0x7a, 0]].concat();
            // Enough behind it for the glance at a whole head.
            let body = request(&[spans(&span), spans(&field(5, &[b'a'; 120])), spans(&field(5, &[b'a'; 120]))]);
            assert!(compare(Signal::Traces, &body).is_none(), "{place} of {length}");
        }
    }
}

#[test]
fn a_list_of_a_resource_may_hold_any_character() {
    let array = field(5, &[field(1, &field(1, b"a\x1eb")), field(1, &field(1, b"c"))].concat());
    let with_array = field(1, &[field(1, b"array"), field(2, &array)].concat());
    assert_eq!(labels(&with_array).get("array"), Some(r#"["a\u001eb","c"]"#));
    compare(Signal::Traces, &field(1, &field(1, &with_array)));
}

#[test]
fn numbers_are_written_as_people_write_them() {
    let double = |number: f64| {
        let mut value = vec![0x21];
        value.extend(number.to_le_bytes());
        let resource = field(1, &[field(1, b"n"), field(2, &value)].concat());
        labels(&resource).get("n").unwrap().to_owned()
    };
    let numbers = [1.0, 0.25, -3.5, 1e20, 1e21, -2.5e-7, f64::NAN, f64::NEG_INFINITY, 0.0];
    let texts = ["1", "0.25", "-3.5", "100000000000000000000", "1e+21", "-2.5e-7", "NaN", "-Infinity", "0"];
    assert_eq!(numbers.map(double), texts);
}

#[test]
fn a_length_beyond_its_message_is_refused_and_never_an_absent_field() {
    assert_eq!(traces(&[0x0a, 5, 0x12]), Err(Malformed::Truncated));
    // Inside the request, but out of the span.
    let span = [0x4a, 9, 0x0a, 1, b'a'];
    assert_eq!(traces(&[request(&[spans(&span)]), request(&[spans(&[0; 0])])].concat()), Err(Malformed::Truncated));
}

#[test]
fn numbers_longer_than_needed_are_read_and_longer_than_ten_bytes_are_not() {
    let kind = |bytes: &[u8]| request(&[spans(&[&[0x30], bytes].concat())]);
    assert!(traces(&kind(&[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00])).is_ok());
    let eleven = [0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(traces(&kind(&eleven)), Err(Malformed::Varint));
    let block = [vec![0x8a, 0x80, 0x00, 0x84, 0x00], spans(b"")].concat();
    assert!(traces(&block).unwrap().blocks[0].field == (0..block.len()));
}

#[test]
fn groups_are_skipped_whole_or_refused() {
    let inside = |bytes: &[u8]| request(&[spans(bytes)]);
    assert!(traces(&inside(&[0xa3, 0x06, 0x08, 1, 0xa4, 0x06])).is_ok());
    assert_eq!(traces(&inside(&[0xa3, 0x06, 0x08, 1])), Err(Malformed::Truncated));
    assert_eq!(traces(&inside(&[0xa4, 0x06])), Err(Malformed::Group));
    assert_eq!(traces(&inside(&[0xa3, 0x06, 0xac, 0x06])), Err(Malformed::Group));
    // A known field as a group.
    assert_eq!(traces(&inside(&[0x2b, 0x2c])), Err(Malformed::WrongType));
}

#[test]
fn messages_and_groups_may_be_nested_as_deep_as_prost_follows_them() {
    let mut verdicts = Vec::new();
    for depth in 40..60 {
        let mut value = vec![];
        for _ in 0..depth {
            value = field(5, &field(1, &value));
        }
        let attribute = field(9, &field(2, &value));
        verdicts.push(traces(&request(&[spans(&attribute)])).err());
    }
    assert_eq!(verdicts.first(), Some(&None));
    assert_eq!(verdicts.last(), Some(&Some(Malformed::TooDeep)));
    for depth in 90..110 {
        let groups = [[0xa3, 0x06].repeat(depth), [0xa4, 0x06].repeat(depth)].concat();
        traces(&groups).ok();
        traces(&request(&[spans(&groups)])).ok();
    }
}

#[test]
fn every_text_must_be_utf8_and_bytes_need_not() {
    let broken = [0xc3, 0x28];
    let texts: [Vec<u8>; 6] = [
        field(5, &broken),
        field(3, &broken),
        field(9, &field(1, &broken)),
        field(9, &field(2, &field(1, &broken))),
        field(11, &field(2, &broken)),
        field(15, &field(2, &broken)),
    ];
    for span in texts {
        // Enough behind it that nothing is looked at differently for being last.
        let body = [request(&[spans(&span)]), request(&[field(3, &[b'x'; 400])])].concat();
        assert_eq!(traces(&body), Err(Malformed::Utf8));
    }
    assert!(traces(&request(&[spans(&field(9, &field(2, &field(7, &broken))))])).is_ok());
    assert_eq!(traces(&request(&[field(3, &broken)])), Err(Malformed::Utf8));
}

#[test]
fn a_character_cut_by_the_end_of_its_text_is_refused_though_its_rest_follows() {
    let name = |bytes: &[u8]| field(9, &[field(1, bytes), field(2, &field(1, b"v"))].concat());
    let whole = [name("é".as_bytes()), name(b"plain")].concat();
    let cut = [name(&[b'e', 0xc3]), name(&[0xa9, b'e'])].concat();
    let filler = field(3, &[b'x'; 400]);
    assert!(traces(&request(&[spans(&whole), filler.clone()])).is_ok());
    assert_eq!(traces(&request(&[spans(&cut), filler])), Err(Malformed::Utf8));
}

#[test]
fn ids_of_another_length_are_counted_and_not_refused() {
    let good = [field(1, &[1; 16]), field(2, &[1; 8])].concat();
    let bad = [field(1, &[1; 15]), field(2, &[1; 9]), field(4, &[1; 3])].concat();
    let body = request(&[spans(&good), spans(&bad), spans(b"")]);
    let scan = traces(&body).unwrap();
    assert_eq!((scan.item_count, scan.invalid_id_count), (3, 1));
}

#[test]
fn ids_of_another_length_in_links_and_exemplars_are_counted_once_per_item() {
    let link = |trace_id: &[u8], span_id: &[u8]| field(13, &[field(1, trace_id), field(2, span_id)].concat());
    let ids = [field(1, &[1; 16]), field(2, &[1; 8])].concat();
    let linked = |links: &[Vec<u8>]| spans(&[ids.clone(), links.concat()].concat());
    let (good, letters) = (link(&[1; 16], &[1; 8]), link(&[b'a'; 32], &[b'b'; 16]));
    let body = request(&[
        linked(&[letters.clone(), good.clone(), letters]),
        linked(&[good, link(b"", b"")]),
        linked(&[link(&[1; 16], &[1; 7])]),
    ]);
    let seen = traces(&body).unwrap();
    assert_eq!((seen.item_count, seen.invalid_id_count), (3, 2));
    for (data, exemplars) in [(5, 5), (7, 5), (9, 8), (10, 11)] {
        let exemplar = |trace_id: &[u8]| field(exemplars, &[field(4, &[1; 8]), field(5, trace_id)].concat());
        let point = |exemplars: &[Vec<u8>]| field(1, &exemplars.concat());
        let points = [point(&[exemplar(&[1; 16]), exemplar(&[b'a'; 32])]), point(&[exemplar(&[1; 16])]), point(&[])];
        let metric = field(data, &points.concat());
        let body = request(&[spans(&metric)]);
        compare(Signal::Metrics, &body);
        let seen = scan(Signal::Metrics, &body, &mut ()).unwrap();
        assert_eq!((seen.item_count, seen.invalid_id_count), (3, 1), "{data}");
    }
}

#[test]
fn status_in_pieces_is_merged() {
    let pieces = [field(15, &[0x18, 2]), field(15, &field(2, b"why"))].concat();
    // The comparison looks at the status that a watch was told.
    assert!(traces(&request(&[spans(&pieces)])).is_ok());
}

#[test]
fn exceptions_are_seen_in_span_events_and_log_attributes() {
    assert!(only_block(&request(&[spans(&field(11, &field(2, b"exception")))])).has_exceptions);
    assert!(!only_block(&request(&[spans(&field(11, &field(2, b"exceptional")))])).has_exceptions);
    for (name, expected) in [("exception.type", true), ("exceptions", false)] {
        let record = field(6, &[field(1, name.as_bytes()), field(2, &field(1, b"E"))].concat());
        for filler in [0, 400] {
            let body = request(&[spans(&record), field(3, &vec![b'x'; filler])]);
            compare(Signal::Logs, &body);
            assert_eq!(scan(Signal::Logs, &body, &mut ()).unwrap().blocks[0].has_exceptions, expected);
        }
    }
}

#[test]
fn references_into_a_dictionary_of_profiles_are_no_fault() {
    let record = field(6, &[vec![0x18, 9], field(2, &[0x40, 3])].concat());
    assert!(compare(Signal::Logs, &request(&[spans(&record)])).is_some());
}

#[test]
fn unchanged_blocks_are_one_slice_of_the_request() {
    let tagged = [attribute("k", "v"), attribute("tawny.owner", "owls"), attribute("service.name", "eule")].concat();
    let block = request(&[field(1, &tagged), spans(b"\x0a\x00")]);
    let unknown = field(9, b"new in OTLP");
    let body = Bytes::from([block.clone(), unknown, block].concat());
    let scan = traces(&body).unwrap();
    assert_eq!(scan.gaps(body.len()).count(), 1);
    let mut assembly = Assembly::new(&body);
    assembly.keep(0..scan.blocks[0].field.start);
    assembly.block(&scan.blocks[0], &new_resource(&tagged, &EDITS).unwrap());
    scan.gaps(body.len()).for_each(|gap| assembly.keep(gap));
    assembly.block(&scan.blocks[1], &new_resource(&tagged, &EDITS).unwrap());
    let slices = assembly.finish();
    assert_eq!((slices.len(), slices[0].as_ptr()), (1, body.as_ptr()));
    assert_eq!(slices[0], body);
}

#[test]
fn a_changed_block_is_a_head_a_resource_and_slices_of_the_request() {
    let resource = field(1, &attribute("a", "1"));
    let (before, behind) = (field(3, b"schema"), spans(&field(5, &[b'x'; 300])));
    let body = Bytes::from(request(&[before.clone(), resource, behind.clone()]));
    let scan = traces(&body).unwrap();
    let new = new_resource(&attribute("a", "1"), &EDITS).unwrap();
    let mut assembly = Assembly::new(&body);
    assembly.block(&scan.blocks[0], &new);
    let slices = assembly.finish();
    assert_eq!(slices[1..], [new.field, before.into(), behind.into()]);
    assert!(slices[0].len() <= 4);
    assert_eq!(slices.concat(), splice(&body, &scan));
}

#[test]
fn more_resources_than_are_followed_are_refused() {
    let most = [0x0a, 0x00].repeat(BLOCK_COUNT_MAX);
    assert_eq!(scan(Signal::Traces, &most, &mut ()).unwrap().blocks.len(), BLOCK_COUNT_MAX);
    let more = [most.as_slice(), &[0x0a, 0x00]].concat();
    assert_eq!(scan(Signal::Traces, &more, &mut ()), Err(Malformed::TooManyResources));
}

#[test]
fn profiles_are_looked_at_from_outside_only() {
    assert_eq!(scan(Signal::Profiles, &field(1, &[0xff]), &mut ()), Ok(Scan::default()));
    assert_eq!(scan(Signal::Profiles, &[0x0a, 9], &mut ()), Err(Malformed::Truncated));
    assert_eq!(scan(Signal::Profiles, &[0x08, 9], &mut ()), Err(Malformed::WrongType));
}

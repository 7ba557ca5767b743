//! Samples with random damage, from a fixed seed: whatever comes, a decoder returns.

use super::*;

/// Folder and the kinds that read it.
const FOLDERS: [(&str, &str); 7] = [
    ("prometheus-api", "alertmanager-api"),
    ("alertmanager", "alertmanager"),
    ("grafana", "alertmanager"),
    ("grafana-legacy", "json"),
    ("generic", "json"),
    ("alertmanager", "json"),
    ("pagerduty-events-v2", "pagerduty"),
];
const ROUND_COUNT: usize = 20_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// Pieces that break decoders more often than single bytes do.
const PIECES: [&[u8]; 14] = [
    b"null",
    b"-1",
    b"1e999",
    b"\"\"",
    b"[[[[[[",
    b"{\"a\":",
    b"\\ud800",
    b"\\u0000",
    b"\0",
    b"\xff\xfe",
    b"9999999-01-01T00:00:00Z",
    b"0001-01-01T00:00:00Z",
    b"9223372036854775808",
    b"\"alerts\":",
];

fn damage(body: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(body.len());
        match random.below(6) {
            0 => body.truncate(at),
            1 if !body.is_empty() => body[at] ^= 1 << random.below(8),
            2 => {
                let end = (at + random.below(40)).min(body.len());
                body.drain(at..end);
            }
            3 => {
                let piece = PIECES[random.below(PIECES.len())];
                body.splice(at..at, piece.iter().copied());
            }
            4 => {
                let end = (at + random.below(40)).min(body.len());
                let copy = body[at..end].to_vec();
                let to = random.below(body.len());
                body.splice(to..to, copy);
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                let end = (at + random.below(20)).min(body.len());
                body.splice(at..end, piece.iter().copied());
            }
        }
    }
}

#[test]
fn damaged_samples_never_panic_and_every_outcome_has_a_short_answer() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let bodies: Vec<(&str, Vec<u8>)> =
        FOLDERS.iter().flat_map(|(folder, kind)| samples(folder).into_iter().map(|(_, body)| (*kind, body))).collect();
    for round in 0..ROUND_COUNT {
        let (kind, body) = &bodies[random.below(bodies.len())];
        let mut body = body.clone();
        damage(&mut body, &mut random);
        let (source, instance) = (source(kind), instance(SOURCES.iter().find(|s| s.kind() == *kind).unwrap().kind()));
        let paths = source.fixed_paths();
        let mut request = request(&body);
        request.path = if paths.is_empty() { "" } else { paths[round % paths.len()] };
        let answer = match source.decode(&request, &instance) {
            Ok(batch) => {
                for alert in &batch.alerts {
                    assert!(alert.holds_for <= minutes(7 * 24 * 60));
                }
                source.answer(request.path, &taken(&batch))
            }
            Err(error) => source.answer(request.path, &Receipt::Refused { status: 400, reason: &error.to_string() }),
        };
        assert!(matches!(answer.status, 200 | 202 | 400), "{}", answer.status);
        assert!(answer.status != 400 || answer.body.len() < 300, "{}", answer.body);
        assert!(!answer.body.contains('\n'));
        if let Credential::Body(Some(key)) = source.credential(&body) {
            assert!(!key.is_empty());
        }
    }
}

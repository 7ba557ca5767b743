//! Trace and span ids: hex in OTLP/JSON, and what senders make of them. Never shortens, pads or makes up an id.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Mode, Repair};

/// What stood where an id is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id<const N: usize> {
    Empty,
    Given([u8; N]),
    Mended([u8; N], Repair),
}

const FORGIVING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, FORGIVING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, FORGIVING);

/// Reads the text of an id. In lenient mode also takes base64 of the bytes, and base64 of the hex letters; no such
/// text is as long as a hex id, so there is no doubt.
pub(super) fn read<const N: usize>(text: &[u8], mode: Mode) -> Result<Id<N>, String> {
    if text.is_empty() {
        return Ok(Id::Empty);
    }
    if let Some(id) = from_hex(text) {
        return Ok(Id::Given(id));
    }
    if mode == Mode::Lenient
        && let Some(mended) = from_base64(text)
    {
        return Ok(mended);
    }
    let digits = 2 * N;
    Err(if text.len() == digits {
        format!("an id has {digits} hex digits, and this has something else")
    } else {
        format!(
            "an id has {digits} hex digits, and this has {} characters",
            String::from_utf8_lossy(text).chars().count()
        )
    })
}

/// The bytes that as many pairs of hex digits stand for.
pub(super) fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut id = [0; N];
    // Digits are gathered and judged once: no branch in the loop.
    let mut wrong = 0;
    for (byte, pair) in id.iter_mut().zip(text.as_chunks::<2>().0) {
        let (high, low) = (HEX[usize::from(pair[0])], HEX[usize::from(pair[1])]);
        wrong |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    (wrong < 0x10).then_some(id)
}

fn from_base64<const N: usize>(text: &[u8]) -> Option<Id<N>> {
    // Longest of interest: base64 of 32 letters.
    let bytes = (text.len() <= 44).then(|| base64_of(text))??;
    if let Ok(id) = bytes.as_slice().try_into() {
        return Some(Id::Mended(id, Repair::Base64Id));
    }
    from_hex(&bytes).map(|id| Id::Mended(id, Repair::HexTextId))
}

/// Base64 in either alphabet, with or without padding, as protobuf's JSON allows.
pub(super) fn base64_of(text: &[u8]) -> Option<Vec<u8>> {
    let is_url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if is_url_safe { &URL_SAFE } else { &STANDARD };
    engine.decode(text).ok()
}

/// Values of hex digits; everything else has a bit that no digit has.
static HEX: [u8; 256] = {
    let mut table = [0x80; 256];
    let mut digit = 0_u8;
    while digit < 16 {
        let letter = b"0123456789abcdef"[digit as usize];
        table[letter as usize] = digit;
        table[letter.to_ascii_uppercase() as usize] = digit;
        digit += 1;
    }
    table
};

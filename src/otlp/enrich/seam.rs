//! Where a deflate stream ends, to the bit, so that another block can follow it (RFC 1951). Never guesses: a stream that
//! could end in two places has no seam.
//!
//! A stream of one block with codes of its own says in its head which bits end it. They stand behind its last symbol, and
//! then come the spare bits of its last byte. Looking for them in the eight places where they can stand costs a fiftieth
//! of what inflating does.

/// Its only block is the last one and has codes of its own.
const ONE_DYNAMIC_BLOCK: u32 = 0b101;
/// The symbol that ends a block.
const END: u32 = 256;
/// The longest code of a symbol, and of a length of such a code.
const CODE_BITS_MAX: u32 = 15;
const LENGTH_BITS_MAX: u32 = 7;
/// In this order come the lengths of the codes of lengths.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The bits that the last byte of a whole and valid stream does not use; they are zeroes. `None`: the stream has more than
/// one block, or one of another kind, or could end in two places.
pub(super) fn spare_bit_count(deflate: &[u8]) -> Option<u32> {
    let tail = u32::from_le_bytes(*deflate.last_chunk()?);
    let end = End::read(deflate)?;
    let mut fitting = (0..8).filter(|spare| end.is_above(tail, *spare));
    let spare = fitting.next()?;
    let is_clean = tail.leading_zeros() >= spare;
    (is_clean && fitting.next().is_none()).then_some(spare)
}

/// The code that ends a block, as it lies in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    bits: u32,
    length: u32,
}

impl End {
    fn is_above(self, tail: u32, spare: u32) -> bool {
        let End { bits, length } = self;
        tail << spare >> (u32::BITS - length) == bits
    }

    fn read(deflate: &[u8]) -> Option<End> {
        let mut bits = Bits { rest: deflate, held: 0, count: 0 };
        if bits.take(3)? != ONE_DYNAMIC_BLOCK {
            return None;
        }
        let (symbol_count, _, length_count) = (bits.take(5)? + 257, bits.take(5)?, bits.take(4)? + 4);
        let mut length_lengths = [0; ORDER.len()];
        for place in ORDER.iter().take(length_count as usize) {
            length_lengths[*place] = bits.take(3)?;
        }
        let lengths = Lengths::new(&length_lengths);
        let mut seen = Seen::default();
        let mut last = 0;
        while seen.symbol_count < symbol_count {
            let (length, times) = match lengths.next(&mut bits)? {
                16 => (last, 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                18 => (0, 11 + bits.take(7)?),
                length => (length, 1),
            };
            // A run may go on into the lengths for distances.
            let times = times.min(symbol_count - seen.symbol_count);
            seen.add(length, times);
            last = length;
        }
        seen.end()
    }
}

/// The lengths of codes for symbols, as they come.
#[derive(Default)]
struct Seen {
    symbol_count: u32,
    /// How many codes have this length.
    of_length: [u32; CODE_BITS_MAX as usize + 1],
    /// How many have that of the code that ends a block, and come before it.
    before_end: u32,
    end_length: u32,
}

impl Seen {
    fn add(&mut self, length: u32, times: u32) {
        if (self.symbol_count..self.symbol_count + times).contains(&END) {
            self.end_length = length;
            self.before_end = self.of_length[length as usize] + END - self.symbol_count;
        }
        self.of_length[length as usize] += times;
        self.symbol_count += times;
    }

    /// Codes are numbered by their lengths, and those of one length by their symbols.
    fn end(&self) -> Option<End> {
        let length = self.end_length;
        if length == 0 {
            return None;
        }
        let first = self.of_length[1..length as usize].iter().fold(0, |code, count| (code + count) << 1);
        let code = first + self.before_end;
        Some(End { bits: code.reverse_bits() >> (u32::BITS - length), length })
    }
}

/// Reads lengths of codes.
struct Lengths {
    /// By the bits that come next: a symbol, and how many of the bits are its own.
    table: [(u32, u32); 1 << LENGTH_BITS_MAX],
}

impl Lengths {
    fn new(lengths: &[u32; ORDER.len()]) -> Lengths {
        let mut table = [(0, 0); 1 << LENGTH_BITS_MAX];
        let mut code = 0_u32;
        for length in 1..=LENGTH_BITS_MAX {
            code <<= 1;
            for (symbol, _) in (0..).zip(lengths).filter(|(_, held)| **held == length) {
                let start = code.reverse_bits() >> (u32::BITS - length);
                table.iter_mut().skip(start as usize).step_by(1 << length).for_each(|place| *place = (symbol, length));
                code += 1;
            }
        }
        Lengths { table }
    }

    fn next(&self, bits: &mut Bits<'_>) -> Option<u32> {
        let next = bits.peek(LENGTH_BITS_MAX);
        let (symbol, length) = *self.table.get(next as usize)?;
        (length > 0).then_some(())?;
        bits.take(length)?;
        Some(symbol)
    }
}

/// The bits of a stream, the least of each byte first.
struct Bits<'a> {
    rest: &'a [u8],
    held: u32,
    count: u32,
}

impl Bits<'_> {
    /// Zeroes stand behind the end.
    fn peek(&mut self, count: u32) -> u32 {
        while self.count < count
            && let Some((next, rest)) = self.rest.split_first()
        {
            self.held |= u32::from(*next) << self.count;
            (self.rest, self.count) = (rest, self.count + u8::BITS);
        }
        self.held & ((1 << count) - 1)
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        let bits = self.peek(count);
        self.count = self.count.checked_sub(count)?;
        self.held >>= count;
        Some(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(plain: &[u8], level: i32) -> Vec<u8> {
        let mut tool = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(level).unwrap());
        let mut out = vec![0; tool.deflate_compress_bound(plain.len())];
        let length = tool.deflate_compress(plain, &mut out).unwrap();
        out.truncate(length);
        out
    }

    fn text(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
        let words = ["GET", " /api/v1/owls", "http.route", "\u{12}\u{1f}", "prod", "42"];
        let mut text = Vec::new();
        while text.len() < length {
            text.extend_from_slice(words[random.usize(..words.len())].as_bytes());
            text.push(random.u8(..));
        }
        text
    }

    /// By an inflater that is given one more block in each of the eight places.
    fn is_end(deflate: &[u8], spare: u32, plain: &[u8]) -> bool {
        let mut longer = deflate.to_vec();
        longer[0] &= !1;
        // The last block, stored and empty.
        let more = u64::from_le_bytes([1, 0, 0, 0xff, 0xff, 0, 0, 0]);
        let last = longer.pop().unwrap();
        if spare >= 3 {
            longer.push(last | 1 << (8 - spare));
            longer.extend_from_slice(&more.to_le_bytes()[1..5]);
        } else {
            let head = 1_u16 << (8 - spare);
            longer.extend_from_slice(&(head | u16::from(last)).to_le_bytes());
            longer.extend_from_slice(&more.to_le_bytes()[1..5]);
        }
        let mut out = vec![0; plain.len()];
        libdeflater::Decompressor::new().deflate_decompress(&longer, &mut out) == Ok(plain.len()) && out == plain
    }

    #[test]
    fn the_seam_is_where_another_block_is_read_on() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut found = 0;
        for round in 0..600 {
            let length = random.usize(50..6000);
            let plain = text(&mut random, length);
            let deflate = packed(&plain, 1 + round % 12);
            let Some(spare) = spare_bit_count(&deflate) else { continue };
            assert!(is_end(&deflate, spare, &plain), "{round}");
            found += 1;
        }
        assert!(found > 500, "{found} of 600");
    }

    #[test]
    fn other_streams_and_what_is_none_have_no_seam() {
        assert_eq!(spare_bit_count(&packed(b"", 6)), None);
        assert_eq!(spare_bit_count(&packed(b"abc", 6)), None, "fixed codes or stored");
        let mut random = fastrand::Rng::with_seed(1);
        let plain = text(&mut random, 3000);
        let whole = packed(&plain, 6);
        assert!(spare_bit_count(&whole).is_some());
        let mut goes_on = whole.clone();
        goes_on[0] &= !1;
        assert_eq!(spare_bit_count(&goes_on), None, "more blocks follow");
        for end in 0..60 {
            // Cut inside its head there are no codes.
            let _ = spare_bit_count(&whole[..end]);
        }
        for _ in 0..2000 {
            let length = random.usize(..90);
            let mut noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            if let Some(first) = noise.first_mut() {
                *first = *first & !7 | 5;
            }
            let _ = spare_bit_count(&noise);
        }
    }
}

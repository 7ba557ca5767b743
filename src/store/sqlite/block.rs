//! What the journal keeps of a request, as an LZ4 block behind its length. Never changes what a reader unpacks: a small
//! content becomes a block that says "as it is".

use lz4_flex::block::compress_prepend_size;

/// One alert alone has little that repeats, and its sender waits: looking for it would take longer than all its rules, and
/// save some hundred bytes.
const PLAIN_BYTES_MAX: usize = 2048;

pub(super) fn block(content: &[u8]) -> Vec<u8> {
    match u32::try_from(content.len()) {
        Ok(length) if content.len() <= PLAIN_BYTES_MAX => plain(content, length),
        Ok(_) | Err(_) => compress_prepend_size(content),
    }
}

/// One sequence of literals, which ends the block: the upper half of its first byte is their number, or fifteen and as many
/// bytes more as it takes to say what is above.
fn plain(content: &[u8], length: u32) -> Vec<u8> {
    const LENGTH_BYTES_MAX: usize = 4 + 1 + PLAIN_BYTES_MAX / 255 + 1;
    let mut block = Vec::with_capacity(LENGTH_BYTES_MAX + content.len());
    block.extend_from_slice(&length.to_le_bytes());
    match length.checked_sub(15) {
        None => block.push(low_byte(length) << 4),
        Some(mut above) => {
            block.push(15 << 4);
            while above >= 255 {
                block.push(255);
                above -= 255;
            }
            block.push(low_byte(above));
        }
    }
    block.extend_from_slice(content);
    block
}

fn low_byte(number: u32) -> u8 {
    number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use lz4_flex::block::decompress_size_prepended;

    use super::*;

    #[test]
    fn every_content_is_unpacked_as_it_was() {
        let text: Vec<u8> = (0..3000_u32).map(|number| low_byte(number * number / 7)).collect();
        for length in (0..600).chain(PLAIN_BYTES_MAX - 300..=text.len()) {
            let packed = block(&text[..length]);
            assert_eq!(decompress_size_prepended(&packed).unwrap(), text[..length], "{length}");
            assert!(packed.len() <= length + 4 + length / 255 + 16, "{length}: {}", packed.len());
        }
    }

    #[test]
    fn what_repeats_itself_in_a_large_content_is_packed() {
        assert!(block(&[7; PLAIN_BYTES_MAX + 1]).len() < 100);
    }
}

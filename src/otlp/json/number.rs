//! Numbers of JSON, kept as their digits until it is known what they must become. Never rounds an integer.

/// A number as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a> {
    text: &'a [u8],
    /// Its value, where it is nothing but up to 19 digits.
    plain: Option<u64>,
}

const NOT_INTEGRAL: &str = "expected an integer, found a fraction";
const OUT_OF_RANGE: &str = "a number is out of range";

/// Digits that always fit an u64.
const PLAIN_DIGITS_MAX: usize = 19;

/// The number at the start of a text.
#[inline]
pub(super) fn scan(text: &[u8]) -> Option<Number<'_>> {
    let digits_at = usize::from(text.first() == Some(&b'-'));
    let (length, value) = digits(&text[digits_at..]);
    // Zeros in front are not JSON.
    if length == 0 || length > 1 && text[digits_at] == b'0' {
        return None;
    }
    let mut end = digits_at + length;
    let mut is_plain = digits_at == 0 && length <= PLAIN_DIGITS_MAX;
    if text.get(end) == Some(&b'.') {
        let (length, _) = digits(&text[end + 1..]);
        if length == 0 {
            return None;
        }
        end += 1 + length;
        is_plain = false;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let (length, _) = digits(&text[end + 1 + sign..]);
        if length == 0 {
            return None;
        }
        end += 1 + sign + length;
        is_plain = false;
    }
    Some(Number { text: &text[..end], plain: is_plain.then_some(value) })
}

/// How many digits stand at the start, and their value as far as it fits.
#[inline]
fn digits(text: &[u8]) -> (usize, u64) {
    let mut value = 0_u64;
    let mut length = 0;
    while let Some(digit) = text.get(length).filter(|byte| byte.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        length += 1;
    }
    (length, value)
}

impl Number<'_> {
    pub(super) fn length(&self) -> usize {
        self.text.len()
    }

    #[inline]
    pub(super) fn unsigned(self, max: u64) -> Result<u64, &'static str> {
        let (is_negative, value) = self.integral()?;
        if value > max || is_negative && value > 0 { Err(OUT_OF_RANGE) } else { Ok(value) }
    }

    #[inline]
    pub(super) fn signed(self, min: i64, max: i64) -> Result<i64, &'static str> {
        let (is_negative, value) = self.integral()?;
        let value = if is_negative { 0_i64.checked_sub_unsigned(value) } else { 0_i64.checked_add_unsigned(value) };
        value.filter(|value| (min..=max).contains(value)).ok_or(OUT_OF_RANGE)
    }

    pub(super) fn double(self) -> Result<f64, &'static str> {
        // Integers up to 2^53 are exact, and spare the general way.
        if let Some(value) = self.plain.and_then(|value| u32::try_from(value).ok()) {
            return Ok(f64::from(value));
        }
        let text = std::str::from_utf8(self.text).expect("a number is ASCII");
        let value: f64 = text.parse().expect("JSON's numbers are a part of Rust's");
        if value.is_finite() { Ok(value) } else { Err(OUT_OF_RANGE) }
    }

    /// Its sign and size. `1.0` and `1e3` are integers, `1.5` is none.
    #[inline]
    fn integral(self) -> Result<(bool, u64), &'static str> {
        match self.plain {
            Some(value) => Ok((false, value)),
            None => self.integral_of_any_form(),
        }
    }

    #[cold]
    fn integral_of_any_form(self) -> Result<(bool, u64), &'static str> {
        let is_negative = self.text.first() == Some(&b'-');
        let unsigned = &self.text[usize::from(is_negative)..];
        let exponent_at = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = match exponent_at {
            Some(at) => (&unsigned[..at], exponent(&unsigned[at + 1..])),
            None => (unsigned, 0),
        };
        let whole = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        // How many digits stand before the point, once it has been moved.
        let point = exponent.saturating_add_unsigned(whole as u64);
        let mut value = 0_u64;
        let mut place = 0_i64;
        for byte in mantissa.iter().filter(|byte| **byte != b'.') {
            let digit = u64::from(byte - b'0');
            if place < point {
                value = value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or(OUT_OF_RANGE)?;
            } else if digit != 0 {
                return Err(NOT_INTEGRAL);
            }
            place += 1;
        }
        // Ends after twenty rounds: by then a value that is not zero has grown too large.
        while value != 0 && place < point {
            value = value.checked_mul(10).ok_or(OUT_OF_RANGE)?;
            place += 1;
        }
        Ok((is_negative, value))
    }
}

/// Its value, or as far as it goes: no mantissa is long enough to make up for that.
fn exponent(text: &[u8]) -> i64 {
    let is_negative = text.first() == Some(&b'-');
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let size = digits.fold(0_i64, |size, digit| size.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if is_negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Option<Number<'_>> {
        scan(text.as_bytes()).filter(|number| number.length() == text.len())
    }

    #[test]
    fn only_numbers_of_json_are_numbers() {
        for good in ["0", "-0", "1", "10", "1.5", "-1.25e+10", "1E5", "0.0001", "18446744073709551615"] {
            assert!(whole(good).is_some(), "{good}");
        }
        for bad in ["", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "0x10", "1_000", "NaN", "Infinity", "١"] {
            assert!(whole(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_integer_may_be_written_in_any_form_and_is_never_rounded() {
        let read = |text: &str| whole(text).unwrap().signed(i64::MIN, i64::MAX);
        for (text, value) in [
            ("1e3", 1000),
            ("1.5e1", 15),
            ("100e-2", 1),
            ("-2.0", -2),
            ("-0", 0),
            ("0e999999999999999999999", 0),
            ("0.0e-5", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("9007199254740993", 9_007_199_254_740_993),
        ] {
            assert_eq!(read(text), Ok(value), "{text}");
        }
        for (text, fault) in [
            ("1.5", NOT_INTEGRAL),
            ("1e-1", NOT_INTEGRAL),
            ("1e-99999999999999999999", NOT_INTEGRAL),
            ("9223372036854775808", OUT_OF_RANGE),
            ("1e99999999999999999999", OUT_OF_RANGE),
            ("100000000000000000000", OUT_OF_RANGE),
        ] {
            assert_eq!(read(text), Err(fault), "{text}");
        }
        let unsigned = |text: &str| whole(text).unwrap().unsigned(u64::from(u32::MAX));
        assert_eq!((unsigned("4294967295"), unsigned("-0")), (Ok(u64::from(u32::MAX)), Ok(0)));
        assert_eq!((unsigned("4294967296"), unsigned("-1")), (Err(OUT_OF_RANGE), Err(OUT_OF_RANGE)));
        assert_eq!(whole("18446744073709551615").unwrap().unsigned(u64::MAX), Ok(u64::MAX));
    }

    #[test]
    fn a_double_is_the_nearest_one_and_never_becomes_infinite() {
        let read = |text: &str| whole(text).unwrap().double();
        assert_eq!(read("0.1").unwrap().to_bits(), 0.1_f64.to_bits());
        assert_eq!(read("-0").unwrap().to_bits(), (-0.0_f64).to_bits());
        assert_eq!(read("17976931348623157e292"), Ok(f64::MAX));
        assert_eq!(read("5e-324").unwrap().to_bits(), 1);
        assert_eq!(read("1e400"), Err(OUT_OF_RANGE));
    }
}

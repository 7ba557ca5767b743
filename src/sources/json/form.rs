//! Form-encoded bodies as JSON: old webhooks and `curl -d` send them. Never fails, because in this format
//! every text is valid.

use serde_json::{Map, Value};

use crate::sources::node::Node;

const FIELD_COUNT_MAX: usize = 1000;

/// `curl -d` says "form" and sends JSON: the body decides.
pub(super) fn is_form(content_type: &str, body: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !body.starts_with(['{', '['])
}

/// The fields as an object, or what `payload` or `data` holds when that is JSON itself.
pub(super) fn to_json(body: &str) -> String {
    let mut fields = Map::new();
    for pair in body.split('&').filter(|pair| !pair.is_empty()).take(FIELD_COUNT_MAX) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.insert(decoded(name), Value::String(decoded(value)));
    }
    for name in ["payload", "data"] {
        if let Some(Value::String(text)) = fields.get(name) {
            let text = text.trim();
            if text.starts_with(['{', '[']) && Node::parse(text).is_ok() {
                return text.to_owned();
            }
        }
    }
    Value::Object(fields).to_string()
}

/// `+` is a blank, `%41` a byte; what is no such thing stands for itself.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(hex_byte);
        match escaped {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u8::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_an_object_and_a_payload_of_json_stands_for_the_whole() {
        assert_eq!(to_json("a=1+%41&b=%zz%4&c&a=2%C3%A9"), r#"{"a":"2é","b":"%zz%4","c":""}"#);
        assert_eq!(to_json("token=x&payload=%7B%22a%22%3A1%7D"), r#"{"a":1}"#);
        assert_eq!(to_json("data=%7Bbroken"), r#"{"data":"{broken"}"#);
    }
}

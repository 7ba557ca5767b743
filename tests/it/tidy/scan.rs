//! Just enough reading of Rust for the walls: what is code, and which paths it names. Never a parser; rustc has
//! seen the same files and refused what is not Rust.

use std::collections::BTreeSet;
use std::path::Path;

/// Everything before the test module that stands in the file itself.
pub fn without_tests(text: &str) -> &str {
    match text.find("#[cfg(test)]\nmod tests {") {
        Some(at) => &text[..at],
        None => text,
    }
}

/// Names of the modules that a file declares for tests only (`#[cfg(test)] mod testkit;`).
pub fn test_modules(text: &str) -> Vec<String> {
    let after = text.split("#[cfg(test)]").skip(1);
    let declared = after.filter_map(|rest| rest.split_once("mod ")?.1.split_once(';'));
    declared.map(|(name, _)| name.to_owned()).filter(|name| word_at(name).as_ref() == Some(name)).collect()
}

/// Blanks comments and the contents of strings; lines stay where they are.
pub fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, shown) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), ""),
            '/' if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |end| end + 2), " "),
            '"' => (string_length(rest), "\"\""),
            'r' if !ends_in_word(&code) && raw_string_length(rest).is_some() => {
                (raw_string_length(rest).unwrap_or(1), "\"\"")
            }
            '\'' => (char_length(rest), "' '"),
            other => (other.len_utf8(), &rest[..other.len_utf8()]),
        };
        code.push_str(shown);
        // What is dropped may span lines, and line numbers must not move.
        if shown != &rest[..length] {
            code.extend(rest[..length].matches('\n'));
        }
        rest = &rest[length..];
    }
    code
}

fn ends_in_word(code: &str) -> bool {
    code.chars().next_back().is_some_and(|last| last.is_alphanumeric() || last == '_')
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`.
fn raw_string_length(rest: &str) -> Option<usize> {
    let hash_count = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    let opening = 2 + hash_count;
    if rest.as_bytes().get(opening - 1) != Some(&b'"') {
        return None;
    }
    let closing = format!("\"{}", "#".repeat(hash_count));
    Some(rest[opening..].find(&closing).map_or(rest.len(), |end| opening + end + closing.len()))
}

/// `'x'`, `'\n'`, `'\u{1f600}'`; a lifetime is its quote alone.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(1, |end| end + 4),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            Some(_) | None => 1,
        },
        None => 1,
    }
}

/// The first part of every path that starts at the crate: `crate::io::x`, `crate::{model, io::x}`, and `super::`
/// repeated until it gets there.
pub fn crate_paths(code: &str, file: &Path) -> BTreeSet<String> {
    let depth = file.iter().count() - usize::from(file.ends_with("mod.rs"));
    let above = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for start in ["crate::", above.as_str()] {
        for (at, _) in code.match_indices(start) {
            let is_longer_word = ends_in_word(&code[..at]) || code[..at].ends_with("super::");
            if !is_longer_word || code[..at].ends_with("pub(in ") {
                first_parts(&code[at + start.len()..], &mut found);
            }
        }
    }
    found
}

/// One name, or the first name of each branch of a `{…}`.
fn first_parts(path: &str, found: &mut BTreeSet<String>) {
    let Some(group) = path.strip_prefix('{') else {
        found.extend(word_at(path));
        return;
    };
    let mut depth = 0;
    let mut is_start = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            letter if letter.is_whitespace() => {}
            _ if is_start => {
                found.extend(word_at(&group[at..]));
                is_start = false;
            }
            _ => {}
        }
    }
}

fn word_at(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_not_code() {
        let text = "let a = \"tokio \\\" .await\"; // tokio\nlet b = r#\"tokio\n\"\"#; /* tokio */ let c = '\"'; 'a: loop {}\n";
        let code = code_only(text);
        assert!(!code.contains("tokio") && !code.contains("await"), "{code}");
        assert!(code.contains("let c") && code.contains("'a: loop"), "{code}");
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn modules_for_tests_are_told_from_test_modules() {
        let text =
            "#[cfg(test)]\npub(super) mod testkit;\nmod words;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
        assert_eq!(test_modules(text), ["testkit"]);
        assert!(without_tests(text).ends_with("mod words;\n"));
    }

    #[test]
    fn every_way_to_name_another_layer_is_seen() {
        let code = "use crate::{model::{Alert, Tags}, io, store::Store as S};\nfn f(_: crate::web::Page) { super::super::cli::run() }";
        let found = crate_paths(code, Path::new("sinks/pagerduty.rs"));
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["cli", "io", "model", "store", "web"]);
        let deeper = crate_paths("use super::super::cli;", Path::new("rules/compile/index.rs"));
        assert!(deeper.is_empty(), "two steps up from there is still inside `rules`: {deeper:?}");
    }
}

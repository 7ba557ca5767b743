//! As much of Markdown as our own documents use: sections, tables, fenced blocks. Never renders anything.

use std::fs;
use std::path::Path;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A document, by its path from the root.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

/// What stands under a heading, up to the next one of the same or a higher level.
pub fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let level = heading.chars().take_while(|c| *c == '#').count();
    let start = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading `{heading}`"));
    let body = &text[start + heading.len() + 2..];
    let ends = |line: &str| {
        let depth = line.chars().take_while(|c| *c == '#').count();
        depth > 0 && depth <= level && line[depth..].starts_with(' ')
    };
    let mut length = 0;
    for line in body.split_inclusive('\n') {
        if ends(line.trim_end()) {
            break;
        }
        length += line.len();
    }
    &body[..length]
}

/// The rows of the first table whose first column has this name.
pub fn table(text: &str, first_column: &str) -> Vec<Vec<String>> {
    let head = format!("| {first_column} |");
    let lines = text.lines().skip_while(|line| !line.starts_with(&head));
    let rows: Vec<Vec<String>> = lines.take_while(|line| line.starts_with('|')).skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "no table that begins with `{head}`");
    rows
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// What stands in back quotes.
pub fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The first column without its back quotes.
pub fn names(rows: &[Vec<String>]) -> Vec<String> {
    rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect()
}

/// Fenced blocks: the words behind the fence, and the text.
pub fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some((info.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some((_, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

/// Each name exactly once and none besides.
pub fn assert_same(what: &str, mut documented: Vec<String>, known: impl IntoIterator<Item = impl Into<String>>) {
    let mut known: Vec<String> = known.into_iter().map(Into::into).collect();
    documented.sort();
    known.sort();
    assert_eq!(documented, known, "{what}: left is documented, right is known to the program");
}

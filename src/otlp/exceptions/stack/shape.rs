//! Which runtime wrote a stack trace, by its looks alone. Says `Other` rather than the most likely.

use crate::model::exception::Language;

pub(super) fn of(text: &str) -> Language {
    if text.contains("Traceback (most recent call last):") {
        return Language::Python;
    }
    text.lines().find_map(of_line).unwrap_or(Language::Other)
}

/// Lines that only one runtime writes.
fn of_line(line: &str) -> Option<Language> {
    if line.starts_with("goroutine ") && line.trim_end().ends_with(':') {
        return Some(Language::Go);
    }
    let trimmed = line.trim();
    let is_numbered =
        trimmed.strip_prefix('#').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    if is_numbered && (trimmed.contains("): ") || trimmed.ends_with("{main}")) {
        return Some(Language::Php);
    }
    if [":in `", ":in '"].iter().any(|mark| trimmed.contains(mark)) && trimmed.contains('\'') {
        return Some(Language::Ruby);
    }
    let call = trimmed.strip_prefix("at ").filter(|_| line.starts_with([' ', '\t']))?;
    let call = call.trim_end_matches(" {");
    if call.contains(":line ") || trimmed.ends_with(')') && !call.contains(':') && call.contains("(String ") {
        return Some(Language::DotNet);
    }
    let inside = call.rfind('(').map(|at| call[at + 1..].trim_end_matches(')'));
    let (file, line_number, column) = super::path::place(inside.unwrap_or(call));
    let is_jvm_file = [".java", ".kt", ".scala", ".groovy", ".clj"].iter().any(|end| file.ends_with(end));
    if inside.is_some_and(|inside| ["Native Method", "Unknown Source"].contains(&inside))
        || is_jvm_file && inside.is_some()
    {
        return Some(Language::Java);
    }
    // Rust's backtraces have places of the same form.
    (line_number.is_some() && column.is_some() && !file.ends_with(".rs")).then_some(Language::Node)
}

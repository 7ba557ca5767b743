//! A fault in a rule file, worded for the person who edits it. Never decides whether a fault is one.

use std::cell::OnceCell;
use std::fmt;

use serde::Serialize;

use super::SourceFile;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiagnosticSeverity {
    Error,
    Warning,
}

/// One fault, where it is, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    pub severity: DiagnosticSeverity,
    pub message: String,
    pub hint: Option<String>,
    /// The line itself, for people who are not in their editor.
    pub source_line: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}  ", self.file, self.line, self.column)?;
        match self.severity {
            DiagnosticSeverity::Error => {}
            DiagnosticSeverity::Warning => f.write_str("warning: ")?,
        }
        f.write_str(&self.message)?;
        if !self.source_line.trim().is_empty() {
            write!(f, "\n    {}\n    ", self.source_line)?;
            // Tabs are kept, so that the caret stands below its character in any terminal.
            for character in self.source_line.chars().take(self.column.saturating_sub(1) as usize) {
                f.write_str(if character == '\t' { "\t" } else { " " })?;
            }
            f.write_str("^")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n    {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl At {
    pub(super) const START: At = At { line: 1, column: 1 };
}

/// Collects the faults of one file.
pub(super) struct Faults<'f> {
    file: &'f SourceFile,
    found: Vec<Diagnostic>,
    /// Made when the first line is asked for: what is right asks for none.
    lines: OnceCell<Vec<&'f str>>,
}

impl<'f> Faults<'f> {
    pub(super) fn new(file: &'f SourceFile) -> Faults<'f> {
        Faults { file, found: Vec::new(), lines: OnceCell::new() }
    }

    pub(super) fn file_name(&self) -> &'f str {
        &self.file.name
    }

    pub(super) fn error(&mut self, at: At, message: impl Into<String>, hint: Option<String>) {
        self.push(DiagnosticSeverity::Error, at, message.into(), hint);
    }

    pub(super) fn warning(&mut self, at: At, message: impl Into<String>, hint: Option<String>) {
        self.push(DiagnosticSeverity::Warning, at, message.into(), hint);
    }

    pub(super) fn error_count(&self) -> usize {
        self.found.iter().filter(|fault| fault.severity == DiagnosticSeverity::Error).count()
    }

    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    /// The line as it stands in the file; long lines are cut, because tables may be generated.
    pub(super) fn line(&self, at: At) -> String {
        const CHARACTERS_MAX: usize = 200;
        let lines = self.lines.get_or_init(|| self.file.text.lines().collect());
        let line = lines.get(at.line.saturating_sub(1) as usize).copied().unwrap_or("");
        line.chars().take(CHARACTERS_MAX).collect()
    }

    fn push(&mut self, severity: DiagnosticSeverity, at: At, message: String, hint: Option<String>) {
        self.found.push(Diagnostic {
            file: self.file.name.clone(),
            line: at.line,
            column: at.column,
            severity,
            message,
            hint,
            source_line: self.line(at),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_its_character() {
        let file = SourceFile { name: "services.yaml".into(), text: "a: 1\n\tówner: x\n".into() };
        let mut faults = Faults::new(&file);
        faults.error(At { line: 2, column: 4 }, "wrong", Some("better".into()));
        let text = faults.into_found()[0].to_string();
        assert_eq!(text, "services.yaml:2:4  wrong\n    \tówner: x\n    \t  ^\n    better");
    }
}

//! A fault in a rule file, worded for the person who edits it. Never decides whether a fault is one.

use std::fmt;

use serde::Serialize;

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

//! How bad: the four words of PagerDuty's Events API v2, and the words other senders use for them.

use serde::{Deserialize, Serialize};

/// Ordered: `Info < Warning < Error < Critical`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Error,
    Critical,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }

    /// `None` for a word that no sender is known to use; callers take [`Severity::default`] then.
    pub fn from_word(word: &str) -> Option<Severity> {
        // Most write the words that we write.
        let own = [Severity::Critical, Severity::Warning, Severity::Error, Severity::Info];
        if let Some(severity) = own.into_iter().find(|severity| severity.as_str() == word) {
            return Some(severity);
        }
        const WORDS: [(Severity, &[&str]); 4] = [
            (Severity::Critical, &["critical", "crit", "page", "p1", "fatal", "emergency", "alert", "disaster"]),
            (Severity::Error, &["error", "err", "high", "major", "p2", "alarm"]),
            (Severity::Warning, &["warning", "warn", "minor", "medium", "p3"]),
            (Severity::Info, &["info", "notice", "low", "none", "ok", "debug", "p4", "p5"]),
        ];
        let word = word.trim();
        WORDS
            .iter()
            .find(|(_, words)| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
            .map(|(severity, _)| *severity)
    }
}

impl Default for Severity {
    /// What is unknown is treated as an error: it pages, and nobody is woken for less than they chose.
    fn default() -> Severity {
        Severity::Error
    }
}

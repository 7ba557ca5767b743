//! One line for each probe: what was wanted and what was seen. Judges by equality alone.

use std::fmt::{Display, Write};
use std::path::Path;

#[derive(Default)]
pub struct Report {
    who: &'static str,
    lines: Vec<Line>,
}

struct Line {
    who: &'static str,
    name: String,
    transport: &'static str,
    expected: String,
    seen: String,
}

impl Report {
    /// Whom the probes that follow ask.
    pub fn ask(&mut self, who: &'static str) {
        self.who = who;
    }

    pub fn check(&mut self, name: &str, transport: &'static str, expected: impl Display, seen: impl Display) {
        let (expected, seen) = (expected.to_string(), seen.to_string());
        self.lines.push(Line { who: self.who, name: name.to_owned(), transport, expected, seen });
    }

    /// Into the target directory of the build.
    pub fn write(&self, name: &str) {
        let mut text = String::from(
            "# OTLP conformance\n\n| asked | probe | transport | expected | seen | |\n|---|---|---|---|---|---|\n",
        );
        for Line { who, name, transport, expected, seen } in &self.lines {
            let mark = if expected == seen { "ok" } else { "**differs**" };
            writeln!(text, "| {who} | {name} | {transport} | {expected} | {seen} | {mark} |").unwrap();
        }
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), text).unwrap();
    }

    pub fn assert_all_green(&self) {
        let wrong: Vec<String> = self
            .lines
            .iter()
            .filter(|line| line.expected != line.seen)
            .map(|line| {
                format!("{}: {} ({}): wanted {}, saw {}", line.who, line.name, line.transport, line.expected, line.seen)
            })
            .collect();
        assert!(wrong.is_empty(), "{} of {} probes differ:\n{}", wrong.len(), self.lines.len(), wrong.join("\n"));
    }
}

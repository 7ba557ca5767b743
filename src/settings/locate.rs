//! Where in `tawny.yaml` something stands, for errors that are found after parsing.

/// The file's name and lines.
#[derive(Clone, Debug, Default)]
pub struct Places {
    name: String,
    lines: Vec<String>,
    /// Keys that a flag or the environment said over the file, and which.
    overlays: Vec<(String, String)>,
}

impl Places {
    pub fn new(name: &str, text: &str) -> Places {
        Places { name: name.to_owned(), lines: text.lines().map(str::to_owned).collect(), overlays: Vec::new() }
    }

    pub fn under(self, overlays: Vec<(String, String)>) -> Places {
        Places { overlays, ..self }
    }

    /// `file:line` of a key of the entry called `entry` in the list `section`; of the entry itself when the
    /// key is not written there; of the section when its entries stand in brackets; just the file (or `settings`) when
    /// even that cannot be found.
    pub fn of(&self, section: &str, entry: &str, key: &str) -> String {
        if let Some((_, place)) = self.overlays.iter().find(|(overlaid, _)| overlaid == section) {
            return place.clone();
        }
        let name = if self.name.is_empty() { "settings" } else { &self.name };
        match self.find(section, entry, key) {
            Some((line, column)) => format!("{name}:{line}:{column}"),
            None => name.to_owned(),
        }
    }

    /// `file:line` of a key at the top or in a section (`listen`, `retention.age`), of the section where the key is
    /// not written, or what overruled it.
    pub fn of_top(&self, key: &str) -> String {
        if let Some((_, place)) = self.overlays.iter().find(|(overlaid, _)| overlaid == key) {
            return place.clone();
        }
        let (section, inner) = key.split_once('.').map_or((key, None), |(section, inner)| (section, Some(inner)));
        let name = if self.name.is_empty() { "settings" } else { &self.name };
        let head = format!("{section}:");
        let Some(at) = self.lines.iter().position(|line| line.starts_with(&head)) else { return name.to_owned() };
        let behind = self.lines.iter().enumerate().skip(at + 1).take_while(|(_, line)| !is_top(line));
        let mut lines = std::iter::once((at, &self.lines[at])).chain(behind);
        let found = inner.and_then(|inner| lines.find_map(|(at, line)| Some((at, key_of(line, inner)?))));
        let (at, column) = found.unwrap_or((at, 1));
        format!("{name}:{}:{column}", at + 1)
    }

    fn find(&self, section: &str, entry: &str, key: &str) -> Option<(usize, usize)> {
        let head = format!("{section}:");
        let start = self.lines.iter().position(|line| line.starts_with(&head))? + 1;
        let end = self.lines[start..].iter().position(|line| is_top(line)).map_or(self.lines.len(), |at| start + at);
        let begins = |line: &str| line.trim_start().starts_with("- ");
        let mut at = start;
        while at < end {
            let next = self.lines[at + 1..end].iter().position(|line| begins(line)).map_or(end, |more| at + 1 + more);
            if begins(&self.lines[at]) && self.lines[at..next].iter().any(|line| names(line, entry)) {
                let wanted = (at..next).find_map(|line| word(&self.lines[line], key).map(|column| (line + 1, column)));
                return wanted.or(Some((at + 1, 1)));
            }
            at = next;
        }
        Some((start, 1))
    }
}

/// Whether the line begins a section.
fn is_top(line: &str) -> bool {
    line.starts_with(|first: char| first.is_alphanumeric())
}

/// The column of a key, if the line is no comment.
fn key_of(line: &str, key: &str) -> Option<usize> {
    (!line.trim_start().starts_with('#')).then(|| word(line, key)).flatten()
}

/// Whether the line holds `name: entry`.
fn names(line: &str, entry: &str) -> bool {
    word(line, "name").is_some_and(|column| {
        let value = line[column - 1..].trim_start_matches("name").trim_start_matches(':').trim_start();
        let value = value.trim_start_matches(['"', '\'']);
        value.starts_with(entry)
            && !value[entry.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '-' || next == '_')
    })
}

/// The column of `key:` as a whole word, from 1.
fn word(line: &str, key: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = line[from..].find(key).map(|at| at + from) {
        let before = line[..at].chars().next_back();
        let after = line[at + key.len()..].trim_start();
        if before.is_none_or(|before| !before.is_alphanumeric() && before != '_') && after.starts_with(':') {
            return Some(at + 1);
        }
        from = at + key.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_an_entry_is_found_in_block_and_flow_style() {
        let text = "listen: x\nsinks:\n  - { name: pager, kind: pagerduty, routing_kye: y }\n  - name: pager-2\n    kind: sentry\n    dns: z\nsources: []\n";
        let places = Places::new("tawny.yaml", text);
        assert_eq!(places.of("sinks", "pager", "routing_kye"), "tawny.yaml:3:37");
        assert_eq!(places.of("sinks", "pager-2", "dns"), "tawny.yaml:6:5");
        assert_eq!(places.of("sinks", "pager-2", "absent"), "tawny.yaml:4:1");
        assert_eq!(places.of("sinks", "nobody", "dns"), "tawny.yaml:2:1");
        assert_eq!(places.of("absent", "nobody", "dns"), "tawny.yaml");
        assert_eq!(places.of_top("sinks"), "tawny.yaml:2:1");
        let places = Places::new("tawny.yaml", "sinks: [{ name: pager, kind: pager }]\nsources: [{ name: am }]\n");
        assert_eq!(places.of("sinks", "pager", "kind"), "tawny.yaml:1:1");
        assert_eq!(places.of("sources", "am", "kind"), "tawny.yaml:2:1");
        let text = "limits:\n  body_seconds: 3\notlp: # idle: x\n  # idle: 2\n  json: x\n  idle: 1\nspans: { to: [a], existing: b }\n";
        let places = Places::new("tawny.yaml", text);
        assert_eq!(places.of_top("otlp.json"), "tawny.yaml:5:3");
        assert_eq!(places.of_top("spans.existing"), "tawny.yaml:7:19");
        assert_eq!(places.of_top("otlp.absent"), "tawny.yaml:3:1");
        assert_eq!(places.of_top("otlp.body_seconds"), "tawny.yaml:3:1", "of another section");
    }
}

//! Puts the story on standard output, in lines that fit a terminal, and keeps count of its claims. Decides nothing
//! about what is true.

use serde_json::Value;

use super::senders::{Alert, Sender};
use super::stand_ins::{Book, Effect, Service, Told};
use crate::cli::say;

const COLUMNS: usize = 100;
/// Everything under the title of an act.
const INDENT: &str = "    ";
/// Below the text of an arrow's line: behind the arrow, who, and what.
const UNDER_ARROW: &str = "                              ";

#[derive(Default)]
pub(super) struct Teller {
    act_count: u32,
    claim_count: u32,
    wrong_count: u32,
    /// Of the page that was spoken of last.
    last_key: String,
}

impl Teller {
    pub(super) fn line(&self, text: &str) {
        say(&clipped(text, COLUMNS));
    }

    pub(super) fn blank(&self) {
        say("");
    }

    /// Prose, broken between words.
    pub(super) fn prose(&self, indent: &str, text: &str) {
        for line in wrapped(text.split_whitespace(), " ", COLUMNS - indent.len()) {
            say(&format!("{indent}{line}"));
        }
    }

    pub(super) fn act(&mut self, title: &str) {
        self.act_count += 1;
        say(&format!("\n{}  {title}", self.act_count));
    }

    pub(super) fn narrate(&self, text: &str) {
        say("");
        self.prose(INDENT, text);
    }

    /// An alert that comes in, with all its labels.
    pub(super) fn received(&self, sender: Sender, alert: &Alert) {
        self.received_briefly(sender, alert, "");
        let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for line in wrapped(labels.iter().map(String::as_str), "  ", COLUMNS - UNDER_ARROW.len()) {
            say(&format!("{UNDER_ARROW}{line}"));
        }
    }

    /// What was seen before needs no labels.
    pub(super) fn received_briefly(&self, sender: Sender, alert: &Alert, remark: &str) {
        let line = arrow("<-", sender.as_str(), alert.status(), &format!("{}  {remark}", alert.name));
        self.line(line.trim_end());
    }

    /// What left for whom, in the order of the services.
    pub(super) fn told(&mut self, told: &[Told]) {
        if told.is_empty() {
            self.line(&format!("{INDENT}-> nobody"));
        }
        for service in Service::ALL {
            for one in told.iter().filter(|one| one.service == service) {
                if service == Service::PagerDuty {
                    self.line(&arrow("->", service.as_str(), &one.verb, &one.title));
                    self.page(one);
                } else {
                    self.line(&arrow("->", service.as_str(), &one.verb, &one.details));
                }
            }
        }
    }

    /// What the message does to the page. The key is long, and shown once for each page.
    fn page(&mut self, told: &Told) {
        let reason = told.reason.replace('_', " ");
        let remark = match told.effect {
            Effect::Opened | Effect::Updated => format!("{}, {reason}", told.details),
            Effect::Resolved => reason,
        };
        self.line(&format!("{UNDER_ARROW}{} ({remark})", consequence(told.effect)));
        if told.dedup_key != self.last_key {
            self.line(&format!("{UNDER_ARROW}key {}", told.dedup_key));
            self.last_key.clone_from(&told.dedup_key);
        }
    }

    /// The tags of an incident as its page shows them: value, rule, and what the rule saw.
    pub(super) fn tags(&self, incident: &Value) {
        const SHOWN: [(&str, &str); 7] = [
            ("service", "service"),
            ("class", "class"),
            ("owner", "owner"),
            ("platform", "platform"),
            ("cluster", "platform.cluster"),
            ("cell", "cell"),
            ("env", "env"),
        ];
        let field = |name: &str, part: &str| incident["tags"][name][part].as_str().unwrap_or_default().to_owned();
        let width = SHOWN.iter().map(|(_, name)| field(name, "by").chars().count()).max().unwrap_or(0);
        for (shown, name) in SHOWN {
            let seen = field(name, "seen");
            // `label.cluster=…`: the scope is plain from the alert above.
            let seen = seen.split_once('.').map_or(seen.as_str(), |(_, rest)| rest);
            let row =
                format!("{INDENT}{shown:<8}  {:<13}  {:<width$}  {seen}", field(name, "value"), field(name, "by"));
            self.line(row.trim_end());
        }
        self.line(&format!(
            "{INDENT}route     {:<13}  {}",
            "all sinks",
            incident["route"].as_str().unwrap_or_default()
        ));
    }

    /// Says what should be so, and whether it is. `found` is shown only when it is not.
    pub(super) fn claim(&mut self, text: &str, holds: bool, found: &str) {
        self.claim_count += 1;
        if holds {
            self.marked("ok  ", text);
        } else {
            self.wrong_count += 1;
            self.marked("WRONG  ", &format!("{text} (found: {found})"));
        }
    }

    /// The mark stands before the first line only.
    fn marked(&self, mark: &str, text: &str) {
        let room = COLUMNS - INDENT.len() - mark.len();
        for (number, line) in wrapped(text.split_whitespace(), " ", room).iter().enumerate() {
            let mark = if number == 0 { mark } else { "" };
            say(&format!("{INDENT}{mark}{line}"));
        }
    }

    /// All claims, and those that did not hold.
    pub(super) fn claim_counts(&self) -> (u32, u32) {
        (self.claim_count, self.wrong_count)
    }

    pub(super) fn table(&self, book: &Book) {
        self.line(&format!("{INDENT}{:<12}{:>9}{:>9}{:>9}{:>10}", "", "requests", "opened", "updated", "resolved"));
        for service in Service::ALL {
            self.line(&format!(
                "{INDENT}{:<12}{:>9}{:>9}{:>9}{:>10}",
                service.as_str(),
                book.request_count(service),
                book.count(service, Effect::Opened),
                book.count(service, Effect::Updated),
                book.count(service, Effect::Resolved),
            ));
        }
    }

    /// Where to look while the daemon stays up.
    pub(super) fn invite(&self, url: &str) {
        say(&format!("\nThe daemon stays up at {url} until Ctrl-C. Look at"));
        for (path, about) in [
            ("/", "its addresses"),
            ("/api/v1/incidents?state=recent", "its incidents, with tags and rules"),
            ("/api/v1/deliveries", "what left, and how it ended"),
            ("/metrics", "its counters"),
        ] {
            self.line(&format!("{INDENT}{:<53}  {about}", format!("{url}{path}")));
        }
        say(&format!(
            "or post an alert of your own:\n{INDENT}tawny send FILE --source alertmanager --to {url}/in/alertmanager"
        ));
    }
}

/// One line: which way, who, in which of their words, and what.
fn arrow(way: &str, who: &str, verb: &str, what: &str) -> String {
    format!("{INDENT}{way} {who:<12} {verb:<8}  {what}")
}

fn consequence(effect: Effect) -> &'static str {
    match effect {
        Effect::Opened => "opens a page and wakes somebody",
        Effect::Updated => "updates the open page, wakes nobody",
        Effect::Resolved => "closes the page",
    }
}

fn clipped(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// Lines of words; a word that is longer than a line has one of its own.
fn wrapped<'a>(words: impl Iterator<Item = &'a str>, gap: &str, chars_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + gap.len() + word.chars().count() <= chars_max => {
                line.push_str(gap);
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_never_lose_one() {
        assert_eq!(wrapped("one two three".split(' '), " ", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible to us".split(' '), " ", 5), ["incomprehensible", "to us"]);
    }

    #[test]
    fn a_claim_that_does_not_hold_is_counted_as_wrong() {
        let mut teller = Teller::default();
        teller.claim("two and two are four", true, "");
        teller.claim("two and two are five", false, "4");
        assert_eq!(teller.claim_counts(), (2, 1));
    }

    #[test]
    fn a_clipped_line_says_so() {
        assert_eq!(clipped("abcdef", 6), "abcdef");
        assert_eq!(clipped("abcdefg", 6), "abcde…");
    }
}

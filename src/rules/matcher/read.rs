//! Matchers as people write them. Reports what is wrong where it stands, and never guesses what was meant.

use regex::RegexBuilder;

use super::{ANCHORS, Bindable, Matcher, Pattern, number};
use crate::rules::address::Network;
use crate::rules::arn;
use crate::rules::condition::Reading;
use crate::rules::diagnostic::Faults;
use crate::rules::glob::Glob;
use crate::rules::suggest;
use crate::rules::table::{Tables, Want};
use crate::rules::walk::{self, Fields, Word};
use crate::rules::yaml::{Kind, Node};

impl Matcher {
    /// Reads a matcher as written behind a scoped key. `None` after a fault.
    pub(in crate::rules) fn read(
        node: &Node,
        reading: &mut Reading<'_>,
        bindable: &mut Bindable,
        faults: &mut Faults<'_>,
    ) -> Option<Matcher> {
        match &node.kind {
            Kind::Text(_) => walk::word(node, "a value", faults).map(|word| Matcher::Exact(word.text.into())),
            Kind::List(items) if items.is_empty() => {
                faults.error(node.at, "an empty list matches nothing", None);
                None
            }
            Kind::List(items) => {
                let read: Vec<_> = items.iter().map(|item| Matcher::read(item, reading, bindable, faults)).collect();
                read.into_iter().collect::<Option<Vec<_>>>().map(Matcher::AnyOf)
            }
            Kind::Map(_) => read_map(node, reading, bindable, faults),
            Kind::Null => {
                let hint = "write a value, or `{ exists: false }` for a value that must be absent".to_owned();
                faults.error(node.at, "a condition needs a value", Some(hint));
                None
            }
        }
    }
}

const KEYS: [&str; 11] = ["prefix", "suffix", "glob", "re", "cidr", "exists", "arn", "in", "where", "gt", "lt"];

fn read_map(
    node: &Node,
    reading: &mut Reading<'_>,
    bindable: &mut Bindable,
    faults: &mut Faults<'_>,
) -> Option<Matcher> {
    let fields = Fields::read(node, "a matcher", &KEYS, faults)?;
    let mut matchers = Vec::new();
    let mut complete = true;
    for key in KEYS {
        if fields.get(key).is_none() {
            continue;
        }
        let matcher = match key {
            "prefix" => fields.word(key, faults).map(|word| Matcher::Prefix(word.text.into())),
            "suffix" => fields.word(key, faults).map(|word| Matcher::Suffix(word.text.into())),
            "glob" => fields.word(key, faults).map(|word| Matcher::Glob(Glob::new(word.text))),
            "re" => read_pattern(&fields, bindable, faults),
            "cidr" => read_networks(&fields, faults),
            "exists" => fields.one_of(key, &["true", "false"], faults).map(|word| match word.text {
                "true" => Matcher::Present,
                _ => Matcher::Absent,
            }),
            "arn" => read_arn(&fields, reading.tables, bindable, faults),
            "in" => read_in(&fields, reading, bindable, faults),
            "gt" => read_bound(&fields, key, faults).map(Matcher::Above),
            "lt" => read_bound(&fields, key, faults).map(Matcher::Below),
            "where" if fields.get("in").is_some() => continue,
            _ => {
                faults.error(fields.at, "`where` needs `in: <table>` beside it", None);
                None
            }
        };
        complete &= matcher.is_some();
        matchers.extend(matcher);
    }
    match matchers.len() {
        _ if !complete => None,
        0 => {
            // An unknown key is already reported; an empty map is not.
            if matches!(&node.kind, Kind::Map(entries) if entries.is_empty()) {
                faults.error(node.at, "an empty matcher", Some(format!("known: {}", KEYS.join(", "))));
            }
            None
        }
        1 => matchers.pop(),
        _ => Some(Matcher::AllOf(matchers)),
    }
}

fn read_pattern(fields: &Fields<'_>, bindable: &mut Bindable, faults: &mut Faults<'_>) -> Option<Matcher> {
    /// Compiled size; a pattern beyond it is a mistake (`.{1000}{1000}`).
    const PATTERN_BYTES_MAX: usize = 1 << 20;
    let word = fields.word("re", faults)?;
    // Compiled alone first: the anchors must not appear in the message.
    let compiled = RegexBuilder::new(word.text).size_limit(PATTERN_BYTES_MAX).build().and_then(|_| {
        RegexBuilder::new(&[ANCHORS.0, word.text, ANCHORS.1].concat()).size_limit(PATTERN_BYTES_MAX).build()
    });
    match compiled {
        Ok(regex) => {
            bindable.captures.extend(regex.capture_names().flatten().map(str::to_owned));
            Some(Matcher::Pattern(Pattern::new(regex, word.text)))
        }
        Err(error) => {
            // The last line says what is wrong; those before it draw the pattern again.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or("").trim().trim_start_matches("error: ");
            faults.error(word.at, format!("not a regular expression: {reason}"), None);
            None
        }
    }
}

fn read_networks(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Option<Matcher> {
    let words = fields.words("cidr", faults);
    let mut networks = Vec::new();
    for word in &words {
        match Network::parse(word.text) {
            Some(network) => networks.push(network),
            None => {
                let hint = "write `10.0.0.0/8` or `2600:1f00::/24`".to_owned();
                faults.error(word.at, format!("`{}` is not a network", word.text), Some(hint));
            }
        }
    }
    (!networks.is_empty() && networks.len() == words.len()).then_some(Matcher::Within(networks))
}

fn read_arn(fields: &Fields<'_>, tables: &Tables, bindable: &mut Bindable, faults: &mut Faults<'_>) -> Option<Matcher> {
    let node = fields.get("arn")?;
    let fields = Fields::read(node, "`arn`", &["service", "type", "in"], faults)?;
    let service = fields.required("service", "`arn`", faults)?;
    let kinds = fields.words("type", faults);
    if let Some(known) = arn::types_of(service.text) {
        for kind in &kinds {
            if !known.contains(&kind.text) {
                let hint = suggest::hint(kind.text, known.iter().copied());
                faults.error(kind.at, format!("`{}` has no resource type `{}`", service.text, kind.text), hint);
            }
        }
    }
    bindable.has_arn = true;
    let table = match fields.word("in", faults) {
        Some(name) => Some(find_table(name, tables, faults)?),
        None => None,
    };
    bindable.tables.extend(table);
    let kinds = kinds.iter().map(|kind| kind.text.into()).collect();
    Some(Matcher::Arn { service: service.text.into(), kinds, table })
}

fn read_in(
    fields: &Fields<'_>,
    reading: &mut Reading<'_>,
    bindable: &mut Bindable,
    faults: &mut Faults<'_>,
) -> Option<Matcher> {
    let name = fields.word("in", faults)?;
    let tables = reading.tables;
    let table = find_table(name, tables, faults)?;
    bindable.tables.push(table);
    let mut filters = Vec::new();
    if let Some(node) = fields.get("where") {
        let columns = &tables.get(table).columns;
        for entry in walk::entries(node, "`where`", faults)? {
            let Some(column) = tables.get(table).column(&entry.key) else {
                let hint = suggest::hint(&entry.key, columns.iter().map(String::as_str));
                faults.error(entry.key_at, format!("table `{}` has no column `{}`", name.text, entry.key), hint);
                return None;
            };
            let words = walk::words(&entry.value, "a value", faults);
            let wants: Vec<_> = words.iter().map(|word| read_want(*word, reading, faults)).collect();
            filters.push((column, wants.into_iter().collect::<Option<_>>()?));
        }
    }
    Some(Matcher::In { table, filters })
}

fn find_table(name: Word<'_>, tables: &Tables, faults: &mut Faults<'_>) -> Option<usize> {
    let table = tables.find(name.text);
    if table.is_none() {
        faults.error(name.at, format!("unknown table `{}`", name.text), suggest::hint(name.text, tables.names()));
    }
    table
}

/// A text, or `${scope.name}` for what the alert has there.
fn read_want(word: Word<'_>, reading: &mut Reading<'_>, faults: &mut Faults<'_>) -> Option<Want> {
    match word.text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => reading.keys.read(Word { text: name, at: word.at }, faults).map(Want::Value),
        None => Some(Want::Text(word.text.into())),
    }
}

fn read_bound(fields: &Fields<'_>, key: &str, faults: &mut Faults<'_>) -> Option<f64> {
    let word = fields.word(key, faults)?;
    let bound = number(word.text);
    if bound.is_none() {
        faults.error(word.at, format!("`{}` is not a number", word.text), None);
    }
    bound
}

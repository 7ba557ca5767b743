//! What a rule may ask of one value. Never looks at anything but that value and the tables.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::address::{self, Network};
use super::arn::{self, Arn};
use super::condition::Reading;
use super::diagnostic::Faults;
use super::facts::{Key, View};
use super::glob::Glob;
use super::literal;
use super::suggest;
use super::table::{Tables, Want};
use super::walk::{self, Fields, Word};
use super::yaml::{Kind, Node};

#[derive(Debug)]
pub(super) enum Matcher {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Glob(Glob),
    /// Anchored at both ends.
    Pattern(Regex),
    Within(Vec<Network>),
    Arn {
        service: Box<str>,
        kinds: Vec<Box<str>>,
        /// Its name is a key of this table.
        table: Option<usize>,
    },
    In {
        table: usize,
        /// What the row's columns must hold.
        filters: Vec<(usize, Vec<Want>)>,
    },
    Above(f64),
    Below(f64),
    Present,
    Absent,
    AnyOf(Vec<Matcher>),
    AllOf(Vec<Matcher>),
}

/// What the conditions of a rule found on their way, for `${…}`.
#[derive(Debug, Default)]
pub(super) struct Bindings<'a> {
    pub(super) captures: Vec<(&'a str, &'a str)>,
    /// Table and row.
    pub(super) rows: Vec<(usize, usize)>,
    pub(super) arn: Option<Arn<'a>>,
}

impl<'a> Bindings<'a> {
    pub(super) fn capture(&self, name: &str) -> Option<&'a str> {
        self.captures.iter().find(|(held, _)| *held == name).map(|(_, value)| *value)
    }

    pub(super) fn cell<'t>(&self, tables: &'t Tables, table: usize, column: usize) -> Option<&'t Arc<str>> {
        let (_, row) = self.rows.iter().find(|(held, _)| *held == table)?;
        tables.get(table).cell(*row, column)
    }
}

/// What the positive conditions of a rule can bind, so that `${…}` is checked when the rule is compiled.
#[derive(Debug, Default)]
pub(super) struct Bindable {
    pub(super) captures: Vec<String>,
    pub(super) tables: Vec<usize>,
    pub(super) has_arn: bool,
}

impl Matcher {
    /// Whether it holds where there is no value.
    pub(super) fn accepts_absence(&self) -> bool {
        match self {
            Matcher::Absent => true,
            Matcher::AnyOf(matchers) => matchers.iter().any(Matcher::accepts_absence),
            Matcher::AllOf(matchers) => matchers.iter().all(Matcher::accepts_absence),
            Matcher::Exact(_)
            | Matcher::Prefix(_)
            | Matcher::Suffix(_)
            | Matcher::Glob(_)
            | Matcher::Pattern(_)
            | Matcher::Within(_)
            | Matcher::Arn { .. }
            | Matcher::In { .. }
            | Matcher::Above(_)
            | Matcher::Below(_)
            | Matcher::Present => false,
        }
    }

    /// An absent value (and an empty one is absent) satisfies only `Absent`.
    pub(super) fn holds(&self, value: Option<&str>, view: &View<'_>) -> bool {
        let Some(text) = value else {
            return self.accepts_absence();
        };
        match self {
            Matcher::Exact(want) => **want == *text,
            Matcher::Prefix(want) => text.starts_with(&**want),
            Matcher::Suffix(want) => text.ends_with(&**want),
            Matcher::Glob(glob) => glob.matches(text),
            Matcher::Pattern(regex) => regex.is_match(text),
            Matcher::Within(networks) => address::parse_addresses(text)
                .any(|address| networks.iter().any(|network| network.contains(address))),
            Matcher::Arn { service, kinds, table } => parse_arn(service, kinds, text)
                .is_some_and(|arn| table.is_none_or(|table| find_name(&arn, table, view).is_some())),
            Matcher::In { table, filters } => view.tables.get(*table).find(text, filters, view).is_some(),
            Matcher::Above(bound) => number(text).is_some_and(|number| number > *bound),
            Matcher::Below(bound) => number(text).is_some_and(|number| number < *bound),
            Matcher::Present => true,
            Matcher::Absent => false,
            Matcher::AnyOf(matchers) => matchers.iter().any(|matcher| matcher.holds(value, view)),
            Matcher::AllOf(matchers) => matchers.iter().all(|matcher| matcher.holds(value, view)),
        }
    }

    /// Notes what a value that holds gives to `${…}`.
    pub(super) fn bind<'a>(&'a self, text: &'a str, view: &View<'_>, bindings: &mut Bindings<'a>) {
        match self {
            Matcher::Pattern(regex) => {
                // Nothing to name means nothing to remember, and the plain match is cheaper.
                if regex.captures_len() > 1
                    && let Some(captures) = regex.captures(text)
                {
                    for name in regex.capture_names().flatten() {
                        let value = captures.name(name).map(|found| found.as_str()).filter(|found| !found.is_empty());
                        bindings.captures.extend(value.map(|value| (name, value)));
                    }
                }
            }
            Matcher::Arn { service, kinds, table } => {
                let arn = parse_arn(service, kinds, text);
                if let (Some(arn), Some(table)) = (&arn, table) {
                    bindings.rows.extend(find_name(arn, *table, view).map(|row| (*table, row)));
                }
                bindings.arn = bindings.arn.or(arn);
            }
            Matcher::In { table, filters } => {
                let row = view.tables.get(*table).find(text, filters, view);
                bindings.rows.extend(row.map(|row| (*table, row)));
            }
            Matcher::AnyOf(matchers) => {
                if let Some(matcher) = matchers.iter().find(|matcher| matcher.holds(Some(text), view)) {
                    matcher.bind(text, view, bindings);
                }
            }
            Matcher::AllOf(matchers) => {
                for matcher in matchers {
                    matcher.bind(text, view, bindings);
                }
            }
            Matcher::Exact(_)
            | Matcher::Prefix(_)
            | Matcher::Suffix(_)
            | Matcher::Glob(_)
            | Matcher::Within(_)
            | Matcher::Above(_)
            | Matcher::Below(_)
            | Matcher::Present
            | Matcher::Absent => {}
        }
    }

    /// The only values that can hold, where that is a short list.
    pub(super) fn exact_values(&self) -> Option<Vec<&str>> {
        match self {
            Matcher::Exact(want) => Some(vec![want]),
            Matcher::AnyOf(matchers) => {
                let lists: Option<Vec<Vec<&str>>> = matchers.iter().map(Matcher::exact_values).collect();
                lists.map(|lists| lists.concat())
            }
            Matcher::AllOf(matchers) => matchers.iter().find_map(Matcher::exact_values),
            Matcher::Prefix(_)
            | Matcher::Suffix(_)
            | Matcher::Glob(_)
            | Matcher::Pattern(_)
            | Matcher::Within(_)
            | Matcher::Arn { .. }
            | Matcher::In { .. }
            | Matcher::Above(_)
            | Matcher::Below(_)
            | Matcher::Present
            | Matcher::Absent => None,
        }
    }

    /// Keys that it compares with, beside its own.
    pub(super) fn visit_keys(&self, visit: &mut dyn FnMut(Key)) {
        match self {
            Matcher::In { filters, .. } => {
                for want in filters.iter().flat_map(|(_, wants)| wants) {
                    match want {
                        Want::Value(key) => visit(*key),
                        Want::Text(_) => {}
                    }
                }
            }
            Matcher::AnyOf(matchers) | Matcher::AllOf(matchers) => {
                matchers.iter().for_each(|matcher| matcher.visit_keys(visit));
            }
            Matcher::Exact(_)
            | Matcher::Prefix(_)
            | Matcher::Suffix(_)
            | Matcher::Glob(_)
            | Matcher::Pattern(_)
            | Matcher::Within(_)
            | Matcher::Arn { .. }
            | Matcher::Above(_)
            | Matcher::Below(_)
            | Matcher::Present
            | Matcher::Absent => {}
        }
    }

    /// What every value that holds begins or ends with, one of a list.
    pub(super) fn affixes(&self) -> Option<Vec<Affix<'_>>> {
        match self {
            Matcher::Exact(want) => Affix::Exact(want).alone(),
            Matcher::Prefix(want) => Affix::Prefix(want.as_ref().into()).alone(),
            Matcher::Suffix(want) => Affix::Suffix(want.as_ref().into()).alone(),
            Matcher::Glob(glob) => {
                let (prefix, suffix) = glob.ends();
                if prefix.len() >= suffix.len() { Affix::Prefix(prefix).alone() } else { Affix::Suffix(suffix).alone() }
            }
            Matcher::Pattern(regex) => literal::prefixes(inner(regex))
                .map(|prefixes| prefixes.into_iter().map(Affix::Prefix).collect()),
            Matcher::AnyOf(matchers) => {
                let lists: Option<Vec<Vec<Affix<'_>>>> = matchers.iter().map(Matcher::affixes).collect();
                lists.map(|lists| lists.into_iter().flatten().collect())
            }
            Matcher::AllOf(matchers) => matchers.iter().find_map(Matcher::affixes),
            Matcher::Within(_)
            | Matcher::Arn { .. }
            | Matcher::In { .. }
            | Matcher::Above(_)
            | Matcher::Below(_)
            | Matcher::Present
            | Matcher::Absent => None,
        }
    }

    /// Reads a matcher as written behind a scoped key. `None` after a fault.
    pub(super) fn read(
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

/// A part of a value that a rule cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Affix<'m> {
    Exact(&'m str),
    Prefix(String),
    Suffix(String),
}

impl<'m> Affix<'m> {
    /// `None` for an empty one, which every value has.
    fn alone(self) -> Option<Vec<Affix<'m>>> {
        let is_empty = match &self {
            Affix::Exact(text) => text.is_empty(),
            Affix::Prefix(text) | Affix::Suffix(text) => text.is_empty(),
        };
        (!is_empty).then(|| vec![self])
    }
}

/// The pattern as it was written, without the anchors that compiling puts around it.
fn inner(regex: &Regex) -> &str {
    let text = regex.as_str();
    text.strip_prefix(ANCHORS.0).and_then(|text| text.strip_suffix(ANCHORS.1)).unwrap_or("")
}

const ANCHORS: (&str, &str) = (r"\A(?:", r")\z");

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
    let compiled = RegexBuilder::new(word.text)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .and_then(|_| RegexBuilder::new(&[ANCHORS.0, word.text, ANCHORS.1].concat()).size_limit(PATTERN_BYTES_MAX).build());
    match compiled {
        Ok(regex) => {
            bindable.captures.extend(regex.capture_names().flatten().map(str::to_owned));
            Some(Matcher::Pattern(regex))
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

fn read_arn(
    fields: &Fields<'_>,
    tables: &Tables,
    bindable: &mut Bindable,
    faults: &mut Faults<'_>,
) -> Option<Matcher> {
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

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| !number.is_nan())
}

fn parse_arn<'a>(service: &str, kinds: &[Box<str>], text: &'a str) -> Option<Arn<'a>> {
    let arn = match Arn::parse(text) {
        None if service == "elasticloadbalancing" => Arn::parse_load_balancer_tail(text),
        parsed => parsed,
    }?;
    let fits = arn.service == service && (kinds.is_empty() || kinds.iter().any(|kind| **kind == *arn.kind));
    fits.then_some(arn)
}

fn find_name(arn: &Arn<'_>, table: usize, view: &View<'_>) -> Option<usize> {
    view.tables.get(table).find(arn.name?, &[], view)
}

//! What a rule may ask of one value. Never looks at anything but that value, the tables, and the values that `where`
//! compares with.

mod pattern;
mod read;
mod shape;

use std::sync::Arc;

use super::address::{self, Network};
use super::arn::Arn;
use super::facts::{Key, View};
use super::few::Few;
use super::glob::Glob;
use super::literal;
use super::table::{Tables, Want};

use pattern::{ANCHORS, Pattern};

#[derive(Debug)]
pub(in crate::rules) enum Matcher {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Glob(Glob),
    Pattern(Pattern),
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
pub(in crate::rules) struct Bindings<'a> {
    pub(in crate::rules) captures: Few<(&'a str, &'a str)>,
    /// Table and row.
    pub(in crate::rules) rows: Few<(usize, usize)>,
    pub(in crate::rules) arn: Option<Arn<'a>>,
}

impl<'a> Bindings<'a> {
    pub(in crate::rules) fn capture(&self, name: &str) -> Option<&'a str> {
        self.captures.iter().find(|(held, _)| *held == name).map(|(_, value)| *value)
    }

    pub(in crate::rules) fn cell<'t>(&self, tables: &'t Tables, table: usize, column: usize) -> Option<&'t Arc<str>> {
        let (_, row) = self.rows.iter().find(|(held, _)| *held == table)?;
        tables.get(table).cell(*row, column)
    }
}

/// What the positive conditions of a rule can bind, so that `${…}` is checked when the rule is compiled.
#[derive(Debug, Default)]
pub(in crate::rules) struct Bindable {
    pub(in crate::rules) captures: Vec<String>,
    pub(in crate::rules) tables: Vec<usize>,
    pub(in crate::rules) has_arn: bool,
}

impl Matcher {
    /// Whether it holds where there is no value.
    pub(in crate::rules) fn accepts_absence(&self) -> bool {
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
    pub(in crate::rules) fn holds(&self, value: Option<&str>, view: &View<'_>) -> bool {
        let Some(text) = value else {
            return self.accepts_absence();
        };
        match self {
            Matcher::Exact(want) => **want == *text,
            // Rules list dozens of prefixes, and most fall by their first byte.
            Matcher::Prefix(want) => {
                want.as_bytes().first().is_none_or(|first| text.as_bytes().first() == Some(first))
                    && text.starts_with(&**want)
            }
            Matcher::Suffix(want) => text.ends_with(&**want),
            Matcher::Glob(glob) => glob.matches(text),
            Matcher::Pattern(pattern) => pattern.is_match(text),
            Matcher::Within(networks) => {
                address::parse_addresses(text).any(|address| networks.iter().any(|network| network.contains(address)))
            }
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
    pub(in crate::rules) fn bind<'a>(&'a self, text: &'a str, view: &View<'_>, bindings: &mut Bindings<'a>) {
        match self {
            Matcher::Pattern(pattern) => {
                pattern.visit_captures(text, |name, value| bindings.captures.push((name, value)));
            }
            Matcher::Arn { service, kinds, table } => {
                let arn = parse_arn(service, kinds, text);
                if let (Some(arn), Some(table)) = (&arn, table) {
                    find_name(arn, *table, view).into_iter().for_each(|row| bindings.rows.push((*table, row)));
                }
                bindings.arn = bindings.arn.or(arn);
            }
            Matcher::In { table, filters } => {
                let row = view.tables.get(*table).find(text, filters, view);
                row.into_iter().for_each(|row| bindings.rows.push((*table, row)));
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
    pub(in crate::rules) fn exact_values(&self) -> Option<Vec<&str>> {
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
    pub(in crate::rules) fn visit_keys(&self, visit: &mut dyn FnMut(Key)) {
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

    /// Whether it looks at nothing but the value: at no table and at no other key.
    pub(in crate::rules) fn is_alone(&self) -> bool {
        match self {
            Matcher::In { .. } => false,
            Matcher::Arn { table, .. } => table.is_none(),
            Matcher::AnyOf(matchers) | Matcher::AllOf(matchers) => matchers.iter().all(Matcher::is_alone),
            Matcher::Exact(_)
            | Matcher::Prefix(_)
            | Matcher::Suffix(_)
            | Matcher::Glob(_)
            | Matcher::Pattern(_)
            | Matcher::Within(_)
            | Matcher::Above(_)
            | Matcher::Below(_)
            | Matcher::Present
            | Matcher::Absent => true,
        }
    }

    /// What every value that holds begins or ends with, one of a list.
    pub(in crate::rules) fn affixes(&self) -> Option<Vec<Affix<'_>>> {
        match self {
            Matcher::Exact(want) => Affix::Exact(want).alone(),
            Matcher::Prefix(want) => Affix::Prefix(want.as_ref().into()).alone(),
            Matcher::Suffix(want) => Affix::Suffix(want.as_ref().into()).alone(),
            Matcher::Glob(glob) => {
                let (prefix, suffix) = glob.ends();
                if prefix.len() >= suffix.len() { Affix::Prefix(prefix).alone() } else { Affix::Suffix(suffix).alone() }
            }
            Matcher::Pattern(pattern) => {
                literal::prefixes(pattern.inner()).map(|prefixes| prefixes.into_iter().map(Affix::Prefix).collect())
            }
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
}

/// A part of a value that a rule cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) enum Affix<'m> {
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

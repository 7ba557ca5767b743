//! The values behind `set`: a constant, or a text with `${…}`. A `${…}` without a value makes no value at all.

use std::borrow::Cow;
use std::sync::Arc;

use super::arn;
use super::condition::{Findings, Reading};
use super::diagnostic::Faults;
use super::facts::{Key, View};
use super::matcher::Bindable;
use super::suggest;
use super::walk::Word;

#[derive(Debug)]
pub(super) enum Template {
    Constant(Arc<str>),
    Parts(Vec<Part>),
}

#[derive(Debug)]
pub(super) enum Part {
    Text(Box<str>),
    Capture(Box<str>),
    Cell { table: usize, column: usize },
    Arn(&'static str),
    Value(Key),
}

/// A value, copied only when it was put together.
pub(super) enum Rendered<'v> {
    Shared(&'v Arc<str>),
    Text(Cow<'v, str>),
}

impl Rendered<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Rendered::Shared(text) => text,
            Rendered::Text(text) => text,
        }
    }

    pub(super) fn into_shared(self) -> Arc<str> {
        match self {
            Rendered::Shared(text) => Arc::clone(text),
            Rendered::Text(text) => Arc::from(text.as_ref()),
        }
    }
}

impl Template {
    pub(super) fn render<'v>(&'v self, view: &View<'v>, findings: &Findings<'v>) -> Option<Rendered<'v>> {
        match self {
            Template::Constant(value) => Some(Rendered::Shared(value)),
            Template::Parts(parts) => match &parts[..] {
                [Part::Cell { table, column }] => {
                    findings.bindings.cell(view.tables, *table, *column).map(Rendered::Shared)
                }
                [part] => part.text(view, findings).map(|text| Rendered::Text(Cow::Borrowed(text))),
                parts => {
                    let mut whole = String::new();
                    for part in parts {
                        whole.push_str(part.text(view, findings)?);
                    }
                    Some(Rendered::Text(Cow::Owned(whole)))
                }
            },
        }
    }

    /// Whether it takes anything that the conditions of its rule found in a value.
    pub(super) fn needs_bindings(&self) -> bool {
        match self {
            Template::Constant(_) => false,
            Template::Parts(parts) => parts.iter().any(|part| match part {
                Part::Capture(_) | Part::Cell { .. } | Part::Arn(_) => true,
                Part::Text(_) | Part::Value(_) => false,
            }),
        }
    }

    /// Keys whose values it takes.
    pub(super) fn visit_keys(&self, visit: &mut dyn FnMut(Key)) {
        match self {
            Template::Constant(_) => {}
            Template::Parts(parts) => {
                for part in parts {
                    match part {
                        Part::Value(key) => visit(*key),
                        Part::Text(_) | Part::Capture(_) | Part::Cell { .. } | Part::Arn(_) => {}
                    }
                }
            }
        }
    }

    /// Reads the text behind a tag; `None` after a fault.
    pub(super) fn read(
        word: Word<'_>,
        reading: &mut Reading<'_>,
        bindable: &Bindable,
        faults: &mut Faults<'_>,
    ) -> Option<Template> {
        let mut parts = Vec::new();
        let mut rest = word.text;
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((name, after)) = behind.split_once('}') else {
                faults.error(word.at, "`${` without its `}`", None);
                return None;
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(read_name(Word { text: name, at: word.at }, reading, bindable, faults)?);
            rest = after;
        }
        if parts.is_empty() {
            return Some(Template::Constant(Arc::from(word.text)));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Some(Template::Parts(parts))
    }
}

impl Part {
    fn text<'v>(&'v self, view: &View<'v>, findings: &Findings<'v>) -> Option<&'v str> {
        match self {
            Part::Text(text) => Some(text),
            Part::Capture(name) => findings.bindings.capture(name),
            Part::Cell { table, column } => findings.bindings.cell(view.tables, *table, *column).map(AsRef::as_ref),
            Part::Arn(field) => findings.bindings.arn?.field(field),
            Part::Value(key) => view.get(*key),
        }
    }
}

fn read_name(word: Word<'_>, reading: &mut Reading<'_>, bindable: &Bindable, faults: &mut Faults<'_>) -> Option<Part> {
    let name = word.text;
    if bindable.captures.iter().any(|capture| capture == name) {
        return Some(Part::Capture(name.into()));
    }
    if bindable.has_arn
        && let Some(field) =
            name.strip_prefix("arn.").and_then(|name| arn::FIELDS.into_iter().find(|field| *field == name))
    {
        return Some(Part::Arn(field));
    }
    for table in &bindable.tables {
        let held = reading.tables.get(*table);
        if let Some(column) = name.strip_prefix(held.prefix.as_str()).and_then(|rest| rest.strip_prefix('.')) {
            let Some(column) = held.column(column) else {
                let hint = suggest::hint(column, held.columns.iter().map(String::as_str));
                faults.error(word.at, format!("table `{}` has no column `{column}`", held.name), hint);
                return None;
            };
            return Some(Part::Cell { table: *table, column });
        }
    }
    match name.split_once('.') {
        Some((scope, _)) if scope != "arn" && !reading.tables.names().any(|table| table == scope) => {
            reading.keys.read(word, faults).map(Part::Value)
        }
        Some(_) | None => {
            let mut known: Vec<String> = bindable.captures.clone();
            if bindable.has_arn {
                known.extend(arn::FIELDS.iter().map(|field| format!("arn.{field}")));
            }
            for table in &bindable.tables {
                let held = reading.tables.get(*table);
                known.extend(held.columns.iter().map(|column| format!("{}.{column}", held.prefix)));
            }
            let hint = suggest::hint(name, known.iter().map(String::as_str));
            faults.error(word.at, format!("nothing in `when` gives `${{{name}}}`"), hint);
            None
        }
    }
}

//! YAML text to a tree in which each value knows its place. Every scalar stays a text (`no` is `no`, `0123` is
//! `0123`); what a text means is never decided here.

use std::borrow::Cow;
use std::fmt;

use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, Span};

use super::diagnostic::{At, Faults};

#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing written, `~` or `null`.
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: At,
    pub(super) value: Node,
}

impl Node {
    /// For messages: what a person sees there.
    pub(super) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// Nesting deeper than this is an accident or an attack; the walks over the tree recurse.
const DEPTH_MAX: usize = 48;

/// `None` when there is no tree: the fault is then already reported.
pub(super) fn read(text: &str, faults: &mut Faults<'_>) -> Option<Node> {
    let options = granit_parser::options! { flow_nesting_limit: DEPTH_MAX, block_nesting_limit: DEPTH_MAX };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { open: Vec::new(), root: None, documents: 0 };
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.take(event, span, faults)?,
            Err(error) => {
                faults.error(at(error.marker()), format!("not YAML: {}", error.kind()), None);
                return None;
            }
        }
    }
    builder.root
}

struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

enum Open {
    List { at: At, items: Vec<Node> },
    Map { at: At, entries: Vec<Entry>, key: Option<(String, At)> },
}

impl Builder {
    /// `None` ends the reading: what follows would only repeat the fault.
    fn take(&mut self, event: Event<'_>, span: Span, faults: &mut Faults<'_>) -> Option<()> {
        let at = at(&span.start);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    faults.error(at, "a second document in one file", Some("put it into a file of its own".into()));
                    return None;
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let hint = "write the value again, so that each line can be read alone".to_owned();
                faults.error(at, "aliases (`*name`) are not part of rule files", Some(hint));
                return None;
            }
            Event::Scalar(text, style, ..) => self.close(Node { at, kind: scalar(text, style) }, faults)?,
            Event::SequenceStart(..) => self.open(Open::List { at, items: Vec::new() }, faults)?,
            Event::MappingStart(..) => self.open(Open::Map { at, entries: Vec::new(), key: None }, faults)?,
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop()? {
                    Open::List { at, items } => Node { at, kind: Kind::List(items) },
                    Open::Map { at, entries, .. } => Node { at, kind: Kind::Map(entries) },
                };
                self.close(node, faults)?;
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Anchor(..) => {}
            // The parser's list of events is open: what we do not ask for does not come.
            _ => {}
        }
        Some(())
    }

    fn open(&mut self, open: Open, faults: &mut Faults<'_>) -> Option<()> {
        if self.open.len() >= DEPTH_MAX {
            let (Open::List { at, .. } | Open::Map { at, .. }) = open;
            faults.error(at, format!("nested deeper than {DEPTH_MAX} levels"), None);
            return None;
        }
        self.open.push(open);
        Some(())
    }

    fn close(&mut self, node: Node, faults: &mut Faults<'_>) -> Option<()> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((key, key_at)) => add(entries, Entry { key, key_at, value: node }, faults),
                None => match node.kind {
                    Kind::Text(text) => *key = Some((text, node.at)),
                    Kind::Null | Kind::List(_) | Kind::Map(_) => {
                        faults.error(node.at, format!("a key must be a text, not {}", node.kind_name()), None);
                        return None;
                    }
                },
            },
        }
        Some(())
    }
}

fn add(entries: &mut Vec<Entry>, entry: Entry, faults: &mut Faults<'_>) {
    match entries.iter().find(|earlier| earlier.key == entry.key) {
        Some(earlier) => {
            let hint = format!("it is already on line {}", earlier.key_at.line);
            faults.error(entry.key_at, format!("key `{}` written twice", entry.key), Some(hint));
        }
        None => entries.push(entry),
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Kind {
    match (style, text.as_ref()) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Kind::Null,
        _ => Kind::Text(text.into_owned()),
    }
}

fn at(marker: &Marker) -> At {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    At { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}

/// In flow style, as a person would write it on one line.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Null => f.write_str("~"),
            Kind::Text(text) => f.write_str(text),
            Kind::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Kind::Map(entries) => {
                f.write_str("{ ")?;
                for (at, entry) in entries.iter().enumerate() {
                    write!(f, "{}{}: {}", if at == 0 { "" } else { ", " }, entry.key, entry.value)?;
                }
                f.write_str(" }")
            }
        }
    }
}

//! YAML text to a tree in which each value knows its place. Every scalar stays a text (`no` is `no`, `0123` is
//! `0123`); what a text means is never decided here.

use std::borrow::Cow;
use std::fmt;

use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, Span};

use super::diagnostic::{At, Faults};
use super::hash::FastMap;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Nothing written, `~` or `null`.
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: At,
    pub(super) value: Node,
}

impl Node {
    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Null | Kind::Text(_) => 0,
            Kind::List(items) => items.iter().map(Node::count).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
        }
    }

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

/// What aliases may add to a foreign file: enough for people, too little for a file that grows without end.
const COPIED_NODE_COUNT_MAX: usize = 10_000;

/// `None` when there is no tree: the fault is then already reported.
pub(super) fn read(text: &str, faults: &mut Faults<'_>) -> Option<Node> {
    parse(text, Format::Ours, faults)?.pop()
}

/// The documents of a file that is not in our format: it may have several, and aliases.
pub(super) fn read_foreign(text: &str, faults: &mut Faults<'_>) -> Option<Vec<Node>> {
    parse(text, Format::Foreign, faults)
}

fn parse(text: &str, format: Format, faults: &mut Faults<'_>) -> Option<Vec<Node>> {
    let options = granit_parser::options! { flow_nesting_limit: DEPTH_MAX, block_nesting_limit: DEPTH_MAX };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder {
        format,
        open: Vec::new(),
        roots: Vec::new(),
        documents: 0,
        anchors: FastMap::default(),
        copied_count: 0,
    };
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.take(event, span, faults)?,
            Err(error) => {
                let message = format!("not YAML: {}", error.kind());
                let hint =
                    message.contains("tab").then(|| "lines are indented with blanks, never with tabs".to_owned());
                faults.error(at(error.marker()), message, hint);
                return None;
            }
        }
    }
    Some(builder.roots)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Ours,
    Foreign,
}

struct Builder {
    format: Format,
    open: Vec<Open>,
    roots: Vec<Node>,
    documents: usize,
    /// What aliases of a foreign file stand for.
    anchors: FastMap<usize, Node>,
    copied_count: usize,
}

/// `anchor` is 0 where nothing refers to it.
enum Open {
    List { at: At, items: Vec<Node>, anchor: usize },
    Map { at: At, entries: Vec<Entry>, key: Option<(String, At)>, anchor: usize },
}

impl Builder {
    /// `None` ends the reading: what follows would only repeat the fault.
    fn take(&mut self, event: Event<'_>, span: Span, faults: &mut Faults<'_>) -> Option<()> {
        let at = at(&span.start);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 && self.format == Format::Ours {
                    faults.error(at, "a second document in one file", Some("put it into a file of its own".into()));
                    return None;
                }
            }
            Event::Alias(anchor) if self.format == Format::Foreign => {
                let node = self.copy(anchor, at, faults)?;
                self.close(node, 0, faults)?;
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let hint = "write the value again, so that each line can be read alone".to_owned();
                faults.error(at, "aliases (`*name`) are not part of rule files", Some(hint));
                return None;
            }
            Event::Scalar(text, style, anchor, _) => {
                self.close(Node { at, kind: scalar(text, style) }, anchor, faults)?;
            }
            Event::SequenceStart(_, anchor, _) => self.open(Open::List { at, items: Vec::new(), anchor }, faults)?,
            Event::MappingStart(_, anchor, _) => {
                self.open(Open::Map { at, entries: Vec::new(), key: None, anchor }, faults)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (node, anchor) = match self.open.pop()? {
                    Open::List { at, items, anchor } => (Node { at, kind: Kind::List(items) }, anchor),
                    Open::Map { at, entries, anchor, .. } => (Node { at, kind: Kind::Map(entries) }, anchor),
                };
                self.close(node, anchor, faults)?;
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

    fn close(&mut self, node: Node, anchor: usize, faults: &mut Faults<'_>) -> Option<()> {
        if anchor != 0 && self.format == Format::Foreign {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.roots.push(node),
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

    /// What stands at the anchor, told as of its own place.
    fn copy(&mut self, anchor: usize, at: At, faults: &mut Faults<'_>) -> Option<Node> {
        let node = self.anchors.get(&anchor);
        self.copied_count += node.map_or(0, Node::count);
        if node.is_none() || self.copied_count > COPIED_NODE_COUNT_MAX {
            faults.error(at, "an alias that contains itself, or aliases that grow without end", None);
            return None;
        }
        node.cloned()
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

//! What is known of a Resource that came before: its tags, its new bytes, its sinks. One book per rule set and set of
//! stamped identities, so that a change of either begins an empty one; never an answer of older rules.

use std::hash::BuildHasher;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use foldhash::fast::RandomState;
use moka::sync::Cache;

use super::routes::{SinkSet, SpanRoutes};
use super::tally::{PlatformTally, Tally};
use crate::model::{Existing, Labels, TagName, Tags};
use crate::otlp::Malformed;
use crate::otlp::enrich::{Edit, NewResource, new_resource};
use crate::otlp::{function, resource};
use crate::rules::{Disputed, Origin, RuleSet, Stamped, Telemetry};

/// All entries together, with what they point to: some 4,000 Resources.
const BOOK_BYTES_MAX: u64 = 8 << 20;
/// What an entry costs besides the bytes of its Resource.
const ENTRY_BYTES: usize = 512;
/// Kind and name of the source that telemetry is.
pub const SOURCE: &str = "otlp";

/// Resources that are found without asking the cache.
const FRONT_COUNT: usize = 256;
/// Larger ones are not, so that all of these together stay small.
const FRONT_BYTES_MAX: usize = 8 * 1024;

/// What is told of a Resource, and how it is called.
#[derive(Clone, Debug)]
pub struct Telling {
    pub attributes: Vec<(TagName, String)>,
    /// Where the rule does not say.
    pub existing: Existing,
}

/// The answer for one Resource.
#[derive(Debug)]
pub struct Known {
    pub resource: NewResource,
    pub tags: Arc<Tags>,
    pub to: SinkSet,
    /// Told to the stamps each time the Resource is seen.
    pub disputed: Arc<[Disputed]>,
    pub tally: Arc<PlatformTally>,
    /// Nothing in the Resource says where it ran; a span of a function may.
    asks_server_span: bool,
}

/// No field of protobuf has this key, so no Resource goes on behind its end with it.
const NO_KEY: u8 = 0x07;

static NO_CONSTANTS: Labels<'static> = Labels::new();

/// Where all telemetry comes in, and the alerts that are made of it.
pub fn origin() -> Origin<'static> {
    Origin { kind: SOURCE, instance: SOURCE, constants: &NO_CONSTANTS }
}

pub struct Book {
    pub rules: Arc<RuleSet>,
    pub stamped: Arc<Stamped>,
    known: Cache<Bytes, Arc<Known>, RandomState>,
    /// What came last, by a few bits of its hash: the cache notes every use, and that costs more than all else here.
    front: Box<[ArcSwapOption<Entry>]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry {
    message: Bytes,
    known: Arc<Known>,
}

impl Book {
    pub fn new(rules: Arc<RuleSet>, stamped: Arc<Stamped>) -> Book {
        let weigh = |key: &Bytes, known: &Arc<Known>| {
            u32::try_from(key.len() + known.resource.field.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let known =
            Cache::builder().max_capacity(BOOK_BYTES_MAX).weigher(weigh).build_with_hasher(RandomState::default());
        let front = (0..FRONT_COUNT).map(|_| ArcSwapOption::empty()).collect();
        Book { rules, stamped, known, front, hasher: RandomState::default() }
    }

    /// The answer for a Resource message that a scan has accepted.
    pub fn look_up(
        &self,
        message: &[u8],
        telling: &Telling,
        routes: &SpanRoutes,
        tally: &Tally,
    ) -> Result<Arc<Known>, Malformed> {
        let hash = self.hasher.hash_one(message);
        let place = &self.front[hash.to_le_bytes()[0] as usize % FRONT_COUNT];
        if let Some(entry) = &*place.load()
            && entry.message == message
        {
            return Ok(entry.known.clone());
        }
        let (message, known) = match self.known.get(message) {
            Some(known) => (Bytes::copy_from_slice(message), known),
            None => {
                let known = Arc::new(self.decide(message, None, telling, routes, tally)?);
                // A copy of its own: a slice would keep the whole request alive.
                let message = Bytes::copy_from_slice(message);
                self.known.insert(message.clone(), known.clone());
                (message, known)
            }
        };
        if message.len() <= FRONT_BYTES_MAX {
            place.store(Some(Arc::new(Entry { message, known: known.clone() })));
        }
        Ok(known)
    }

    /// The same for a Resource with its spans: where it is silent, a function's own span speaks for it.
    /// `spans` is the payload of a block that a scan has accepted.
    pub fn look_up_with_spans(
        &self,
        message: &[u8],
        spans: &[u8],
        telling: &Telling,
        routes: &SpanRoutes,
        tally: &Tally,
    ) -> Result<Arc<Known>, Malformed> {
        let known = self.look_up(message, telling, routes, tally)?;
        let Some(said) = Self::said(&known, spans) else { return Ok(known) };
        let mut key = message.to_vec();
        for (name, value) in said.iter() {
            key.push(NO_KEY);
            key.extend_from_slice(name.as_bytes());
            key.push(NO_KEY);
            key.extend_from_slice(value.as_bytes());
        }
        let key = Bytes::from(key);
        if let Some(known) = self.known.get(&key) {
            return Ok(known);
        }
        let known = Arc::new(self.decide(message, Some(&said), telling, routes, tally)?);
        self.known.insert(key, known.clone());
        Ok(known)
    }

    /// What a function says of itself on a span of this block, where the answer for its Resource leaves that open.
    pub fn said(known: &Known, spans: &[u8]) -> Option<Labels<'static>> {
        if known.asks_server_span { function::on_server_span(spans) } else { None }
    }

    fn decide(
        &self,
        message: &[u8],
        server_span: Option<&Labels<'_>>,
        telling: &Telling,
        routes: &SpanRoutes,
        tally: &Tally,
    ) -> Result<Known, Malformed> {
        let labels = resource::labels(message);
        let origin = origin();
        let telemetry = Telemetry { resource: &labels, server_span };
        let decision = self.rules.tag_resource(telemetry, origin, &self.stamped);
        let value = |name: TagName| decision.tags.value(name);
        let edits: Vec<Edit<'_>> = telling
            .attributes
            .iter()
            .filter_map(|(name, key)| {
                let tag = decision.tags.get(*name)?;
                let existing = self.rules.existing(tag).unwrap_or(telling.existing);
                Some(Edit { key, value: &tag.value, existing })
            })
            .collect();
        let counted = tally.platform(
            value(TagName::Platform).unwrap_or("unknown"),
            value(TagName::PlatformConfidence).unwrap_or("none"),
        );
        let is_silent = server_span.is_none() && value(TagName::Platform) == Some("unknown");
        let asks_server_span = is_silent && self.rules.asks_server_spans();
        if let Some(raw) = &decision.unknown_cell {
            tally.unknown_cell(raw);
        }
        Ok(Known {
            resource: new_resource(message, &edits)?,
            to: routes.of(&decision.tags),
            tags: decision.tags,
            disputed: decision.disputed,
            tally: counted,
            asks_server_span,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::wire::put_bytes;
    use crate::rules::SourceFile;

    /// A Resource message with one attribute.
    fn resource(value: &str) -> Vec<u8> {
        let (mut any, mut attribute, mut message) = (Vec::new(), Vec::new(), Vec::new());
        put_bytes(&mut any, 1, value.as_bytes());
        put_bytes(&mut attribute, 1, b"service.name");
        put_bytes(&mut attribute, 2, &any);
        put_bytes(&mut message, 1, &attribute);
        message
    }

    /// A block with one span of this kind, which has the attribute.
    fn spans(kind: u8, name: &str, value: &str) -> Vec<u8> {
        let (mut any, mut attribute) = (Vec::new(), Vec::new());
        put_bytes(&mut any, 1, value.as_bytes());
        put_bytes(&mut attribute, 1, name.as_bytes());
        put_bytes(&mut attribute, 2, &any);
        let mut span = vec![0x30, kind];
        put_bytes(&mut span, 9, &attribute);
        let (mut scope, mut block) = (Vec::new(), Vec::new());
        put_bytes(&mut scope, 2, &span);
        put_bytes(&mut block, 2, &scope);
        block
    }

    #[test]
    fn a_function_is_known_by_its_own_span_and_only_where_that_is_there() {
        let book = Book::new(Arc::new(RuleSet::built_in()), Arc::default());
        let telling =
            Telling { attributes: vec![(TagName::Platform, "tawny.platform".to_owned())], existing: Existing::Replace };
        let (routes, tally) = (SpanRoutes::default(), Tally::default());
        let arn = |name: &str| format!("arn:aws:lambda:us-east-1:111111111111:function:{name}");
        let message = resource("owl");
        let platform = |spans: &[u8]| {
            let known = book.look_up_with_spans(&message, spans, &telling, &routes, &tally).unwrap();
            known.tags.value(TagName::Platform).unwrap().to_owned()
        };
        for _ in 0..2 {
            assert_eq!(platform(&spans(2, "cloud.resource_id", &arn("owl"))), "lambda");
            assert_eq!(platform(&spans(2, "cloud.resource_id", &arn("lark"))), "lambda");
            assert_eq!(platform(&spans(3, "cloud.resource_id", &arn("owl"))), "unknown", "a client speaks of others");
            assert_eq!(platform(&spans(2, "aws.lambda.invoked_arn", &arn("owl"))), "unknown");
            assert_eq!(platform(&[]), "unknown");
        }
        let plain = book.look_up(&message, &telling, &routes, &tally).unwrap();
        assert_eq!(plain.tags.value(TagName::Platform), Some("unknown"), "logs of it have no spans");
    }

    #[test]
    fn a_rule_says_whether_what_stands_there_already_is_kept() {
        let rules = |existing: &str| {
            let text = format!(
                "version: 1\nkind: cells\nrules:\n  - {{ id: env, {existing}when: {{}}, set: {{ env: prod }} }}\n"
            );
            let routes = "version: 1\nkind: routes\nroutes:\n  - { id: rest, when: {} }\n";
            let file = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
            RuleSet::compile(&[file("cells.yaml", &text), file("routes.yaml", routes)]).unwrap()
        };
        let has_ours = |of_rule: &str, existing: Existing| {
            let book = Book::new(Arc::new(rules(of_rule)), Arc::default());
            // The resource's own `service.name` stands for an attribute that has the name already.
            let telling = Telling { attributes: vec![(TagName::Environment, "service.name".to_owned())], existing };
            let message = resource("theirs");
            let known = book.look_up(&message, &telling, &SpanRoutes::default(), &Tally::default()).unwrap();
            known.resource.field.windows(4).any(|window| window == b"prod")
        };
        for (of_rule, existing, replaced) in [
            ("", Existing::Replace, true),
            ("", Existing::Keep, false),
            ("existing: keep, ", Existing::Replace, false),
            ("existing: replace, ", Existing::Keep, true),
        ] {
            assert_eq!(has_ours(of_rule, existing), replaced, "{of_rule}{existing:?}");
        }
    }

    #[test]
    fn a_resource_is_decided_once_however_large_it_is_and_whatever_came_between() {
        let rules = RuleSet::built_in();
        let book = Book::new(Arc::new(rules), Arc::default());
        let telling =
            Telling { attributes: vec![(TagName::Service, "tawny.service".to_owned())], existing: Existing::Replace };
        let (routes, tally) = (SpanRoutes::default(), Tally::default());
        let look_up = |message: &[u8]| book.look_up(message, &telling, &routes, &tally).unwrap();
        // More than the front has places, so that they take each other's.
        let messages: Vec<_> = (0..3 * FRONT_COUNT).map(|number| resource(&format!("owl-{number}"))).collect();
        let large = resource(&"x".repeat(2 * FRONT_BYTES_MAX));
        let first: Vec<_> = messages.iter().chain([&large]).map(|message| look_up(message)).collect();
        for (message, known) in messages.iter().chain([&large]).zip(&first) {
            assert!(Arc::ptr_eq(&look_up(message), known));
            assert!(Arc::ptr_eq(&look_up(message), known));
            assert!(known.resource.field.windows(message.len()).any(|window| window == &message[..]), "it is its own");
        }
    }
}

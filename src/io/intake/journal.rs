//! What the journal keeps of one request besides its body: what was decided on each alert. Never keeps an alert itself.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::incidents::Heard;
use crate::model::json_text::{JsonText, key};
use crate::model::{Tag, TagName, Tags};
use crate::rules::Memo;

/// Most alerts of a batch bear the same tags, so each distinct set is written once:
/// `{"rules":…,"tags":[…],"alerts":[[identity, name, state, tags, route, incident, outcome],…]}`.
pub(super) struct Journal<'r> {
    written: &'r mut WrittenTags,
    /// Keeps the tags alive, so that an address means one set for the whole batch.
    known: HashMap<usize, (u32, Arc<Tags>), RandomState>,
    /// What is kept, up to the end of the list of tags.
    text: JsonText,
    /// What the alerts will need behind it.
    entries_bytes: usize,
    entry_count: usize,
    /// How many alerts there may be.
    alert_count: usize,
}

/// What the requests under one set of rules have in common.
#[derive(Debug, Default)]
pub struct Recall {
    pub(super) memo: Memo,
    pub(super) written: WrittenTags,
}

impl Recall {
    pub fn known_count(&self) -> usize {
        self.written.0.len()
    }

    /// Forgets what only alerts of one request have in common.
    pub fn end_request(&mut self) {
        self.memo.end_batch();
    }
}

/// Tags as the journal has them, all but the class: by the address of what sets that differ in their class share.
#[derive(Debug, Default)]
pub(super) struct WrittenTags(HashMap<usize, Written, RandomState>);

#[derive(Debug)]
struct Written {
    /// Keeps the address.
    _tags: Arc<Tags>,
    before: Box<str>,
    behind: Box<str>,
}

/// As many as the rules remember; when there are more, they are written anew.
const WRITTEN_COUNT_MAX: usize = 1024;
/// What the committer adds to an entry: the incident, the outcome, and what stands between them.
const ENTRY_END_BYTES: usize = 64;
/// A set of tags as a rule.
const TAGS_BYTES: usize = 1024;
/// More room than that is not made at once.
const ROOM_BYTES_MAX: usize = 1024 * 1024;

impl WrittenTags {
    fn of(&mut self, address: usize, tags: &Arc<Tags>) -> &Written {
        if self.0.len() >= WRITTEN_COUNT_MAX && !self.0.contains_key(&address) {
            self.0.clear();
        }
        self.0.entry(address).or_insert_with(|| Written {
            _tags: tags.clone(),
            before: written(tags.iter().filter(|(name, _)| *name < TagName::Class)),
            behind: written(tags.iter().filter(|(name, _)| *name > TagName::Class)),
        })
    }
}

/// Members of an object, and not the object.
fn written<'t>(tags: impl Iterator<Item = (TagName, &'t Tag)>) -> Box<str> {
    let mut json = JsonText::default();
    tags.for_each(|(name, tag)| write_tag(&mut json, name, tag));
    json.into_string().into_boxed_str()
}

impl<'r> Journal<'r> {
    pub(super) fn new(rules_revision: &str, alert_count: usize, written: &'r mut WrittenTags) -> Journal<'r> {
        let mut text = JsonText::with_capacity(TAGS_BYTES + TAGS_BYTES / 2);
        text.open('{');
        text.key(key!("rules"));
        text.text(rules_revision);
        text.key(key!("tags"));
        text.open('[');
        Journal { written, known: HashMap::default(), text, entries_bytes: 0, entry_count: 0, alert_count }
    }

    /// The position of these tags in the list.
    fn position(&mut self, tags: &Arc<Tags>) -> u32 {
        let address = Arc::as_ptr(tags).addr();
        if let Some((position, _)) = self.known.get(&address) {
            return *position;
        }
        self.write(tags);
        let position = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.known.insert(address, (position, tags.clone()));
        position
    }

    fn write(&mut self, tags: &Arc<Tags>) {
        // What is written is copied each time that it grows, so it grows to what it will be if this goes on.
        let projected = self.text.len() / self.entry_count.max(1) * self.alert_count + self.entries_bytes;
        self.text.make_room(TAGS_BYTES + self.entries_bytes, projected.min(ROOM_BYTES_MAX));
        self.text.open('{');
        match tags.shared_address() {
            Some(address) => {
                let others = self.written.of(address, tags);
                self.text.members(&others.before);
                if let Some(class) = tags.get(TagName::Class) {
                    write_tag(&mut self.text, TagName::Class, class);
                }
                self.text.members(&others.behind);
            }
            None => tags.iter().for_each(|(name, tag)| write_tag(&mut self.text, name, tag)),
        }
        self.text.close('}');
    }

    /// The part of an alert's entry that is known before the decision. The committer adds incident and outcome,
    /// and closes the bracket.
    pub(super) fn entry(&mut self, heard: &Heard) -> String {
        let tags = self.position(&heard.tags);
        let mut entry = JsonText::with_capacity(heard.alert.name.len() + heard.route.by.len() + 128);
        entry.open('[');
        entry.plain(&heard.alert.identity);
        entry.text(&heard.alert.name);
        entry.text(heard.alert.state.as_str());
        entry.number(tags);
        entry.text(&heard.route.by);
        self.entries_bytes += entry.len() + ENTRY_END_BYTES;
        self.entry_count += 1;
        entry.into_string()
    }

    /// All but the alerts, with room for them.
    pub(super) fn into_head(mut self) -> String {
        self.text.close(']');
        self.text.key(key!("alerts"));
        let mut head = self.text.into_string();
        head.reserve(self.entries_bytes + ENTRY_END_BYTES);
        head
    }
}

fn write_tag(json: &mut JsonText, name: TagName, tag: &Tag) {
    json.name(name.as_str());
    json.open('{');
    json.key(key!("value"));
    json.text(&tag.value);
    json.key(key!("by"));
    json.text(&tag.by);
    if let Some(seen) = &tag.seen {
        json.key(key!("seen"));
        json.text(seen);
    }
    json.close('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(value: &str) -> Tag {
        Tag { value: value.into(), by: "a.yaml:1 \"x\"".into(), seen: (value.len() > 3).then(|| "label.a=b".into()) }
    }

    #[test]
    fn tags_are_written_alike_whatever_they_share_and_whatever_was_written_before() {
        let mut written = WrittenTags::default();
        let mut journal = Journal::new("r1", 133, &mut written);
        let mut sets = Vec::new();
        for number in 0..40 {
            let mut tags = Tags::new();
            for (name, different_count) in
                [(TagName::Class, 40), (TagName::Service, 4), (TagName::Owner, 1), (TagName::Cell, 12)]
            {
                if name != TagName::Owner || number % 3 > 0 {
                    tags.set_first(name, tag(&format!("{}{}", name.as_str(), number % different_count)));
                }
            }
            sets.push(Arc::new(tags));
        }
        // Some share all but the class, and some of these have none.
        for number in 0..30 {
            let mut tags = Tags::clone(&sets[number % 7]);
            match number % 5 {
                0 => tags.replace(TagName::Cell, tag("new")),
                1 => tags = Tags::new(),
                _ => {}
            }
            tags.share();
            for class in ["a", "b\"", "c"] {
                let mut tags = tags.clone();
                tags.replace(TagName::Class, tag(class));
                sets.push(Arc::new(tags));
            }
        }
        let positions: Vec<u32> = sets.iter().chain(&sets[..3]).map(|tags| journal.position(tags)).collect();
        assert_eq!(positions, (0..130).chain(0..3).collect::<Vec<_>>());
        let head: serde_json::Value = serde_json::from_str(&(journal.into_head() + "[]}")).unwrap();
        assert_eq!((&head["rules"], head["tags"].as_array().unwrap().len()), (&"r1".into(), 130));
        for (shown, tags) in head["tags"].as_array().unwrap().iter().zip(&sets) {
            assert_eq!(*shown, serde_json::to_value(tags.as_ref()).unwrap());
        }
    }
}

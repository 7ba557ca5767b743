//! What the journal keeps of one request besides its body: what was decided on each alert. Never keeps an alert itself.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::incidents::Heard;
use crate::model::json_text::{JsonText, key};
use crate::model::{Tag, TagName, Tags};
use crate::rules::Memo;

/// Most alerts of a batch bear the same tags, so each distinct set is written once:
/// `{"rules":…,"tags":[…],"alerts":[[identity, name, state, tags, route, incident, outcome],…]}`.
pub(super) struct Journal {
    pub(super) memo: Memo,
    /// Keeps the tags alive, so that an address means one set for the whole batch.
    known: HashMap<usize, (u32, Arc<Tags>), RandomState>,
    written: [Vec<Written>; TagName::ALL.len()],
    /// What is kept, up to the end of the list of tags.
    text: JsonText,
    /// What the alerts will need behind it.
    entries_bytes: usize,
}

/// Where a tag with its name stands.
struct Written {
    tag: Tag,
    place: Range<usize>,
}

/// Different tags of one name that are looked for before one is written anew. Sets that differ do so in one or two
/// tags as a rule, the class before all.
const WRITTEN_COUNT_MAX: usize = 8;
/// What the committer adds to an entry: the incident, the outcome, and what stands between them.
const ENTRY_END_BYTES: usize = 64;

impl Journal {
    pub(super) fn new(rules_revision: &str) -> Journal {
        let mut text = JsonText::default();
        text.open('{');
        text.key(key!("rules"));
        text.text(rules_revision);
        text.key(key!("tags"));
        text.open('[');
        Journal {
            memo: Memo::default(),
            known: HashMap::default(),
            written: Default::default(),
            text,
            entries_bytes: 0,
        }
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

    fn write(&mut self, tags: &Tags) {
        self.text.open('{');
        for (name, tag) in tags.iter() {
            let written = &mut self.written[name as usize];
            if let Some(known) = written.iter().find(|known| known.tag == *tag) {
                self.text.repeat(known.place.clone());
                continue;
            }
            let end_before = self.text.len();
            write_tag(&mut self.text, name, tag);
            if written.len() < WRITTEN_COUNT_MAX {
                let comma = usize::from(self.text.as_str().as_bytes()[end_before] == b',');
                written.push(Written { tag: tag.clone(), place: end_before + comma..self.text.len() });
            }
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
    fn tags_that_stand_there_already_are_written_as_they_were_the_first_time() {
        let mut journal = Journal::new("r1");
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
        let positions: Vec<u32> = sets.iter().chain(&sets[..3]).map(|tags| journal.position(tags)).collect();
        assert_eq!(positions, (0..40).chain(0..3).collect::<Vec<_>>());
        let head: serde_json::Value = serde_json::from_str(&(journal.into_head() + "[]}")).unwrap();
        assert_eq!((&head["rules"], head["tags"].as_array().unwrap().len()), (&"r1".into(), 40));
        for (shown, tags) in head["tags"].as_array().unwrap().iter().zip(&sets) {
            assert_eq!(*shown, serde_json::to_value(tags.as_ref()).unwrap());
        }
    }
}

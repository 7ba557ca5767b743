//! What the journal keeps of one request besides its body: what was decided on each alert. Never keeps an alert itself.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::incidents::Heard;
use crate::model::json_text::{JsonText, key};
use crate::model::{Tag, TagName, Tags};

/// Most alerts of a batch bear the same tags, so each distinct set is written once:
/// `{"rules":…,"tags":[…],"alerts":[[identity, name, state, tags, route, incident, outcome],…]}`.
pub(super) struct Journal {
    /// Keeps the tags alive, so that an address means one set for the whole batch.
    known: HashMap<usize, (u32, Arc<Tags>), RandomState>,
    /// Where the shared part of tags stands, by its address.
    frames: HashMap<usize, Frame, RandomState>,
    written: [Vec<Written>; TagName::ALL.len()],
    /// What is kept, up to the end of the list of tags.
    text: JsonText,
    /// What the alerts will need behind it.
    entries_bytes: usize,
}

/// Where all tags but the class stand: those before it, and those behind it.
struct Frame {
    /// Keeps the address.
    _tags: Arc<Tags>,
    before: Range<usize>,
    behind: Range<usize>,
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
/// A set of tags as a rule.
const TAGS_BYTES: usize = 1024;

impl Journal {
    pub(super) fn new(rules_revision: &str) -> Journal {
        let mut text = JsonText::default();
        text.open('{');
        text.key(key!("rules"));
        text.text(rules_revision);
        text.key(key!("tags"));
        text.open('[');
        Journal {
            known: HashMap::default(),
            frames: HashMap::default(),
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

    fn write(&mut self, tags: &Arc<Tags>) {
        // In few and large steps: what is written is copied in each.
        self.text.make_room(TAGS_BYTES, self.text.len() * 3);
        self.text.open('{');
        let address = tags.shared_address();
        let class = tags.get(TagName::Class).map(|class| (TagName::Class, class));
        match address.and_then(|address| self.frames.get(&address)) {
            Some(Frame { before, behind, .. }) => {
                self.text.repeat(before.clone());
                class.into_iter().for_each(|(name, class)| write_tag(&mut self.text, name, class));
                self.text.repeat(behind.clone());
            }
            None => {
                let before = self.write_each(tags.iter().filter(|(name, _)| *name < TagName::Class));
                self.write_each(class.into_iter());
                let behind = self.write_each(tags.iter().filter(|(name, _)| *name > TagName::Class));
                if let Some(address) = address {
                    self.frames.insert(address, Frame { _tags: tags.clone(), before, behind });
                }
            }
        }
        self.text.close('}');
    }

    /// Where they stand.
    fn write_each<'t>(&mut self, tags: impl Iterator<Item = (TagName, &'t Tag)>) -> Range<usize> {
        let end_before = self.text.len();
        for (name, tag) in tags {
            let written = &mut self.written[name as usize];
            if let Some(known) = written.iter().find(|known| known.tag == *tag) {
                self.text.repeat(known.place.clone());
                continue;
            }
            let end_before = self.text.len();
            write_tag(&mut self.text, name, tag);
            if written.len() < WRITTEN_COUNT_MAX {
                written.push(Written { tag: tag.clone(), place: place(&self.text, end_before) });
            }
        }
        place(&self.text, end_before)
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

/// What was written since, without the comma before it.
fn place(text: &JsonText, end_before: usize) -> Range<usize> {
    let comma = usize::from(text.as_str().as_bytes().get(end_before) == Some(&b','));
    end_before + comma..text.len()
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

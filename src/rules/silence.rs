//! Silences: what nobody is told of for a while, with an end and a reason. Never ends an incident, and never looks at
//! what an incident does not keep.

use std::sync::Arc;

use crate::model::{Incident, Timestamp};

use super::condition::{All, Reading};
use super::decide::Program;
use super::diagnostic::Faults;
use super::facts::Scopes;
use super::matcher::Bindable;
use super::rule::{Ids, read_id};
use super::schedule::read_instant;
use super::walk::Fields;
use super::yaml::Node;

#[derive(Debug)]
pub(super) struct Silence {
    /// `file:line id`.
    pub(super) by: Arc<str>,
    when: All,
    from: Timestamp,
    pub(super) until: Timestamp,
}

/// Of fields an incident keeps these.
const FIELDS: [&str; 5] = ["field.name", "field.title", "field.severity", "field.source", "field.instance"];
const SCOPES: [&str; 3] = ["label.", "annotation.", "out."];

impl Silence {
    pub(super) fn read(
        node: &Node,
        reading: &mut Reading<'_>,
        ids: &mut Ids,
        faults: &mut Faults<'_>,
    ) -> Option<Silence> {
        let fields = Fields::read(node, "a silence", &["id", "why", "when", "from", "until"], faults)?;
        let by = read_id(&fields, "a silence", ids, faults);
        fields.required("why", "a silence", faults);
        let until = fields.required("until", "a silence", faults).and_then(|word| read_instant(word, faults));
        let from = match fields.word("from", faults) {
            Some(word) => read_instant(word, faults)?,
            None => Timestamp::from_ms(i64::MIN),
        };
        let when = match fields.get("when") {
            Some(node) => All::read(node, reading, &mut Bindable::default(), faults)?,
            None => {
                fields.missing("when", "a silence", Some("such as `{ out.service: owl-service }`".into()), faults);
                return None;
            }
        };
        if when.conditions.is_empty() {
            let hint = "name what is silent: `{ out.service: owl-service, out.platform: eks }`".to_owned();
            faults.error(fields.at, "a silence of everything", Some(hint));
        }
        let is_kept = |text: &str| FIELDS.contains(&text) || SCOPES.iter().any(|scope| text.starts_with(scope));
        let mut foreign = None;
        when.visit_keys(&mut |key| {
            if !is_kept(reading.keys.text(key)) {
                foreign = Some(key);
            }
        });
        if let Some(key) = foreign {
            let hint = format!("an incident keeps `label.`, `annotation.`, `out.` and {}", FIELDS.join(", "));
            faults.error(fields.at, format!("a silence cannot ask for `{}`", reading.keys.text(key)), Some(hint));
        }
        let until = until?;
        if until <= from {
            faults.error(fields.at, "a silence that ends before it begins", None);
        }
        Some(Silence { by: by?, when, from, until })
    }
}

impl Program {
    /// The silence that holds longest, of those that hold now.
    pub(super) fn silence(&self, incident: &Incident, now: Timestamp) -> Option<&Silence> {
        let in_force = |silence: &&Silence| silence.from <= now && now < silence.until;
        // The usual case costs nothing.
        self.silences.iter().find(in_force)?;
        let scopes = Scopes::of_incident(incident);
        let values = self.keys.look_up(&scopes);
        let view = self.view(&values, &incident.tags, self.witnesses.place(&values));
        let found = self.silences.iter().filter(in_force).filter(|silence| silence.when.holds(&view));
        found.max_by_key(|silence| silence.until)
    }
}

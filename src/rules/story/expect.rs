//! What a story expects. A tag is expected by its name; the other words are in the table of the format. Never looks
//! at a rule: whether an id exists is known only when the story is played.

use std::time::Duration;

use crate::model::{AlertOutcome, NoticeKind, Reason, TagName};
use crate::rules::diagnostic::Faults;
use crate::rules::schema::{EXPECT, EXPECT_NOTICE, EXPECT_TAG, known};
use crate::rules::suggest;
use crate::rules::walk::{self, Fields};
use crate::rules::yaml::{Entry, Kind, Node};

use super::read::{count, counts, is_empty_list};
use super::{NoticeWant, Notices, Sameness, Spot, Value, Want, What, Wording};

const KINDS: [NoticeKind; 5] =
    [NoticeKind::Opened, NoticeKind::Changed, NoticeKind::Reminder, NoticeKind::Resolved, NoticeKind::Event];

pub(super) fn read(node: &Node, faults: &mut Faults<'_>) -> Vec<Want> {
    let entries = walk::entries(node, "`expect`", faults).unwrap_or_default();
    entries.iter().filter_map(|entry| read_want(entry, faults)).collect()
}

pub(super) fn read_rules(node: &Node, what: &str, faults: &mut Faults<'_>) -> Want {
    let words = walk::words(node, what, faults);
    let ids = words.iter().map(|word| (word.text.to_owned(), Spot::new(word.at, faults))).collect();
    Want { spot: Spot::new(node.at, faults), what: What::Rules(ids) }
}

fn read_want(entry: &Entry, faults: &mut Faults<'_>) -> Option<Want> {
    let node = &entry.value;
    let spot = Spot::new(entry.key_at, faults);
    let text = |faults: &mut Faults<'_>| walk::word(node, &format!("`{}`", entry.key), faults);
    let what = match entry.key.as_str() {
        "rules" => return Some(read_rules(node, "`rules`", faults)),
        "route" => What::Route(text(faults)?.text.to_owned()),
        "outcome" => What::Outcome(one_of(node, "outcome", &AlertOutcome::ALL.map(AlertOutcome::as_str), faults)?),
        "incident" => match one_of(node, "incident", &["same", "different"], faults)?.as_str() {
            "same" => What::Incident(Sameness::Same),
            _ => What::Incident(Sameness::Different),
        },
        "incidents" => What::Incidents(count(node, "`incidents`", faults)?),
        "open" => What::Open(count(node, "`open`", faults)?),
        "legs" => What::Legs(counts(node, "`legs`", faults).into_iter().map(|(name, n, _)| (name, n)).collect()),
        "cells" => What::Cells(texts(node, "`cells`", faults)),
        "to" => What::To(texts(node, "`to`", faults)),
        "deliveries" => What::Deliveries(
            counts(node, "`deliveries`", faults)
                .into_iter()
                .map(|(name, n, at)| (name, n, Spot::new(at, faults)))
                .collect(),
        ),
        "notices" => What::Notices(read_notices(node, faults)?),
        "quiet" => What::Quiet(Some(text(faults)?.text.to_owned()).filter(|id| id != "no")),
        "title" => What::Title(Wording::Is(text(faults)?.text.to_owned())),
        "title_contains" => What::Title(Wording::Contains(texts(node, "`title_contains`", faults))),
        "alerts" => {
            let Kind::List(items) = &node.kind else {
                faults.error(node.at, format!("`alerts` must be a list of maps, not {}", node.kind_name()), None);
                return None;
            };
            What::Alerts(items.iter().map(|item| read_tags(item, faults)).collect())
        }
        key => {
            let Some(name) = TagName::parse(key) else {
                let tags = TagName::ALL.iter().map(|name| name.as_str());
                let known = known(&EXPECT);
                let hint = suggest::nearest(key, known.iter().copied().chain(tags.clone()))
                    .map(|near| format!("did you mean `{near}`?"))
                    .or_else(|| {
                        Some(format!("a tag ({}), or: {}", tags.collect::<Vec<_>>().join(", "), known.join(", ")))
                    });
                faults.error(entry.key_at, format!("unknown key `{key}`"), hint);
                return None;
            };
            read_tag(name, node, faults)?
        }
    };
    Some(Want { spot, what })
}

/// The expectations of one alert of several: its tags, its rules and its route.
fn read_tags(node: &Node, faults: &mut Faults<'_>) -> Vec<Want> {
    let wants = read(node, faults);
    for want in &wants {
        let is_of_one = matches!(want.what, What::Tag { .. } | What::Rules(_) | What::Route(_) | What::To(_));
        if !is_of_one {
            let at = crate::rules::diagnostic::At { line: want.spot.line, column: want.spot.column };
            faults.error(at, "of one alert only tags, `rules`, `route` and `to` can be expected", None);
        }
    }
    wants
}

fn read_tag(name: TagName, node: &Node, faults: &mut Faults<'_>) -> Option<What> {
    let what = format!("`{}`", name.as_str());
    let (value, by) = match &node.kind {
        Kind::Map(_) => {
            let fields = Fields::read(node, &what, &known(&EXPECT_TAG), faults)?;
            let value = fields.required("is", &what, faults).map(|word| value(word.text));
            (value?, fields.word("by", faults).map(|word| word.text.to_owned()))
        }
        Kind::List(_) => (Value::Parts(texts(node, &what, faults)), None),
        Kind::Text(_) => (value(walk::word(node, &what, faults)?.text), None),
        Kind::Null => {
            let hint = "write a value, `unknown`, or `absent` for a tag that nothing sets".to_owned();
            faults.error(node.at, format!("{what} needs a value"), Some(hint));
            return None;
        }
    };
    Some(What::Tag { name, value, by })
}

fn value(text: &str) -> Value {
    match text {
        "unknown" => Value::Unknown,
        "absent" => Value::Absent,
        text => Value::Is(text.to_owned()),
    }
}

fn read_notices(node: &Node, faults: &mut Faults<'_>) -> Option<Notices> {
    match &node.kind {
        Kind::Text(_) => count(node, "`notices`", faults).map(Notices::Count),
        Kind::List(items) => {
            let read: Vec<_> = items.iter().map(|item| read_notice(item, faults)).collect();
            read.into_iter().collect::<Option<Vec<_>>>().map(Notices::List)
        }
        Kind::Map(_) => {
            let kinds = KINDS.map(NoticeKind::as_str);
            let counts = counts(node, "`notices`", faults);
            for (kind, _, at) in &counts {
                if !kinds.contains(&kind.as_str()) {
                    faults.error(*at, format!("unknown kind of notice `{kind}`"), suggest::hint(kind, kinds));
                }
            }
            Some(Notices::PerKind(counts.into_iter().map(|(kind, n, _)| (kind, n)).collect()))
        }
        Kind::Null => {
            let hint = "write `notices: []` when nothing may be said".to_owned();
            faults.error(node.at, "`notices` needs a value", Some(hint));
            None
        }
    }
}

/// `opened`, `opened first_alert`, or a map.
fn read_notice(node: &Node, faults: &mut Faults<'_>) -> Option<NoticeWant> {
    let spot = Spot::new(node.at, faults);
    if let Kind::Map(_) = &node.kind {
        let fields = Fields::read(node, "a notice", &known(&EXPECT_NOTICE), faults)?;
        if fields.get("kind").is_none() {
            fields.missing("kind", "a notice", None, faults);
            return None;
        }
        let kind = fields.one_of("kind", &KINDS.map(NoticeKind::as_str), faults)?.text.to_owned();
        let reason = fields.one_of("reason", &Reason::ALL.map(Reason::as_str), faults).map(|word| word.text.to_owned());
        let title = match (fields.word("title", faults), fields.get("title_contains")) {
            (Some(word), _) => Some(Wording::Is(word.text.to_owned())),
            (None, Some(node)) => Some(Wording::Contains(texts(node, "`title_contains`", faults))),
            (None, None) => None,
        };
        let at: Option<Duration> = fields.duration("at", faults);
        return Some(NoticeWant { spot, kind, reason, title, at });
    }
    let word = walk::word(node, "a notice", faults)?;
    let (kind, reason) = word.text.split_once(' ').map_or((word.text, None), |(kind, rest)| (kind, Some(rest.trim())));
    let mut check = |what: &str, text: &str, known: &[&str]| {
        let is_known = known.contains(&text);
        if !is_known {
            let hint = suggest::hint(text, known.iter().copied());
            faults.error(word.at, format!("unknown {what} `{text}`"), hint);
        }
        is_known
    };
    let fits = check("kind of notice", kind, &KINDS.map(NoticeKind::as_str))
        && reason.is_none_or(|reason| check("reason", reason, &Reason::ALL.map(Reason::as_str)));
    fits.then(|| NoticeWant { spot, kind: kind.to_owned(), reason: reason.map(str::to_owned), title: None, at: None })
}

fn one_of(node: &Node, what: &str, known: &[&str], faults: &mut Faults<'_>) -> Option<String> {
    let word = walk::word(node, &format!("`{what}`"), faults)?;
    if !known.contains(&word.text) {
        faults.error(
            word.at,
            format!("unknown {what} `{}`", word.text),
            suggest::hint(word.text, known.iter().copied()),
        );
        return None;
    }
    Some(word.text.to_owned())
}

fn texts(node: &Node, what: &str, faults: &mut Faults<'_>) -> Vec<String> {
    if is_empty_list(node) {
        return Vec::new();
    }
    walk::words(node, what, faults).iter().map(|word| word.text.to_owned()).collect()
}

//! Routes: the first that matches says who is told, and when; others may add their sinks. Never decides whether
//! somebody is told at all.

use std::sync::Arc;
use std::time::Duration;

use crate::model::incident::Limit;
use crate::model::{Route, Severity, TagName};

use super::condition::{All, Reading};
use super::diagnostic::{At, Diagnostic, DiagnosticSeverity, Faults};
use super::matcher::Bindable;
use super::rule::{Ids, read_id};
use super::schedule::Schedule;
use super::service::Services;
use super::suggest;
use super::walk::{self, Fields, Word};
use super::yaml::Node;

const HOLD: Duration = Duration::ZERO;
const UPDATE: Duration = Duration::from_secs(60);
const REMIND: Duration = Duration::from_secs(3 * 3600);

#[derive(Debug)]
pub(super) struct RouteRule {
    pub(super) when: All,
    pub(super) route: Arc<Route>,
    pub(super) fold: Fold,
    pub(super) further: Further,
    /// Services whose registry names this partner, on EKS: the route only adds its sinks.
    pub(super) partner: Option<Arc<str>>,
    /// What a severity is told as.
    pub(super) severity: Vec<(Severity, Severity)>,
    pub(super) schedule: Schedule,
    /// `None`: every sink.
    to: Option<Vec<SinkName>>,
}

/// Whether the same problem on two platforms is one incident with two legs, or two incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Platforms,
    None,
}

/// Whether the routes behind one that matches are asked as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Further {
    Stop,
    Continue,
}

/// Remembers its place: whether the sink exists is known only when the settings are.
#[derive(Debug)]
struct SinkName {
    name: Arc<str>,
    file: String,
    at: At,
    source_line: String,
}

impl RouteRule {
    pub(super) fn read(
        node: &Node,
        reading: &mut Reading<'_>,
        services: &Services,
        ids: &mut Ids,
        faults: &mut Faults<'_>,
    ) -> Option<RouteRule> {
        const KEYS: [&str; 14] = [
            "id", "why", "when", "to", "continue", "partner", "severity", "hold", "update", "remind", "fold", "active",
            "mute", "limit",
        ];
        let fields = Fields::read(node, "a route", &KEYS, faults)?;
        let by = read_id(&fields, "a route", ids, faults);
        fields.word("why", faults);
        let when = match fields.get("when") {
            Some(node) => All::read(node, reading, &mut Bindable::default(), faults),
            None => Some(All::default()),
        };
        let mut to = fields.get("to").map(|_| Vec::new());
        for word in fields.words("to", faults) {
            to.get_or_insert_default().push(SinkName {
                name: Arc::from(word.text),
                file: faults.file_name().to_owned(),
                at: word.at,
                source_line: faults.line(word.at),
            });
        }
        let hold = fields.duration("hold", faults).unwrap_or(HOLD);
        let update = fields.duration("update", faults).unwrap_or(UPDATE);
        let remind = fields.duration("remind", faults).unwrap_or(REMIND);
        let fold = match fields.one_of("fold", &["platforms", "none"], faults) {
            Some(Word { text: "none", .. }) => Fold::None,
            Some(_) | None => Fold::Platforms,
        };
        let further = match fields.one_of("continue", &["true", "false"], faults) {
            Some(Word { text: "true", .. }) => Further::Continue,
            Some(_) | None => Further::Stop,
        };
        let partner = read_partner(&fields, services, faults);
        let severity = read_severities(&fields, faults);
        let schedule = Schedule::read(&fields, faults);
        let limit = read_limit(&fields, faults);
        let also = Vec::new();
        let joined = Vec::new();
        let route = Arc::new(Route { by: by?, sinks: Vec::new(), hold, update, remind, also, limit, joined });
        Some(RouteRule { when: when?, route, fold, further, partner, severity, schedule, to })
    }

    /// Whether it decides for every alert, and ends the list.
    pub(super) fn matches_everything(&self) -> bool {
        self.when.conditions.is_empty() && self.ends_the_search()
    }

    /// Whether no route behind it is asked where it matches.
    pub(super) fn ends_the_search(&self) -> bool {
        self.partner.is_none() && self.further == Further::Stop
    }

    /// Whether a condition looks at the class.
    pub(super) fn asks_class(&self) -> bool {
        let mut asks = false;
        self.when.visit_keys(&mut |key| asks |= key == TagName::Class as usize);
        asks
    }

    pub(super) fn id(&self) -> &str {
        super::roster::id_of(&self.route.by)
    }

    /// The sinks written out in `to`.
    pub(super) fn named_sinks(&self) -> impl Iterator<Item = Arc<str>> {
        self.to.iter().flatten().map(|sink| Arc::clone(&sink.name))
    }

    /// Gives the route its sinks; the names that do not exist come back as faults.
    pub(super) fn bind(&mut self, sinks: &[Arc<str>]) -> Vec<Diagnostic> {
        let known = |wanted: &SinkName| sinks.contains(&wanted.name);
        let faults =
            self.to.iter().flatten().filter(|wanted| !known(wanted)).map(|wanted| wanted.fault(sinks)).collect();
        let mut route = Route::clone(&self.route);
        route.sinks = match &self.to {
            Some(wanted) => wanted.iter().map(|wanted| Arc::clone(&wanted.name)).collect(),
            None => sinks.to_vec(),
        };
        self.route = Arc::new(route);
        faults
    }
}

fn read_partner(fields: &Fields<'_>, services: &Services, faults: &mut Faults<'_>) -> Option<Arc<str>> {
    let word = fields.word("partner", faults)?;
    let team = services.team(word.text).cloned();
    if team.is_none() {
        faults.error(word.at, format!("unknown team `{}`", word.text), suggest::hint(word.text, services.teams()));
    }
    // It only adds sinks, so that what is said of anything else would not be heard.
    for key in ["hold", "update", "remind", "fold", "severity", "limit", "active", "mute", "continue"] {
        if let Some(at) = fields.key_at(key) {
            let hint = "the route of the owner behind it decides that".to_owned();
            faults.error(at, format!("a route of a partner has no `{key}`"), Some(hint));
        }
    }
    if fields.get("to").is_none() {
        fields.missing("to", "a route of a partner", Some("the partner's sinks".to_owned()), faults);
    }
    team
}

/// `{ critical: error }`, in words of any sender.
fn read_severities(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Vec<(Severity, Severity)> {
    let Some(node) = fields.get("severity") else { return Vec::new() };
    let mut map = Vec::new();
    let read = |word: Word<'_>, faults: &mut Faults<'_>| {
        let severity = Severity::from_word(word.text);
        if severity.is_none() {
            let hint = suggest::hint(word.text, ["info", "warning", "error", "critical"]);
            faults.error(word.at, format!("unknown severity `{}`", word.text), hint);
        }
        severity
    };
    for entry in walk::entries(node, "`severity`", faults).unwrap_or_default() {
        let from = read(Word { text: &entry.key, at: entry.key_at }, faults);
        let to = walk::word(&entry.value, &format!("`{}`", entry.key), faults).and_then(|word| read(word, faults));
        map.extend(from.zip(to));
    }
    map
}

/// `{ per: class, rate: 1/h }`.
fn read_limit(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Option<Limit> {
    const PER: [&str; 4] = ["class", "service", "owner", "cell"];
    let limit = Fields::read(fields.get("limit")?, "`limit`", &["per", "rate"], faults)?;
    limit.required("per", "`limit`", faults)?;
    let per = limit.one_of("per", &PER, faults).and_then(|word| TagName::parse(word.text));
    let rate = limit.required("rate", "`limit`", faults)?;
    let parsed = rate.text.split_once('/').and_then(|(count, window)| {
        let window = match window {
            "m" | "h" | "d" => walk::duration(&format!("1{window}")),
            longer => walk::duration(longer),
        };
        Some((count.parse().ok().filter(|count: &u32| (1..=1000).contains(count))?, window?))
    });
    let Some((count, window)) = parsed.filter(|(_, window)| (MINUTE..=DAY).contains(window)) else {
        let hint = "write `1/h`, `3/30m`; at most 1000, within a minute to a day".to_owned();
        faults.error(rate.at, format!("`{}` is not a rate", rate.text), Some(hint));
        return None;
    };
    Some(Limit { per: per?, count, window })
}

const MINUTE: Duration = Duration::from_secs(60);
/// What has been paged is forgotten after a day.
const DAY: Duration = Duration::from_secs(24 * 3600);

impl SinkName {
    fn fault(&self, sinks: &[Arc<str>]) -> Diagnostic {
        Diagnostic {
            file: self.file.clone(),
            line: self.at.line,
            column: self.at.column,
            severity: DiagnosticSeverity::Error,
            message: format!("unknown sink `{}`", self.name),
            hint: suggest::hint(&self.name, sinks.iter().map(AsRef::as_ref)),
            source_line: self.source_line.clone(),
        }
    }
}

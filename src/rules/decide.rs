//! A compiled set of rules at work: facts in, tags and a route out. Cannot fail, and the same facts always give the
//! same answer.

mod finish;
mod ground;

use std::sync::Arc;

use crate::model::{Alert, Existing, Route, Tag, TagName, Tags};

use super::alerts::AlertSets;
use super::ballot::Witnesses;
use super::facts::{Facts, Keys, Place, Scopes, View};
use super::few::Few;
use super::index::{Candidates, Index};
use super::look::Looks;
use super::platform::Cast;
use super::route::{Further, RouteRule};
use super::rule::{Rule, Stage, bit};
use super::service::Match;
use super::silence::Silence;
use super::stamp::Stamped;
use super::table::Tables;
use super::template::Rendered;
use super::value::{Fit, Values};
use super::{Decision, Origin};

pub(super) use ground::{Ground, visit_key_parts};

#[derive(Debug)]
pub(super) struct Program {
    pub(super) keys: Keys,
    pub(super) tables: Tables,
    pub(super) values: Values,
    /// In the order of evaluation: those that vote on the platform stand before the others.
    pub(super) rules: Vec<Rule>,
    /// How many of the rules vote.
    pub(super) voter_count: usize,
    pub(super) witnesses: Witnesses,
    /// What says `unknown` when the votes decide nothing: `file:line rules`.
    pub(super) unknown_by: Arc<str>,
    pub(super) index: Index,
    /// What of an alert the rules and routes can tell apart.
    pub(super) looks: Looks,
    /// Rules in the shadow stage.
    pub(super) shadows: Vec<usize>,
    /// What rules say of attributes that are there already, by what their tags name as the reason; mostly none does.
    pub(super) existing: Vec<(Arc<str>, Existing)>,
    /// The last one matches everything.
    pub(super) routes: Vec<RouteRule>,
    pub(super) route_index: Index,
    /// Whether a route asks for the class, and so for the alert's name.
    pub(super) routes_ask_class: bool,
    /// Rules that make alerts of telemetry; they see tags and set none.
    pub(super) alerts: AlertSets,
    pub(super) silences: Vec<Silence>,
}

/// Tags, and what was found on the way to them.
pub(super) struct Tagging {
    pub(super) tags: Tags,
    pub(super) service: Option<ServiceFound>,
    pub(super) votes: Vec<Cast>,
    pub(super) unknown_cell: Option<Arc<str>>,
}

/// A decision, and what was found on the way to it.
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) ground: Ground,
}

/// How the service was found.
#[derive(Debug)]
pub(super) struct ServiceFound {
    entry: Option<usize>,
    pub(super) how: Match,
    pub(super) raw: Box<str>,
    /// The rule that read the raw name.
    pub(super) read_by: Arc<str>,
}

impl Program {
    pub(super) fn decide(&self, alert: &Alert<'_>, origin: Origin<'_>, stamped: &Stamped) -> Decided {
        let values = self.keys.look_up(&Scopes::of_alert(alert, origin));
        self.decide_on(&values, alert, origin, stamped)
    }

    /// Depends on nothing but the values, the alert's name and its severity; and on its identity only for the
    /// key of an alert that belongs to no service.
    ///
    /// Gateways stamp telemetry; an alert carries no identity of a task or a pod, unless it was made of telemetry.
    pub(super) fn decide_on(
        &self,
        values: &Facts<'_>,
        alert: &Alert<'_>,
        origin: Origin<'_>,
        stamped: &Stamped,
    ) -> Decided {
        let ground = self.ground(values, alert, stamped);
        Decided { decision: self.conclude(&ground, alert, origin), ground }
    }

    /// All tags but the class, which only alerts have.
    pub(super) fn tag(&self, values: &Facts<'_>, stamped: &Stamped) -> Tagging {
        self.tag_with(values, stamped, None)
    }

    /// The same, with one rule of the shadow stage counted among the live ones.
    pub(super) fn tag_with(&self, values: &Facts<'_>, stamped: &Stamped, awake: Option<usize>) -> Tagging {
        let mut tagging = Tagging {
            tags: Tags::default(),
            service: None,
            votes: Vec::with_capacity(VOTE_COUNT_USUAL),
            unknown_cell: None,
        };
        // Tags that no rule has set yet.
        let mut open: u16 = bit_of_all();
        let mut candidates = self.index.start(values);
        let mut place = self.witnesses.place(values);
        let mut next = 0;
        while let Some(number) = candidates.next(next)
            && number < self.voter_count
        {
            next = number + 1;
            self.hear(number, values, place, &mut tagging, &mut candidates, &mut open);
        }
        if let Some(number) = awake.filter(|number| self.rules[*number].ballot.is_some()) {
            self.hear(number, values, place, &mut tagging, &mut candidates, &mut open);
        }
        let Tagging { tags, votes, .. } = &mut tagging;
        place = self.count_votes(votes, values, place, stamped, tags);
        for name in PLATFORM_TAGS {
            if let Some(tag) = tags.get(name) {
                open &= !bit(name);
                // Rules further on may wait for this tag.
                self.index.add(name as usize, &tag.value, &mut candidates);
            }
        }
        next = next.max(self.voter_count);
        while let Some(number) = candidates.next(next) {
            next = number + 1;
            let rule = &self.rules[number];
            let is_asked = rule.mask & open != 0 && (rule.stage == Stage::Live || awake == Some(number));
            if is_asked && rule.when.holds(&self.view(values, &tagging.tags, place)) {
                self.apply(rule, values, place, &mut tagging, &mut candidates, &mut open);
            }
        }
        self.finish_owner(&mut tagging.tags, tagging.service.as_ref());
        tagging
    }

    /// Takes a rule's vote, and what else it sets.
    fn hear(
        &self,
        number: usize,
        values: &Facts<'_>,
        place: Place<'_>,
        tagging: &mut Tagging,
        candidates: &mut Candidates,
        open: &mut u16,
    ) {
        let rule = &self.rules[number];
        // No rule that votes may look at tags, so that what stands there does not matter.
        let view = self.view(values, &tagging.tags, place);
        if !rule.when.holds(&view) {
            return;
        }
        tagging.votes.extend(self.cast(number, &view));
        if rule.mask & !PLATFORM_MASK & *open != 0 {
            self.apply(rule, values, place, tagging, candidates, open);
        }
    }

    /// What rules see when the platform is decided.
    pub(super) fn view<'v>(&'v self, values: &'v Facts<'v>, tags: &'v Tags, place: Place<'v>) -> View<'v> {
        View { place, values, tags, tables: &self.tables }
    }

    /// Sets what the rule, which holds, sets and what is not set yet. What a voter says of the platform waits for
    /// the count.
    fn apply(
        &self,
        rule: &Rule,
        values: &Facts<'_>,
        place: Place<'_>,
        tagging: &mut Tagging,
        candidates: &mut Candidates,
        open: &mut u16,
    ) {
        let made = self.make(rule, values, place, tagging);
        for (at, tag) in made {
            let name = rule.sets[at].0;
            *open &= !bit(name);
            self.index.add(name as usize, &tag.value, candidates);
            tagging.tags.set_first(name, tag);
        }
    }

    fn make(&self, rule: &Rule, values: &Facts<'_>, place: Place<'_>, tagging: &mut Tagging) -> Few<(usize, Tag)> {
        let Tagging { tags, service, unknown_cell, .. } = tagging;
        let view = self.view(values, tags, place);
        let findings = rule.find(&view);
        let mut made = Few::default();
        let mut seen: Option<Arc<str>> = None;
        for (at, (name, template)) in rule.sets.iter().enumerate() {
            if tags.get(*name).is_some() || (rule.ballot.is_some() && PLATFORM_TAGS.contains(name)) {
                continue;
            }
            let (fit, raw) = match &rule.fitted[at] {
                Some(value) => (Fit { value: Arc::clone(value), service: None }, None),
                None => {
                    let Some(rendered) = template.render(&view, &findings) else { continue };
                    let raw = self.raw(*name, &rendered);
                    let Some(fit) = self.values.fit(*name, rendered) else { continue };
                    (fit, raw)
                }
            };
            let mut by = &rule.by;
            if seen.is_none() {
                seen = findings.seen.map(|(key, value)| note(self.keys.text(key), value));
            }
            // The last one takes it: most rules set one tag, and each clone is two locked additions.
            let mut saw = if at + 1 == rule.sets.len() { seen.take() } else { seen.clone() };
            match (fit.service, raw) {
                (Some((entry, how)), Some(raw)) => {
                    by = entry.map_or(by, |entry| &self.values.services.get(entry).by);
                    *service = Some(ServiceFound { entry, how, raw, read_by: Arc::clone(&rule.by) });
                }
                (None, Some(raw)) if Arc::ptr_eq(&fit.value, &self.values.unknown) => {
                    saw = saw.map(|saw| if saw.ends_with(&*raw) { saw } else { note("cell", &raw) });
                    *unknown_cell = Some(Arc::from(raw));
                }
                (Some(_), None) | (None, Some(_) | None) => {}
            }
            made.push((at, Tag { value: fit.value, by: Arc::clone(by), seen: saw }));
        }
        made
    }

    /// What was rendered, kept before fitting turns it into the registry's own name. A cell's is only told where no
    /// registry knows it.
    fn raw(&self, name: TagName, rendered: &Rendered<'_>) -> Option<Box<str>> {
        let is_kept =
            name == TagName::Service || (name == TagName::Cell && !self.values.cells.knows(rendered.as_str()));
        is_kept.then(|| rendered.as_str().into())
    }

    /// The route that decides when, and all that are told.
    fn route(&self, values: &Facts<'_>, tags: &Tags) -> (&RouteRule, Arc<Route>) {
        let view = self.view(values, tags, self.witnesses.place(values));
        let mut candidates = self.route_index.start(values);
        for (name, tag) in tags.iter() {
            self.route_index.add(name as usize, &tag.value, &mut candidates);
        }
        let mut first: Option<&RouteRule> = None;
        let mut further: Vec<&RouteRule> = Vec::new();
        let mut next = 0;
        while let Some(number) = candidates.next(next) {
            next = number + 1;
            let rule = &self.routes[number];
            if !rule.when.holds(&view) || !self.is_partners(rule, tags) {
                continue;
            }
            match first {
                None if rule.partner.is_none() => first = Some(rule),
                Some(_) | None => further.push(rule),
            }
            if rule.partner.is_none() && rule.further == Further::Stop {
                break;
            }
        }
        let rule = first.or(self.routes.last());
        let rule = rule.expect("compiling refuses a set whose last route does not match everything");
        if further.is_empty() {
            return (rule, Arc::clone(&rule.route));
        }
        let mut route = Route::clone(&rule.route);
        for joined in further {
            route.also.push(Arc::clone(&joined.route.by));
            for sink in &joined.route.sinks {
                if !route.sinks.contains(sink) {
                    route.sinks.push(Arc::clone(sink));
                }
            }
        }
        (rule, Arc::new(route))
    }

    /// A partner hears of what runs on EKS while the service moves there.
    fn is_partners(&self, rule: &RouteRule, tags: &Tags) -> bool {
        let Some(partner) = &rule.partner else { return true };
        let of_service = tags.value(TagName::Service).and_then(|service| self.values.services.partner_of(service));
        of_service == Some(partner) && tags.value(TagName::Platform) == Some("eks")
    }
}

/// `label.cluster=prod-c2-use1`; long values are cut, because this goes out with every notice.
pub(super) fn note(key: &str, value: &str) -> Arc<str> {
    const VALUE_BYTES_MAX: usize = 200;
    let cut = &value[..value.floor_char_boundary(VALUE_BYTES_MAX)];
    let end = if cut.len() < value.len() { "…" } else { "" };
    let mut text = String::with_capacity(key.len() + 1 + cut.len() + end.len());
    [key, "=", cut, end].into_iter().for_each(|part| text.push_str(part));
    Arc::from(text)
}

const VOTE_COUNT_USUAL: usize = 4;

/// What the count of votes decides.
const PLATFORM_TAGS: [TagName; 5] = [
    TagName::Platform,
    TagName::PlatformVariant,
    TagName::PlatformCluster,
    TagName::PlatformConfidence,
    TagName::PlatformConflict,
];
const PLATFORM_MASK: u16 = bit(TagName::PlatformVariant) | bit(TagName::PlatformCluster);

const fn bit_of_all() -> u16 {
    (1 << TagName::ALL.len()) - 1
}

//! Collects the votes on the platform and turns the verdict into tags. Never weighs a vote: that is done in
//! `platform`.

use std::sync::Arc;

use serde::Serialize;

use crate::model::{Labels, Tag, TagName, Tags};

use super::arn::Arn;
use super::cell::{CLUSTER_PLACE, CLUSTERS};
use super::condition::Findings;
use super::decide::{Program, note};
use super::facts::{Facts, Key, Keys, Place, Scope, View};
use super::platform::{self, Cast, Circumstances, Family, Platform, Tier, Verdict, VoteOutcome};
use super::resource::instance_of;
use super::rule::{Rule, Says, Stage};
use super::stamp::{Disputed, IDENTITY_BYTES_MAX, Stamped};
use super::table::Tables;
use super::template::Template;

/// A signal that spoke about the platform, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vote {
    /// `file:line id`.
    pub rule: Arc<str>,
    pub platform: &'static str,
    pub confidence: &'static str,
    /// `scope.key=value` of what it saw.
    pub seen: Option<Arc<str>>,
    pub outcome: VoteOutcome,
    /// Why it lost or had no say; empty where that is plain.
    pub why: &'static str,
}

/// What the count of votes looks at beside them.
#[derive(Debug)]
pub(super) struct Witnesses {
    task_arn: Key,
    pod_uid: Key,
    pod_name: Key,
    node_name: Key,
    host_name: Key,
    /// Where an account or region may stand; the first that has a value speaks.
    accounts: Vec<Key>,
    regions: Vec<Key>,
    clusters: Option<usize>,
}

impl Witnesses {
    pub(super) fn new(keys: &mut Keys, tables: &Tables) -> Witnesses {
        let mut resource = |name: &str| keys.own(Scope::Resource, name);
        let (task_arn, pod_uid, pod_name, node_name, host_name) = (
            resource("aws.ecs.task.arn"),
            resource("k8s.pod.uid"),
            resource("k8s.pod.name"),
            resource("k8s.node.name"),
            resource("host.name"),
        );
        let mut all =
            |names: [(Scope, &str); 5]| names.into_iter().map(|(scope, name)| keys.own(scope, name)).collect();
        Witnesses {
            task_arn,
            pod_uid,
            pod_name,
            node_name,
            host_name,
            // Constants of the source speak as labels.
            accounts: all([
                (Scope::Resource, "cloud.account.id"),
                (Scope::Field, "account"),
                (Scope::Label, "account"),
                (Scope::Label, "cloud.account.id"),
                (Scope::Label, "cloud_account_id"),
            ]),
            regions: all([
                (Scope::Resource, "cloud.region"),
                (Scope::Field, "region"),
                (Scope::Label, "region"),
                (Scope::Label, "cloud.region"),
                (Scope::Label, "cloud_region"),
            ]),
            clusters: tables.find(CLUSTERS),
        }
    }

    /// Every key that it looks at.
    pub(super) fn visit_keys(&self, visit: &mut dyn FnMut(Key)) {
        let identities = [self.task_arn, self.pod_uid, self.pod_name, self.node_name, self.host_name];
        identities.iter().chain(&self.accounts).chain(&self.regions).for_each(|key| visit(*key));
    }

    /// The account and region of the sender, where they have the form of one: an account may also be called `prod`.
    pub(super) fn place<'v>(&self, values: &Facts<'v>) -> Place<'v> {
        let first = |keys: &[Key], fits: fn(&str) -> bool| {
            keys.iter().find_map(|key| values.get(*key).filter(|value| fits(value)))
        };
        let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_region =
            |text: &str| text.bytes().last().is_some_and(|last| last.is_ascii_digit()) && text.contains('-');
        Place { account: first(&self.accounts, is_account), region: first(&self.regions, is_region) }
    }

    /// The identities in the values, each with the family that it speaks for. A node carries many pods, so it is the
    /// sender's identity only where there is no pod.
    fn identities<'v>(&self, view: &View<'v>) -> impl Iterator<Item = (Key, &'v str, Family)> {
        let kubernetes = if view.get(self.pod_uid).is_some() { self.pod_uid } else { self.node_name };
        [(self.task_arn, Family::Ecs), (kubernetes, Family::Kubernetes)].into_iter().filter_map(move |(key, family)| {
            let value = view.values.get(key).filter(|value| value.len() <= IDENTITY_BYTES_MAX)?;
            Some((key, value, family))
        })
    }
}

/// What the circumstances are read from.
struct Around<'a> {
    program: &'a Program,
    view: View<'a>,
    stamped: &'a Stamped,
}

impl Circumstances for Around<'_> {
    fn is_stamped(&self, family: Family) -> bool {
        !self.stamped.is_empty()
            && self.program.witnesses.identities(&self.view).any(|(key, value, speaks_for)| {
                speaks_for == family && self.stamped.contains(self.program.keys.text(key), value)
            })
    }

    fn host_is_pod(&self) -> bool {
        let witnesses = &self.program.witnesses;
        let pod = self.view.get(witnesses.pod_name);
        pod.is_some() && pod == self.view.get(witnesses.host_name)
    }

    fn registry_agrees(&self, votes: &[Cast], family: Family) -> bool {
        let witnesses = &self.program.witnesses;
        let Some(table) = witnesses.clusters else { return false };
        let table = self.view.tables.get(table);
        let place = self.view.place;
        let said = [place.region, place.account];
        let [region, account, platform] = CLUSTER_PLACE;
        let agrees = |row: &usize| {
            let held = [table.cell(*row, region), table.cell(*row, account)];
            let pairs = || said.iter().zip(held).filter_map(|(said, held)| Some(((*said)?, held?)));
            let is_family = table.cell(*row, platform).and_then(|word| Platform::parse(word)).map(Platform::family);
            is_family == Some(family) && pairs().count() > 0 && pairs().all(|(said, held)| *said == **held)
        };
        votes.iter().filter(|vote| vote.platform.family() == family).any(|vote| {
            let cluster = self.program.part(&self.program.rules[vote.rule], TagName::PlatformCluster, &self.view);
            cluster.is_some_and(|cluster| table.rows_of(&cluster).iter().any(agrees))
        })
    }
}

impl Program {
    /// The vote of a rule that holds; `None` when what it would say is no platform.
    pub(super) fn cast(&self, number: usize, view: &View<'_>) -> Option<Cast> {
        let rule = &self.rules[number];
        let ballot = rule.ballot.as_ref()?;
        let platform = match &ballot.says {
            Says::Always(platform) => *platform,
            Says::Rendered(template) => {
                let platform = Platform::parse(template.render(view, &rule.find(view))?.as_str())?;
                (platform != Platform::Unknown).then_some(platform)?
            }
        };
        Some(Cast::new(number, ballot.tier, platform))
    }

    /// Decides on the votes, and sets the platform's tags.
    /// Gives back where the cluster is: an ARN that named it knows better than what stands beside it.
    pub(super) fn count_votes<'v>(
        &'v self,
        votes: &mut [Cast],
        values: &'v Facts<'v>,
        mut place: Place<'v>,
        stamped: &Stamped,
        tags: &mut Tags,
    ) -> Place<'v> {
        let view = self.view(values, &UNTAGGED, place);
        let verdict = platform::resolve(votes, &Around { program: self, view, stamped });
        let mut set = |name: TagName, value: Arc<str>, by: &Arc<str>, seen: Option<Arc<str>>| {
            tags.set_first(name, Tag { value, by: Arc::clone(by), seen });
        };
        match verdict {
            Verdict::Unknown => {
                set(TagName::Platform, Arc::clone(&self.values.unknown), &self.unknown_by, None);
                set(TagName::PlatformConfidence, self.values.confidence("none"), &self.unknown_by, None);
            }
            Verdict::Decided { vote, confidence } => {
                let rule = &self.rules[votes[vote].rule];
                let findings = rule.find(&view);
                let seen = self.note_of(findings.seen);
                set(TagName::Platform, self.values.platform(votes[vote].platform), &rule.by, seen.clone());
                set(TagName::PlatformConfidence, self.values.confidence(confidence), &rule.by, seen.clone());
                for name in [TagName::PlatformVariant, TagName::PlatformCluster] {
                    let told = with(votes, vote).find_map(|number| {
                        let rule = &self.rules[number];
                        let template = template_of(rule, name)?;
                        // The one that decided is asked first and most often has the answer: it is looked at once.
                        let value = match number == votes[vote].rule {
                            true => self.rendered(template, name, &view, &findings),
                            false => self.rendered(template, name, &view, &rule.find(&view)),
                        };
                        value.map(|value| (rule, value))
                    });
                    if let Some((told_by, value)) = told {
                        if name == TagName::PlatformCluster && self.is_contradicted(votes, told_by, &value, &view) {
                            continue;
                        }
                        let seen = if told_by.by == rule.by { seen.clone() } else { self.seen(told_by, &view) };
                        set(name, value, &told_by.by, seen);
                        if name == TagName::PlatformCluster {
                            place = self.place_of_arn(told_by, values, place);
                        }
                    }
                }
            }
        }
        let lost: Vec<&Cast> = votes.iter().filter(|vote| vote.outcome == VoteOutcome::Lost).collect();
        if let Some(first) = lost.first() {
            let rule = &self.rules[first.rule];
            let words = self.conflict(&lost, verdict, &view);
            set(TagName::PlatformConflict, Arc::from(words), &rule.by, self.seen(rule, &view));
        }
        place
    }

    /// Whether a vote for the same platform, as strong as that of the rule that named this cluster, names another one. Only
    /// registered names count: what nobody knows contradicts nothing, and each of two known ones may be the wrong one.
    fn is_contradicted(&self, votes: &[Cast], told_by: &Rule, cluster: &str, view: &View<'_>) -> bool {
        let is_told_by = |vote: &Cast| std::ptr::eq(&self.rules[vote.rule], told_by);
        let Some(teller) = votes.iter().find(|vote| is_told_by(vote)) else { return false };
        let equals =
            |vote: &&Cast| vote.outcome == VoteOutcome::Agreed && vote.tier == teller.tier && vote.rule != teller.rule;
        let Some(table) = self.witnesses.clusters.map(|table| view.tables.get(table)) else { return false };
        let is_known = |name: &str| !table.rows_of(name).is_empty();
        votes.iter().filter(equals).any(|vote| {
            let other = self.part(&self.rules[vote.rule], TagName::PlatformCluster, view);
            other.is_some_and(|other| *other != *cluster && is_known(&other) && is_known(cluster))
        })
    }

    fn place_of_arn<'v>(&'v self, rule: &'v Rule, values: &'v Facts<'v>, otherwise: Place<'v>) -> Place<'v> {
        if !values.present().any(|(_, value)| value.starts_with("arn:")) {
            return otherwise;
        }
        // The first ARN of a cluster or of something in one.
        let mut found = None;
        rule.when.visit_keys(&mut |key| {
            if found.is_none() {
                found = values.get(key).and_then(Arn::parse).filter(|arn| arn.cluster.is_some());
            }
        });
        match found {
            Some(arn) => Place {
                account: arn.field("account").or(otherwise.account),
                region: arn.field("region").or(otherwise.region),
            },
            None => otherwise,
        }
    }

    /// Identities that contradict each other in these values.
    pub(super) fn disputes(&self, values: &Facts<'_>, votes: &[Cast], resource: &Labels<'_>) -> Arc<[Disputed]> {
        let spoke = |family: Family| votes.iter().any(|vote| vote.platform.family() == family);
        if !(spoke(Family::Ecs) && spoke(Family::Kubernetes)) {
            return Arc::default();
        }
        let Some(instance) = instance_of(resource) else { return Arc::default() };
        let tags = Tags::default();
        let view = self.view(values, &tags, Place::default());
        let identity = |key: Key, value: &str| Arc::from([self.keys.text(key), "=", value].concat());
        let identities = self.witnesses.identities(&view);
        identities.map(|(key, value, _)| Disputed { identity: identity(key, value), instance }).collect()
    }

    /// The votes for people, with those of rules in the shadow stage left out.
    pub(super) fn show_votes(&self, votes: &[Cast], values: &Facts<'_>) -> Vec<Vote> {
        let tags = Tags::default();
        let view = self.view(values, &tags, Place::default());
        let shown = |cast: &Cast| Vote {
            rule: Arc::clone(&self.rules[cast.rule].by),
            platform: cast.platform.as_str(),
            confidence: cast.tier.confidence(),
            seen: self.seen(&self.rules[cast.rule], &view),
            outcome: cast.outcome,
            why: cast.why,
        };
        votes.iter().map(shown).collect()
    }

    /// One word for each family that contradicts: the sender's own where it is one (`aws_eks`), else the platform.
    fn conflict(&self, lost: &[&Cast], verdict: Verdict, view: &View<'_>) -> String {
        let mut families: Vec<(Family, &str)> = Vec::new();
        for vote in lost {
            let family = vote.platform.family();
            let own = match verdict {
                // Nobody won: both sides are told in the same words.
                Verdict::Unknown => None,
                Verdict::Decided { .. } => self.own_word(vote, view),
            };
            match families.iter_mut().find(|(known, _)| *known == family) {
                Some((_, word)) => {
                    if let (Some(own), Some(_)) = (own, Platform::parse(word)) {
                        *word = own;
                    }
                }
                None => families.push((family, own.unwrap_or(vote.platform.as_str()))),
            }
        }
        let words: Vec<&str> = families.into_iter().map(|(_, word)| word).collect();
        words.join(",")
    }

    /// What the vote saw, if it is the platform and at most Amazon's name: `aws_eks`, `AWS::ECS`.
    fn own_word<'v>(&'v self, vote: &Cast, view: &View<'v>) -> Option<&'v str> {
        let (_, text) = self.rules[vote.rule].when.saw(view)?;
        let is_part = |part: &str| {
            part.is_empty() || part.eq_ignore_ascii_case("aws") || part.eq_ignore_ascii_case(vote.platform.as_str())
        };
        text.split(['_', ':', '-']).all(is_part).then_some(text)
    }

    /// A part of the platform as this rule, which holds, tells it.
    fn part(&self, rule: &Rule, name: TagName, view: &View<'_>) -> Option<Arc<str>> {
        self.rendered(template_of(rule, name)?, name, view, &rule.find(view))
    }

    fn rendered(
        &self,
        template: &Template,
        name: TagName,
        view: &View<'_>,
        findings: &Findings<'_>,
    ) -> Option<Arc<str>> {
        self.values.fit(name, template.render(view, findings)?).map(|fit| fit.value)
    }

    fn seen(&self, rule: &Rule, view: &View<'_>) -> Option<Arc<str>> {
        self.note_of(rule.when.saw(view))
    }

    fn note_of(&self, seen: Option<(Key, &str)>) -> Option<Arc<str>> {
        seen.map(|(key, value)| note(self.keys.text(key), value))
    }
}

/// What voters see of the tags: none is set before the votes are counted.
static UNTAGGED: Tags = Tags::new();

fn template_of(rule: &Rule, name: TagName) -> Option<&Template> {
    rule.sets.iter().find(|(set, _)| *set == name).map(|(_, template)| template)
}

/// Rules that say the same as the one that decided: itself, then the others, the strongest first.
fn with(votes: &[Cast], decider: usize) -> impl Iterator<Item = usize> {
    let agrees = |tier: Tier| move |vote: &&Cast| vote.outcome == VoteOutcome::Agreed && vote.tier == tier;
    let agreeing = Tier::ALL.into_iter().flat_map(move |tier| votes.iter().filter(agrees(tier)));
    std::iter::once(votes[decider].rule).chain(agreeing.map(|vote| vote.rule))
}

/// Whether a rule takes part in the count.
pub(super) fn is_voter(rule: &Rule) -> bool {
    rule.ballot.is_some() && rule.stage == Stage::Live
}

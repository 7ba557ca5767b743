//! Weighs what the signals say about the platform: the strongest decides, what contradicts it is kept. Right or
//! unknown, never a guess; never looks at a value itself.

use serde::Serialize;

/// Where a program runs. `K8s` is Kubernetes without proof that it is Amazon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    Ecs,
    Eks,
    K8s,
    Lambda,
    Ec2,
    Other,
    Unknown,
}

/// Platforms that do not contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ecs,
    Kubernetes,
    Lambda,
    /// A machine may carry any of the others.
    Machine,
    Other,
    Unknown,
}

/// How much a signal proves; the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// A rule without a confidence: the word of the person who wrote it.
    Explicit,
    Conclusive,
    Strong,
    Inferred,
    Hint,
}

impl Platform {
    pub(super) const ALL: [Platform; 7] = [
        Platform::Ecs,
        Platform::Eks,
        Platform::K8s,
        Platform::Lambda,
        Platform::Ec2,
        Platform::Other,
        Platform::Unknown,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Platform::Ecs => "ecs",
            Platform::Eks => "eks",
            Platform::K8s => "k8s",
            Platform::Lambda => "lambda",
            Platform::Ec2 => "ec2",
            Platform::Other => "other",
            Platform::Unknown => "unknown",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Platform> {
        Platform::ALL.into_iter().find(|platform| platform.as_str() == text)
    }

    pub(super) const fn family(self) -> Family {
        match self {
            Platform::Ecs => Family::Ecs,
            Platform::Eks | Platform::K8s => Family::Kubernetes,
            Platform::Lambda => Family::Lambda,
            Platform::Ec2 => Family::Machine,
            Platform::Other => Family::Other,
            Platform::Unknown => Family::Unknown,
        }
    }
}

impl Tier {
    pub(super) const ALL: [Tier; 5] = [Tier::Explicit, Tier::Conclusive, Tier::Strong, Tier::Inferred, Tier::Hint];

    /// The word for people. An explicit rule is proof enough.
    pub(super) const fn confidence(self) -> &'static str {
        match self {
            Tier::Explicit | Tier::Conclusive => "conclusive",
            Tier::Strong => "strong",
            Tier::Inferred => "inferred",
            Tier::Hint => "hint",
        }
    }

    pub(super) fn of_confidence(word: &str) -> Option<Tier> {
        [Tier::Conclusive, Tier::Strong, Tier::Inferred, Tier::Hint].into_iter().find(|tier| tier.confidence() == word)
    }
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteOutcome {
    /// Decided.
    Won,
    /// Says the same as the one that decided.
    Agreed,
    /// Says something else; kept in `platform.conflict`.
    Lost,
    /// Had no say; `why` tells the reason.
    Ignored,
}

/// A signal that spoke.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast {
    /// The number of its rule.
    pub(super) rule: usize,
    pub(super) tier: Tier,
    pub(super) platform: Platform,
    pub(super) outcome: VoteOutcome,
    pub(super) why: &'static str,
}

impl Cast {
    pub(super) fn new(rule: usize, tier: Tier, platform: Platform) -> Cast {
        Cast { rule, tier, platform, outcome: VoteOutcome::Ignored, why: "" }
    }

    fn ignore(&mut self, why: &'static str) {
        (self.outcome, self.why) = (VoteOutcome::Ignored, why);
    }
}

/// What is known beside the votes; each is only asked when it can matter.
pub(super) trait Circumstances {
    /// An identity of this family is one that a gateway stamps on everybody.
    fn is_stamped(&self, family: Family) -> bool;
    /// The host is named like the pod: the program itself ran in it.
    fn host_is_pod(&self) -> bool;
    /// The registry has the cluster that this family's votes name, on this family, in this account and region.
    fn registry_agrees(&self, votes: &[Cast], family: Family) -> bool;
}

/// The answer: which vote decided, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Decided { vote: usize, confidence: &'static str },
    Unknown,
}

const STAMPED: &str = "a gateway stamps this identity on everybody's telemetry";
const MACHINE: &str = "the machine, which may carry any of the others";
const HINT: &str = "a hint never decides alone";
const EXPLICIT: &str = "an explicit rule outranks it";
const WEAKER: &str = "a stronger signal says otherwise";
const EQUAL: &str = "an equally strong signal says otherwise";
const CONTRADICTED: &str = "stronger signals contradict each other";
const OWN_HOST: &str = "a gateway may have written it: the host is named like the pod";
const BY_POD: &str = "the host is named like the pod";
const BY_REGISTRY: &str = "the registry has the cluster of the other in this account or region";
const BY_HINTS: &str = "all hints say otherwise";

/// Decides, and notes on each vote what became of it. Votes stand in the order of their rules.
pub(super) fn resolve(votes: &mut [Cast], around: &dyn Circumstances) -> Verdict {
    if let Some(explicit) = votes.iter().position(|vote| vote.tier == Tier::Explicit) {
        return close(votes, explicit, votes[explicit].tier.confidence(), EXPLICIT);
    }
    let stamped = drop_stamped(votes, around);
    let may_decide = |vote: &Cast| vote.platform != Platform::Ec2 && !stamped.contains(&vote.platform.family());
    let Some(best) = votes.iter().filter(|vote| may_decide(vote)).map(|vote| vote.tier).min() else {
        return machine_alone(votes);
    };
    if best == Tier::Hint {
        votes
            .iter_mut()
            .filter(|vote| vote.tier == Tier::Hint && vote.why.is_empty())
            .for_each(|vote| vote.ignore(HINT));
        set_machine_aside(votes);
        return Verdict::Unknown;
    }
    let mut strongest = votes.iter().filter(|vote| vote.tier == best && may_decide(vote));
    let first = strongest.next().expect("the best tier was found among these votes").platform.family();
    let (family, settled) = match strongest.all(|vote| vote.platform.family() == first) {
        true => (first, ""),
        false => match settle(votes, &families_of(votes, best, may_decide), around) {
            Some(settled) => settled,
            None => return contradiction(votes, EQUAL, |vote| vote.tier == best),
        },
    };
    if family != Family::Kubernetes && may_be_a_pod(votes, may_decide) && around.host_is_pod() {
        let is_party = |vote: &Cast| vote.tier == best || vote.platform.family() == Family::Kubernetes;
        return contradiction(votes, OWN_HOST, is_party);
    }
    let decider = decider(votes, family, best);
    let confidence = if settled == BY_HINTS { Tier::Hint } else { votes[decider].tier }.confidence();
    close(votes, decider, confidence, settled)
}

/// A program whose host is named like its pod runs in that pod, however weakly the pod is known; what speaks against it
/// may be a gateway's. The gateway may also have written both names, so that neither is the answer.
fn may_be_a_pod(votes: &[Cast], may_decide: impl Fn(&Cast) -> bool) -> bool {
    votes.iter().any(|vote| vote.platform.family() == Family::Kubernetes && vote.tier < Tier::Hint && may_decide(vote))
}

/// The families of the votes of that tier, each once, in the order of the votes.
fn families_of(votes: &[Cast], best: Tier, may_decide: impl Fn(&Cast) -> bool) -> Vec<Family> {
    let mut families = Vec::new();
    for vote in votes.iter().filter(|vote| vote.tier == best && may_decide(vote)) {
        if !families.contains(&vote.platform.family()) {
            families.push(vote.platform.family());
        }
    }
    families
}

/// Families of which an identity is stamped lose all their votes: what carried the identity carried the rest too.
fn drop_stamped(votes: &mut [Cast], around: &dyn Circumstances) -> Vec<Family> {
    let stamped: Vec<Family> =
        [Family::Ecs, Family::Kubernetes].into_iter().filter(|family| around.is_stamped(*family)).collect();
    for vote in votes.iter_mut().filter(|vote| stamped.contains(&vote.platform.family())) {
        vote.ignore(STAMPED);
    }
    stamped
}

/// Nothing says what runs on the machine: then the machine is the answer, unless something was there to say more.
fn machine_alone(votes: &mut [Cast]) -> Verdict {
    let is_alone = votes.iter().all(|vote| vote.platform == Platform::Ec2);
    let Some(machine) = strongest(votes, |vote| vote.platform == Platform::Ec2) else { return Verdict::Unknown };
    if !is_alone || votes[machine].tier == Tier::Hint {
        set_machine_aside(votes);
        return Verdict::Unknown;
    }
    close(votes, machine, votes[machine].tier.confidence(), "")
}

fn set_machine_aside(votes: &mut [Cast]) {
    votes.iter_mut().filter(|vote| vote.platform == Platform::Ec2).for_each(|vote| vote.ignore(MACHINE));
}

/// Equally strong signals contradict each other: what else could tell?
fn settle(votes: &[Cast], families: &[Family], around: &dyn Circumstances) -> Option<(Family, &'static str)> {
    if families.contains(&Family::Kubernetes) && around.host_is_pod() {
        return Some((Family::Kubernetes, BY_POD));
    }
    let mut agreed = families.iter().filter(|family| around.registry_agrees(votes, **family));
    if let (Some(family), None) = (agreed.next(), agreed.next()) {
        return Some((*family, BY_REGISTRY));
    }
    let mut hints = votes.iter().filter(|vote| vote.tier == Tier::Hint);
    let hinted = hints.next()?.platform.family();
    let is_unanimous = hints.all(|vote| vote.platform.family() == hinted);
    (is_unanimous && families.contains(&hinted)).then_some((hinted, BY_HINTS))
}

/// The first of the strongest; Kubernetes becomes EKS where another signal of some strength proves that it is.
fn decider(votes: &[Cast], family: Family, best: Tier) -> usize {
    let first =
        strongest(votes, |vote| vote.platform.family() == family).expect("the family was found among the votes");
    if votes[first].platform != Platform::K8s {
        return first;
    }
    strongest(votes, |vote| vote.platform == Platform::Eks && (vote.tier <= Tier::Strong || vote.tier == best))
        .unwrap_or(first)
}

fn strongest(votes: &[Cast], fits: impl Fn(&Cast) -> bool) -> Option<usize> {
    // Of equals the first: `min_by_key` keeps it.
    (0..votes.len()).filter(|at| fits(&votes[*at])).min_by_key(|at| votes[*at].tier)
}

fn close(votes: &mut [Cast], decider: usize, confidence: &'static str, settled: &'static str) -> Verdict {
    let (family, tier) = (votes[decider].platform.family(), votes[decider].tier);
    for (at, vote) in votes.iter_mut().enumerate().filter(|(_, vote)| vote.why != STAMPED) {
        let is_same = vote.platform.family() == family;
        (vote.outcome, vote.why) = if at == decider {
            (VoteOutcome::Won, settled)
        } else if is_same {
            (VoteOutcome::Agreed, "")
        } else if vote.tier == Tier::Hint {
            (VoteOutcome::Ignored, HINT)
        } else if vote.platform == Platform::Ec2 {
            (VoteOutcome::Ignored, MACHINE)
        } else if tier == Tier::Explicit {
            (VoteOutcome::Lost, EXPLICIT)
        } else if vote.tier > tier || settled.is_empty() {
            (VoteOutcome::Lost, WEAKER)
        } else {
            (VoteOutcome::Lost, settled)
        };
    }
    Verdict::Decided { vote: decider, confidence }
}

/// Nobody wins: the parties are told, and why.
fn contradiction(votes: &mut [Cast], why: &'static str, is_party: impl Fn(&Cast) -> bool) -> Verdict {
    for vote in votes.iter_mut().filter(|vote| vote.why != STAMPED) {
        (vote.outcome, vote.why) = match vote.platform {
            _ if vote.tier == Tier::Hint => (VoteOutcome::Ignored, HINT),
            Platform::Ec2 => (VoteOutcome::Ignored, MACHINE),
            Platform::Ecs | Platform::Eks | Platform::K8s | Platform::Lambda | Platform::Other | Platform::Unknown => {
                match is_party(vote) {
                    true => (VoteOutcome::Lost, why),
                    false => (VoteOutcome::Ignored, CONTRADICTED),
                }
            }
        };
    }
    Verdict::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Around {
        stamped: Vec<Family>,
        host_is_pod: bool,
        registered: Vec<Family>,
    }

    impl Circumstances for Around {
        fn is_stamped(&self, family: Family) -> bool {
            self.stamped.contains(&family)
        }

        fn host_is_pod(&self) -> bool {
            self.host_is_pod
        }

        fn registry_agrees(&self, _: &[Cast], family: Family) -> bool {
            self.registered.contains(&family)
        }
    }

    /// `1ecs 3k8s` (tier and platform, 0 is explicit) to `ecs conclusive: won lost`.
    fn count(votes: &str, around: &Around) -> String {
        let tiers = [Tier::Explicit, Tier::Conclusive, Tier::Strong, Tier::Inferred, Tier::Hint];
        let cast = |(rule, text): (usize, &str)| {
            let (tier, platform) = text.split_at(1);
            Cast::new(rule, tiers[tier.parse::<usize>().unwrap()], Platform::parse(platform).unwrap())
        };
        let mut votes: Vec<Cast> = votes.split_whitespace().enumerate().map(cast).collect();
        let answer = match resolve(&mut votes, around) {
            Verdict::Decided { vote, confidence } => format!("{} {confidence}", votes[vote].platform.as_str()),
            Verdict::Unknown => "unknown".to_owned(),
        };
        let outcomes: Vec<&str> = votes
            .iter()
            .map(|vote| match vote.outcome {
                VoteOutcome::Won => "won",
                VoteOutcome::Agreed => "agreed",
                VoteOutcome::Lost => "lost",
                VoteOutcome::Ignored => "ignored",
            })
            .collect();
        format!("{answer}: {}", outcomes.join(" ")).trim_end_matches([':', ' ']).to_owned()
    }

    #[test]
    fn the_strongest_decides_and_what_contradicts_it_is_kept() {
        for (votes, expected) in [
            ("", "unknown"),
            ("1ecs", "ecs conclusive: won"),
            ("2eks 1ecs", "ecs conclusive: lost won"),
            ("1ecs 1ecs 3k8s", "ecs conclusive: won agreed lost"),
            ("1ecs 1eks", "unknown: lost lost"),
            ("1ecs 1eks 2eks", "unknown: lost lost ignored"),
            ("2lambda 3ecs", "lambda strong: won lost"),
            ("2other", "other strong: won"),
            // Kubernetes becomes Amazon's where something of strength, or as strong, says so.
            ("3k8s 2eks", "eks strong: agreed won"),
            ("2k8s 2eks", "eks strong: agreed won"),
            ("3k8s 3eks", "eks inferred: agreed won"),
            ("2k8s 3eks", "k8s strong: won agreed"),
            // The machine decides only alone, and contradicts nothing.
            ("2ec2", "ec2 strong: won"),
            ("2ec2 3k8s", "k8s inferred: ignored won"),
            ("1ec2 4k8s", "unknown: ignored ignored"),
            ("4ec2", "unknown: ignored"),
            // A hint never decides alone and breaks ties only with one voice.
            ("4eks", "unknown: ignored"),
            ("2ecs 2eks 4k8s", "eks hint: lost won agreed"),
            ("2ecs 2eks 4k8s 4ecs", "unknown: lost lost ignored ignored"),
            ("2ecs 2eks 4lambda", "unknown: lost lost ignored"),
            ("2ecs 4eks", "ecs strong: won ignored"),
            // The operator's word outranks all, the first of two wins, and `unknown` is a word too.
            ("1ecs 0eks 0lambda", "eks conclusive: lost won lost"),
            ("0unknown 1ecs", "unknown conclusive: won lost"),
            ("2ec2 0ecs", "ecs conclusive: ignored won"),
        ] {
            assert_eq!(count(votes, &Around::default()), expected, "{votes}");
        }
    }

    #[test]
    fn equals_are_settled_by_the_pod_then_by_the_registry() {
        let pod = || Around { host_is_pod: true, ..Around::default() };
        let registry = |families: &[Family]| Around { registered: families.to_vec(), ..Around::default() };
        for (votes, around, expected) in [
            ("1ecs 1eks", pod(), "eks conclusive: lost won"),
            ("1ecs 1lambda", pod(), "unknown: lost lost"),
            // A pod that is known only weakly does not win, but what speaks against it may be a gateway's.
            ("1ecs 2eks", pod(), "unknown: lost lost"),
            ("2ecs 3k8s 4eks", pod(), "unknown: lost lost ignored"),
            ("1ecs 2lambda 3k8s", pod(), "unknown: lost ignored lost"),
            ("1ecs 4eks", pod(), "ecs conclusive: won ignored"),
            ("0ecs 3k8s", pod(), "ecs conclusive: won lost"),
            ("2ec2", pod(), "ec2 strong: won"),
            ("1ecs 1eks", registry(&[Family::Ecs]), "ecs conclusive: won lost"),
            ("1ecs 1eks", registry(&[Family::Ecs, Family::Kubernetes]), "unknown: lost lost"),
            ("1ecs 1eks", Around { host_is_pod: true, ..registry(&[Family::Ecs]) }, "eks conclusive: lost won"),
        ] {
            assert_eq!(count(votes, &around), expected, "{votes}");
        }
    }

    #[test]
    fn a_stamped_family_has_no_vote_at_all() {
        let stamped = |families: &[Family]| Around { stamped: families.to_vec(), ..Around::default() };
        for (votes, around, expected) in [
            ("1ecs 2ecs 2eks 3k8s", stamped(&[Family::Ecs]), "eks strong: ignored ignored won agreed"),
            ("1ecs", stamped(&[Family::Ecs]), "unknown: ignored"),
            ("1ecs 1eks", stamped(&[Family::Ecs, Family::Kubernetes]), "unknown: ignored ignored"),
            ("0ecs 1eks", stamped(&[Family::Ecs]), "ecs conclusive: won lost"),
            ("1ecs 4eks", stamped(&[Family::Ecs]), "unknown: ignored ignored"),
        ] {
            assert_eq!(count(votes, &around), expected, "{votes}");
        }
    }
}

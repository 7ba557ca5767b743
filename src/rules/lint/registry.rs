//! The registries of cells and services, looked at as a whole: shares that do not add up, names that two services
//! could mean. What is plainly claimed twice is already an error of the compiler.

use super::text::list;
use super::{Tree, entries, get, items, text_of, words};
use crate::rules::diagnostic::{At, Faults};
use crate::rules::glob::Glob;

/// What rounding may leave.
const SHARE_TOLERANCE: f64 = 0.005;

pub(super) fn check(tree: &Tree<'_>, faults: &mut Faults<'_>) {
    match tree.kind {
        "cells" => {
            shares(tree, faults);
            clusters(tree, faults);
        }
        "services" => aliases(tree, faults),
        _ => {}
    }
}

struct Total<'n> {
    env: &'n str,
    sum: f64,
    /// The first share, where a finding is drawn.
    at: At,
    without_count: usize,
}

fn shares(tree: &Tree<'_>, faults: &mut Faults<'_>) {
    let mut totals: Vec<Total<'_>> = Vec::new();
    let mut without: Vec<&str> = Vec::new();
    for cell in list(tree, "cells") {
        let env = get(cell, "env").and_then(text_of).unwrap_or("");
        let share = get(cell, "share").and_then(|node| Some((node.at, text_of(node)?.parse::<f64>().ok()?)));
        match (share, totals.iter_mut().find(|total| total.env == env)) {
            (Some((_, share)), Some(total)) => total.sum += share,
            (Some((at, share)), None) => totals.push(Total { env, sum: share, at, without_count: 0 }),
            (None, _) => without.push(env),
        }
    }
    for total in &mut totals {
        total.without_count = without.iter().filter(|env| **env == total.env).count();
        if (total.sum - 1.0).abs() > SHARE_TOLERANCE {
            let env = if total.env.is_empty() { "cells without `env`".to_owned() } else { format!("`{}`", total.env) };
            let hint = match total.without_count {
                0 => "the shares of an environment are parts of its whole traffic: together 1".to_owned(),
                count => format!("{count} cells of it have no `share`"),
            };
            // Written as people write shares.
            let sum = (total.sum * 1000.0).round() / 1000.0;
            faults.warning(total.at, format!("the shares of {env} add up to {sum}"), Some(hint));
        }
    }
}

/// Clusters of one name in two cells. Written as ARNs, somebody knows of both; written as names, it is nearly always a
/// slip, and one that makes the name mean neither where account and region are not known.
fn clusters(tree: &Tree<'_>, faults: &mut Faults<'_>) {
    let mut held: Vec<(&str, &str, At)> = Vec::new();
    for cell in list(tree, "cells") {
        let id = get(cell, "id").and_then(text_of).unwrap_or("");
        let named = get(cell, "clusters").map(entries).unwrap_or_default().iter().flat_map(|entry| words(&entry.value));
        for (name, at) in named.filter(|(name, _)| !name.starts_with("arn:")) {
            if let Some((_, cell, first)) = held.iter().find(|(known, cell, _)| *known == name && *cell != id) {
                let hint = format!(
                    "an alert that does not say its account or region is in neither; if there are two, write their ARNs, \
                     here and on line {}",
                    first.line
                );
                faults.warning(at, format!("cluster `{name}` is also in cell `{cell}`"), Some(hint));
            }
            held.push((name, id, at));
        }
    }
}

struct Claim<'n> {
    service: &'n str,
    text: &'n str,
    at: At,
}

fn aliases(tree: &Tree<'_>, faults: &mut Faults<'_>) {
    let (mut exact, mut globs): (Vec<Claim<'_>>, Vec<Claim<'_>>) = (Vec::new(), Vec::new());
    for node in list(tree, "services") {
        let Some(name) = get(node, "name") else { continue };
        let Some(service) = text_of(name) else { continue };
        exact.push(Claim { service, text: service, at: name.at });
        let Some(aliases) = get(node, "aliases") else { continue };
        exact.extend(words(aliases).into_iter().map(|(text, at)| Claim { service, text, at }));
        for glob in items(aliases).iter().filter_map(|item| get(item, "glob")) {
            globs.extend(text_of(glob).map(|text| Claim { service, text, at: glob.at }));
        }
    }
    for claim in exact.iter().filter(|claim| claim.text.contains(['*', '?'])) {
        let hint = format!("write `{{ glob: \"{}\" }}`", claim.text);
        faults.warning(claim.at, format!("`{}` means only what is spelled just so", claim.text), Some(hint));
    }
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    for (number, claim) in exact.iter().enumerate() {
        let twin =
            exact[..number].iter().find(|held| held.service != claim.service && plain(held.text) == plain(claim.text));
        if let Some(twin) = twin {
            let hint = format!("`{}` on line {} means `{}`", twin.text, twin.at.line, twin.service);
            faults.warning(
                claim.at,
                format!("`{}` differs from a name of another service in case or `_` only", claim.text),
                Some(hint),
            );
        }
    }
    for (number, claim) in globs.iter().enumerate() {
        let glob = Glob::new(claim.text);
        if let Some(taken) = exact.iter().find(|held| held.service != claim.service && glob.matches(held.text)) {
            let hint = format!("`{}` on line {} keeps its service `{}`", taken.text, taken.at.line, taken.service);
            faults.warning(claim.at, format!("`{}` also fits a name of another service", claim.text), Some(hint));
        }
        // One name that both fit is enough; the first glob gets it.
        let both = globs[..number].iter().filter(|held| held.service != claim.service).find_map(|held| {
            let other = Glob::new(held.text);
            let samples = samples(claim.text).into_iter().chain(samples(held.text));
            samples
                .into_iter()
                .find(|sample| glob.matches(sample) && other.matches(sample))
                .map(|sample| (held, sample))
        });
        if let Some((held, sample)) = both {
            let hint = format!("`{}` on line {} gets it, for service `{}`", held.text, held.at.line, held.service);
            faults.warning(claim.at, format!("`{sample}` could be two services"), Some(hint));
        }
    }
}

/// Some texts that fit a glob.
pub(super) fn samples(glob: &str) -> Vec<String> {
    ["", "x", "1"].into_iter().map(|filling| glob.replace('*', filling).replace('?', "x")).collect()
}

//! Names in the section `spans`: of sinks, and of the attributes that tags become. Never lets a name through that nobody
//! has, or that means something else already.

use super::{Loaded, SettingsError, fault};
use crate::io::spans::routes::{SINK_COUNT_MAX, SinkSet, SpanRoute, SpanRoutes};
use crate::model::TagName;

/// What is said of a Resource where the settings say nothing else. Class, severity and runbook are of alerts.
const TOLD: [TagName; 7] = [
    TagName::Platform,
    TagName::PlatformVariant,
    TagName::PlatformConfidence,
    TagName::Cell,
    TagName::Service,
    TagName::Owner,
    TagName::Environment,
];

/// The sinks that any route names, and the routes over their numbers.
pub(super) fn routes(loaded: &Loaded) -> Result<(Vec<String>, SpanRoutes), SettingsError> {
    let spans = &loaded.settings.spans;
    let mut sinks: Vec<String> = Vec::new();
    let mut set = |names: &[String], key: &str| -> Result<SinkSet, SettingsError> {
        let mut set = SinkSet::default();
        for name in names {
            if !loaded.settings.sinks.iter().any(|sink| sink.name == *name) {
                let known: Vec<_> = loaded.settings.sinks.iter().map(|sink| sink.name.as_str()).collect();
                let hint = format!("known sinks: {}", known.join(", "));
                return Err(fault(loaded, key, format!("no sink is called `{name}`"), &hint));
            }
            takes_telemetry(loaded, name)?;
            let number = sinks.iter().position(|held| held == name).unwrap_or_else(|| {
                sinks.push(name.clone());
                sinks.len() - 1
            });
            if number >= SINK_COUNT_MAX {
                return Err(fault(loaded, key, format!("more than {SINK_COUNT_MAX} sinks take telemetry"), ""));
            }
            set.add(number);
        }
        Ok(set)
    };
    let otherwise = set(&spans.to.to_vec(), "spans.to")?;
    let mut routes = Vec::new();
    for entry in &spans.routes {
        routes.push(SpanRoute {
            owner: entry.owner.clone(),
            service: entry.service.clone(),
            environment: entry.env.clone(),
            to: set(&entry.to, "spans.routes")?,
        });
    }
    Ok((sinks, SpanRoutes { routes, otherwise }))
}

/// Kinds that cannot take telemetry are refused here, where the line is known.
fn takes_telemetry(loaded: &Loaded, name: &str) -> Result<(), SettingsError> {
    const KINDS: [&str; 3] = ["otlp", "honeycomb", "sentry"];
    let entry = loaded.settings.sinks.iter().find(|sink| sink.name == name);
    match entry {
        Some(entry) if !KINDS.contains(&entry.kind.as_str()) => {
            let message = format!("sink `{name}` is of kind `{}`, which takes no telemetry", entry.kind);
            Err(fault(loaded, "spans.to", message, &format!("kinds that do: {}", KINDS.join(", "))))
        }
        Some(_) | None => Ok(()),
    }
}

/// Honeycomb's own fields, and what it calls the dataset by: an attribute over one of them would change or move what
/// it is told of.
const TAKEN: [&str; 8] =
    ["service.name", "name", "type", "error", "duration_ms", "status_code", "sampleRate", "SampleRate"];

pub(super) fn attributes(loaded: &Loaded) -> Result<Vec<(TagName, String)>, SettingsError> {
    let spans = &loaded.settings.spans;
    let mut named: Vec<(TagName, String)> =
        TOLD.iter().map(|tag| (*tag, format!("{}{}", spans.attribute_prefix, tag.as_str()))).collect();
    for (tag, name) in &spans.attributes {
        let known = TagName::parse(tag).ok_or_else(|| {
            let known: Vec<_> = TagName::ALL.iter().map(|tag| tag.as_str()).collect();
            fault(
                loaded,
                "spans.attributes",
                format!("unknown tag `{tag}`"),
                &format!("known tags: {}", known.join(", ")),
            )
        })?;
        named.retain(|(held, _)| *held != known);
        if !name.is_empty() {
            named.push((known, name.clone()));
        }
    }
    let mut names: Vec<&str> = named.iter().map(|(_, name)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(name) = names.iter().find(|name| TAKEN.contains(name)) {
        let message = format!("`{name}` has a meaning of its own, which a tag would overwrite");
        return Err(fault(loaded, "spans.attributes", message, "choose another name"));
    }
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(fault(loaded, "spans.attributes", format!("two tags are called `{}`", pair[0]), "")),
        None => Ok(named),
    }
}

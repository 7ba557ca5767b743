//! `tawny diff`: what another set of rules would say of alerts that were recorded. Decides with the daemon's own code
//! and changes nothing.

mod compare;
mod rule_set;
mod show;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;

use super::payload::{Payload, decode, instance, keep_identities, recorded};
use super::{Common, complain};
use crate::app;
use crate::io::clock::Clock;
use crate::model::{IncidentKey, Timestamp};
use crate::rules::{Memo, RuleSet};
use crate::settings::{self, Flags, Ready, SecretsPolicy};
use crate::store::{IncidentFilter, RecordRow, sqlite};

use compare::{Comparison, Example};
use rule_set::Side;

/// The rules differ in what they say: as with diff(1).
const EXIT_CHANGES: u8 = 1;
/// Nothing could be compared: as with diff(1), and with wrong usage.
const EXIT_TROUBLE: u8 = 2;
/// Records read at a time.
const PAGE: u32 = 500;
/// More open incidents than this are not looked at.
const OPEN_COUNT_MAX: u32 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    /// One JSON object: counts, every change with examples, incidents that would be re-keyed.
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny diff main rules                          # the folder as it is, against the branch `main`\n  tawny diff HEAD~3 HEAD:deploy/rules --store sqlite:data/tawny.db\n  tawny diff built-in rules --records alerts.jsonl --format json\n\nA set of rules is a folder, `built-in`, or a git revision with or without `:PATH`. Without a path the revision's copy of\nthe other folder is meant (of ./rules, where both are revisions). Records come from the journal of the store, or from a\nfile with one JSON object a line: {\"source\": name or kind, \"kind\": kind, \"body\": payload}.\n\nExit codes: 0 nothing changes, 1 something changes (0 with --exit-zero), 2 wrong usage or nothing could be compared."
)]
pub(super) struct DiffArgs {
    /// The rules before: a folder, `built-in`, or a git revision such as `main`, `HEAD~3`, `abc123:deploy/rules`
    #[arg(value_name = "RULES_A")]
    before: String,
    /// The rules after, likewise
    #[arg(value_name = "RULES_B")]
    after: String,
    /// Compares on the payloads in this file, one JSON object a line
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    records: Option<PathBuf>,
    /// The store whose journal is read [default: `store` of the settings]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Records looked at: of a store the newest
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Changes are no reason to fail
    #[arg(long)]
    exit_zero: bool,
    /// Settings file: sources, sinks, store [default: tawny.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub(super) fn diff(args: &DiffArgs) -> ExitCode {
    match run(args) {
        Ok(comparison) if comparison.changes_anything() && !args.exit_zero => ExitCode::from(EXIT_CHANGES),
        Ok(_) => ExitCode::SUCCESS,
        Err(fault) => {
            complain(&format!("{fault:#}"));
            ExitCode::from(EXIT_TROUBLE)
        }
    }
}

fn run(args: &DiffArgs) -> anyhow::Result<Comparison> {
    let common = Common { config: args.config.clone(), rules: None };
    let flags = Flags { config: common.config, store: args.store.clone(), ..Flags::default() };
    let loaded = settings::load(&flags)?;
    let ready = settings::resolve(&loaded, SecretsPolicy::Ignored)?;
    let usual = super::rules::folder(loaded.settings.rules.as_deref()).unwrap_or_else(|| PathBuf::from("rules"));
    let mut sides = rule_set::read(&args.before, &args.after, &usual)?;
    bind(&mut sides, &ready, !loaded.settings.sinks.is_empty())?;
    let [before, after] = &sides;
    let mut replay = Replay {
        ready: &ready,
        before: &before.rules,
        after: &after.rules,
        comparison: Comparison::default(),
        progress: Progress::new(args.limit),
    };
    match &args.records {
        Some(file) => replay.file(file, args.limit)?,
        None => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(replay.store(&ready.store, args.limit))?;
        }
    }
    replay.progress.end();
    let comparison = replay.comparison;
    if comparison.alert_count == 0 {
        match comparison.unreadable.first() {
            Some(first) => bail!("none of the {} records could be read; {first}", comparison.unreadable.len()),
            None => bail!("there are no records to compare on"),
        }
    }
    match args.format {
        Format::Human => show::show(&comparison, &sides),
        Format::Json => super::say(&show::in_json(&comparison, &sides).to_string()),
    }
    Ok(comparison)
}

/// Both sets get the same sinks: those of the settings and those that either names, because the other set may speak of
/// a sink that is gone or yet to come. `tawny check` says which do not exist.
fn bind(sides: &mut [Side; 2], ready: &Ready, has_sinks: bool) -> anyhow::Result<()> {
    let named = sides.iter().flat_map(|side| side.rules.named_sinks());
    let mut sinks: Vec<Arc<str>> = named.collect();
    if has_sinks || sinks.is_empty() {
        sinks.extend(ready.sinks.iter().map(|plan| plan.name.clone()));
    }
    sinks.sort();
    sinks.dedup();
    sides.iter_mut().try_for_each(|side| app::bind_sinks(&mut side.rules, &sinks))
}

/// Decides on recorded requests with both sets.
struct Replay<'r> {
    ready: &'r Ready,
    before: &'r RuleSet,
    after: &'r RuleSet,
    comparison: Comparison,
    progress: Progress,
}

/// A line of a file of records.
#[derive(Deserialize)]
struct Line {
    source: Option<String>,
    kind: Option<String>,
    /// The payload: a text, or JSON as it is.
    body: Value,
    received_at: Option<String>,
    path: Option<String>,
}

impl Replay<'_> {
    async fn store(&mut self, url: &str, limit: u64) -> anyhow::Result<()> {
        let reader = sqlite::open_to_read(url).await?;
        let open = reader.incidents(IncidentFilter::Open { count_max: OPEN_COUNT_MAX }).await?;
        self.comparison.watch(open);
        let (mut before, mut left) = (i64::MAX, limit);
        while left > 0 {
            let count_max = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
            let page = reader.records(before, count_max).await?;
            let Some(last) = page.last() else { break };
            before = last.id;
            left = left.saturating_sub(page.len() as u64);
            for record in &page {
                self.record(record);
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &RecordRow) {
        let then = recorded(record);
        let read = Payload::of_record(record).and_then(|payload| self.request(&payload, None, record.id, Some(&then)));
        if let Err(fault) = read {
            self.comparison.unreadable.push(format!("record {}: {fault:#}", record.id));
        }
        self.comparison.saw(&record.received_at);
        self.progress.step();
    }

    fn file(&mut self, file: &Path, limit: u64) -> anyhow::Result<()> {
        let place = file.display();
        let lines = std::io::BufReader::new(std::fs::File::open(file).with_context(|| place.to_string())?).lines();
        for (number, line) in (1_i64..).zip(lines).take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let line = line.with_context(|| format!("{place}:{number}"))?;
            if line.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(&line).with_context(|| {
                format!("{place}:{number}: a line must be one JSON object {{\"source\": …, \"kind\": …, \"body\": …}}")
            })?;
            let payload = line.payload().with_context(|| format!("{place}:{number}"))?;
            if let Err(fault) = self.request(&payload, line.path.as_deref(), number, None) {
                self.comparison.unreadable.push(format!("line {number}: {fault:#}"));
            }
            self.progress.step();
        }
        self.comparison.is_of_file = true;
        Ok(())
    }

    /// All alerts of one request; as in the daemon, one memo of each set serves the whole request.
    fn request(
        &mut self,
        payload: &Payload,
        path: Option<&str>,
        number: i64,
        then: Option<&Value>,
    ) -> anyhow::Result<()> {
        let instance = instance(self.ready, payload)?;
        let mut batch = decode(instance, payload, path)?;
        let mut keys: &[Value] = &[];
        if let Some(then) = then {
            keep_identities(&mut batch, then);
            keys = then["decisions"]["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
        }
        let is_complete = keys.len() == batch.alerts.len();
        let (mut memo_before, mut memo_after) = (Memo::default(), Memo::default());
        self.comparison.record_count += 1;
        for (at, alert) in batch.alerts.iter().enumerate() {
            let before = self.before.decide_in_batch(alert, instance.origin(), &mut memo_before);
            let after = self.after.decide_in_batch(alert, instance.origin(), &mut memo_after);
            // The sixth part of what the journal holds of an alert is its incident.
            let key = keys.get(at).filter(|_| is_complete).and_then(|then| then[5].as_str());
            let example = Example { number, alert: &alert.name };
            self.comparison.compare(&example, &before, &after, key.and_then(IncidentKey::parse));
        }
        Ok(())
    }
}

impl Line {
    fn payload(&self) -> anyhow::Result<Payload> {
        let Some(source) = self.source.clone().or_else(|| self.kind.clone()) else {
            bail!("`source` (a name in the settings) or `kind` must say who reads the body");
        };
        let body = match &self.body {
            Value::String(text) => text.clone().into_bytes(),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                other.to_string().into_bytes()
            }
        };
        let received_at = match &self.received_at {
            None => Clock::default().now(),
            Some(text) => {
                Timestamp::parse_rfc3339(text).with_context(|| format!("`received_at`: `{text}` is not a time"))?
            }
        };
        Ok(Payload { body, received_at, source, kind: self.kind.clone() })
    }
}

/// How far the replay is, for a person who waits at a terminal.
struct Progress {
    is_shown: bool,
    count: u64,
    limit: u64,
}

impl Progress {
    const EVERY: u64 = 250;

    fn new(limit: u64) -> Progress {
        Progress { is_shown: std::io::stderr().is_terminal(), count: 0, limit }
    }

    fn step(&mut self) {
        self.count += 1;
        if self.is_shown && self.count.is_multiple_of(Progress::EVERY) {
            let text = format!("\r{} records (at most {})", self.count, self.limit);
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    fn end(&self) {
        if self.is_shown {
            // Back to the start of the line, and what stands there is gone.
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

//! The tables of `docs/` against the program's own lists. Where a list is private, the program is asked for it by
//! a mistake: its errors name what is known.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tawny::io::spans::door;
use tawny::model::{AlertOutcome, DeliveryOutcome, NoticeKind, Reason, TagName};
use tawny::rules::{RuleSet, SourceFile};
use tawny::settings::Settings;
use tawny::sinks::{SINK_KINDS, Sink, SinkKind, SinkSettings};
use tawny::sources::{SOURCES, source_of_kind};
use tawny::telemetry::{METRICS, OutletOutcome};

use super::markdown::{assert_same, names, quoted, read, root, section, table};

const NOTICE_KINDS: [NoticeKind; 5] =
    [NoticeKind::Opened, NoticeKind::Changed, NoticeKind::Reminder, NoticeKind::Resolved, NoticeKind::Event];

fn settings_of(options: Map<String, Value>, secret_names: Vec<String>) -> SinkSettings {
    SinkSettings { name: "sink".to_owned(), endpoint: None, options, secret_names }
}

/// What an error names behind "known".
fn known(error: &str) -> Vec<String> {
    let list = ["(known: ", "; known are "].iter().find_map(|mark| error.split_once(mark));
    list.map(|(_, list)| quoted(list)).unwrap_or_default()
}

fn options_of(kind: &dyn SinkKind) -> Vec<String> {
    let wrong = Map::from_iter([("?".to_owned(), json!(1))]);
    known(&kind.build(settings_of(wrong, Vec::new())).err().expect("there is no such option"))
}

/// Needed secrets, and all that are taken.
fn secrets_of(kind: &dyn SinkKind) -> (Vec<String>, Vec<String>) {
    let mut needed: Vec<String> = Vec::new();
    loop {
        let mut names = needed.clone();
        names.push("?".to_owned());
        let error = kind.build(settings_of(Map::new(), names)).err().expect("there is no such secret");
        match error.strip_prefix("secret ") {
            Some(missing) => needed.push(quoted(missing).remove(0)),
            None => return (needed, known(&error)),
        }
    }
}

/// Options and secrets, each once.
pub fn sink_keys(kind: &dyn SinkKind) -> Vec<String> {
    let mut keys = [options_of(kind), secrets_of(kind).1].concat();
    keys.sort();
    keys.dedup();
    keys
}

fn sink_of(kind: &dyn SinkKind) -> Box<dyn Sink> {
    let (needed, _) = secrets_of(kind);
    let mut options = Map::new();
    if options_of(kind).iter().any(|option| option == "url") {
        options.insert("url".to_owned(), json!("https://example.com/"));
    }
    let mut settings = settings_of(options, needed);
    // There is no vendor whose address would be the default.
    if kind.kind() == "otlp" {
        settings.endpoint = Some("https://example.com".to_owned());
    }
    kind.build(settings).unwrap_or_else(|error| panic!("{}: {error}", kind.kind()))
}

fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds => format!("{} min", seconds / 60),
    }
}

#[test]
fn every_sink_is_described_with_its_numbers_and_settings() {
    let text = read("docs/sinks.md");
    let documented = table(&text, "kind");
    let expected: Vec<Vec<String>> = SINK_KINDS
        .iter()
        .map(|kind| {
            let sink = sink_of(*kind);
            let limits = sink.limits();
            let told: Vec<&str> =
                NOTICE_KINDS.iter().filter(|kind| sink.says(**kind)).map(|kind| kind.as_str()).collect();
            vec![
                format!("`{}`", kind.kind()),
                kind.about().to_owned(),
                if told.len() == NOTICE_KINDS.len() { "all".to_owned() } else { told.join(", ") },
                span(limits.deadline),
                limits.timeout.as_secs().to_string(),
                limits.in_flight_max.to_string(),
                limits.batch_count_max.to_string(),
            ]
        })
        .collect();
    assert_eq!(documented, expected);
    for kind in SINK_KINDS {
        let described = section(&text, &format!("## {}", kind.kind()));
        let keys = sink_keys(*kind);
        if keys.is_empty() {
            assert!(!described.contains("| setting |"), "{} has no settings", kind.kind());
            continue;
        }
        let rows = table(described, "setting");
        assert_same(kind.kind(), names(&rows), keys);
        let needed = secrets_of(*kind).0;
        for row in rows {
            let is_needed = needed.iter().any(|name| row[0] == format!("`{name}`"));
            assert_eq!(row[1] == "required, secret", is_needed, "{}: {row:?}", kind.kind());
        }
    }
}

/// What the schema of the settings says of each kind of sink.
#[test]
fn the_schema_of_the_settings_knows_every_key_of_every_sink() {
    let printed = super::tawny(&["schema", "settings"]);
    let schema: Value = serde_json::from_slice(&printed.stdout).expect("a schema is JSON");
    let branches = schema["properties"]["sinks"]["items"]["allOf"].as_array().expect("one branch per kind");
    for kind in SINK_KINDS {
        let branch = branches.iter().find(|branch| branch["if"]["properties"]["kind"]["const"] == kind.kind());
        let branch = branch.unwrap_or_else(|| panic!("the schema does not know the keys of a `{}`", kind.kind()));
        let keys = branch["then"]["properties"].as_object().expect("a mapping").keys();
        let own = keys.filter(|key| !["name", "kind", "endpoint"].contains(&key.as_str()));
        assert_same(kind.kind(), own.cloned().collect(), sink_keys(*kind));
    }
}

#[test]
fn every_source_is_described_with_its_paths_and_sizes() {
    let text = read("docs/sources.md");
    let rows = table(&text, "kind");
    assert_same("docs/sources.md", names(&rows), SOURCES.iter().map(|source| source.kind()));
    for (row, source) in rows.iter().zip(SOURCES) {
        assert_eq!(row[1], source.about());
        assert_eq!(quoted(&row[2]), source.fixed_paths());
        assert_eq!(row[3], source.body_bytes_max().to_string(), "{}", source.kind());
        assert!(!section(&text, &format!("## {}", source.kind())).is_empty());
    }
    let json = source_of_kind("json").expect("it is a kind");
    let error = json.check_options(&json!({ "?": 1 })).expect_err("there is no such target");
    let targets = known(&error);
    assert!(targets.len() > 5, "{error}");
    assert_same("targets of `json`", names(&table(section(&text, "## json"), "target")), targets);
}

#[test]
fn every_setting_is_described_with_its_default() {
    let text = read("docs/settings.md");
    let defaults = serde_json::to_value(Settings::default()).expect("settings are plain data");
    let mut expected: Vec<(String, Option<String>)> = Vec::new();
    let shown = |value: &Value| match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(format!("`{text}`")),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    for (key, value) in defaults.as_object().expect("a mapping") {
        match value.as_object() {
            Some(members) => {
                expected.extend(members.iter().map(|(name, value)| (format!("{key}.{name}"), shown(value))))
            }
            None => expected.push((key.clone(), shown(value))),
        }
    }
    let rows = table(&text, "key");
    assert_same("docs/settings.md", names(&rows), expected.iter().map(|(key, _)| key.clone()));
    for (key, default) in expected {
        let row = rows.iter().find(|row| row[0] == format!("`{key}`")).expect("both have the same keys");
        assert!(default.is_none_or(|default| row[1] == default), "{row:?}");
    }
    let entry = |section: &str, value: &str| -> Vec<String> {
        let text = format!("{section}: [{{ name: a, kind: {value} }}]");
        let settings: Settings = serde_saphyr::from_str(&text).expect("the least entry");
        let written = serde_json::to_value(settings).expect("settings are plain data");
        written[section][0].as_object().expect("a mapping").keys().cloned().collect()
    };
    let part = |heading: &str| names(&table(section(&text, heading), "key"));
    assert_same("sources", part("## An entry of `sources`"), entry("sources", "json"));
    assert_same("sinks", part("## An entry of `sinks`"), entry("sinks", "console"));
}

#[test]
fn every_metric_is_described() {
    let text = read("docs/metrics.md");
    let documented: Vec<Vec<String>> =
        table(&text, "metric").into_iter().map(|row| vec![row[0].clone(), row[1].clone(), row[3].clone()]).collect();
    let known: Vec<Vec<String>> = METRICS
        .iter()
        .map(|(name, unit, about)| vec![format!("`{name}`"), (*unit).to_owned(), (*about).to_owned()])
        .collect();
    assert_eq!(documented.len(), known.len());
    for row in known {
        assert!(documented.contains(&row), "docs/metrics.md has no row {row:?}");
    }
}

#[test]
fn every_outcome_and_reason_is_described() {
    let text = read("docs/metrics.md");
    let part = |heading: &str, column: &str| table(section(&text, heading), column);
    assert_same(
        "outcomes of alerts",
        names(&part("## Outcomes of alerts", "outcome")),
        AlertOutcome::ALL.map(AlertOutcome::as_str),
    );
    let of_requests = "## Outcomes of requests of telemetry (`tawny_telemetry_requests_total`)";
    assert_same(
        "outcomes of requests of telemetry",
        names(&part(of_requests, "outcome")),
        door::Outcome::ALL.map(door::Outcome::as_str),
    );
    let of_telemetry = "## Outcomes of telemetry (`tawny_outlet_settled_total`)";
    assert_same(
        "outcomes of telemetry",
        names(&part(of_telemetry, "outcome")),
        OutletOutcome::ALL.map(OutletOutcome::as_str),
    );
    let ends = [DeliveryOutcome::Delivered, DeliveryOutcome::Superseded, DeliveryOutcome::Dead];
    assert_same(
        "outcomes of deliveries",
        names(&part("## Outcomes of deliveries", "outcome")),
        ends.map(DeliveryOutcome::as_str),
    );
    let notices = part("## Kinds and reasons of notices", "kind");
    assert_same("kinds of notices", names(&notices), NOTICE_KINDS.map(NoticeKind::as_str));
    let reasons = notices.iter().flat_map(|row| quoted(&row[1])).collect();
    assert_same("reasons of notices", reasons, Reason::ALL.map(Reason::as_str));
}

/// The hint of the first fault in a rule file.
fn hint(text: &str) -> String {
    let mut files = RuleSet::built_in_files();
    files.push(SourceFile { name: "example.yaml".to_owned(), text: text.to_owned() });
    let faults = RuleSet::compile(&files).expect_err("it was written to be wrong");
    faults.into_iter().find_map(|fault| fault.hint).expect("the fault comes with a hint")
}

#[test]
fn every_tag_scope_and_matcher_is_described() {
    let text = read("docs/rules.md");
    assert_same("tags", names(&table(section(&text, "## Tags"), "tag")), TagName::ALL.map(TagName::as_str));
    let rule =
        |when: &str| format!("version: 1\nkind: platform\nrules:\n- {{ id: x, when: {when}, set: {{ cell: a }} }}\n");
    let matchers = hint(&rule("{ label.x: {} }"));
    let matchers = matchers.trim_start_matches("known: ").split(", ").map(str::to_owned);
    let documented = names(&table(section(&text, "## Matchers"), "matcher"));
    // A plain text and a list have no key.
    let documented = documented.into_iter().filter(|name| !name.starts_with("a ")).collect();
    assert_same("matchers", documented, matchers);
    let scopes = hint(&rule("{ qqqqqqqqqq.x: a }"));
    let (_, scopes) = scopes.split_once(": ").expect("the hint lists them");
    let scopes = scopes.split_whitespace().map(|scope| scope.trim_end_matches('.').to_owned());
    let documented = table(section(&text, "## Keys"), "scope").iter().flat_map(|row| quoted(&row[0])).collect();
    assert_same("scopes", documented, scopes);
}

#[test]
fn every_path_is_described() {
    let mut routes: Vec<String> = Vec::new();
    for file in ["src/web/api.rs", "src/web/alertmanager.rs"] {
        let source = std::fs::read_to_string(root().join(file)).expect("a source file is text");
        let paths = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
        routes.extend(paths.map(str::to_owned));
    }
    let text = read("docs/api.md");
    let documented = table(section(&text, "## Reading"), "path").iter().flat_map(|row| quoted(&row[0])).collect();
    assert_same("docs/api.md", documented, routes);
}

/// The keys of an object in the golden files of a sink, over all of its notices.
fn sent(kind: &str, pointer: &str) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for notice in ["opened", "changed", "acknowledged", "resolved"] {
        let text = read(&format!("tests/fixtures/sinks/{kind}/{notice}.json"));
        let body: Value = serde_json::from_str(&text).expect("a golden file is JSON");
        let object = body.pointer(pointer).and_then(Value::as_object);
        keys.extend(object.unwrap_or_else(|| panic!("{kind}/{notice}: nothing at `{pointer}`")).keys().cloned());
    }
    keys.sort();
    keys.dedup();
    keys
}

/// The words between two marks, separated by commas.
fn listed(text: &str, from: &str, to: &str) -> Vec<String> {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no `{from}`"));
    let list = rest.split(to).next().unwrap_or_default();
    list.split(',').map(|word| word.trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn every_field_of_our_own_that_a_sink_sends_is_described() {
    let text = read("docs/sinks.md");
    let part = |kind: &str| section(&text, &format!("## {kind}"));
    for (kind, pointer, documented) in [
        ("pagerduty", "/payload/custom_details", listed(part("pagerduty"), "`tawny.*`: ", ";")),
        ("honeycomb", "/0/data", listed(part("honeycomb"), "`tawny.*` | ", " |")),
    ] {
        for field in sent(kind, pointer).iter().filter_map(|key| key.strip_prefix("tawny.")) {
            assert!(documented.iter().any(|known| known == field), "{kind} sends `tawny.{field}`: {documented:?}");
        }
    }
    let documented = quoted(part("webhook").split_once("`data` holds").expect("it is described").1);
    for field in sent("webhook", "/data") {
        assert!(documented.contains(&field), "webhook sends `{field}`");
    }
}

//! What people write wrong, and where they are told so: precedence, places, hints, and secrets that show up
//! nowhere.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const SECRET: &str = "hunter2-do-not-print";

/// A folder with a `tawny.yaml`, and an environment.
struct Home {
    folder: TempDir,
    environment: HashMap<String, String>,
    flags: Flags,
}

impl Home {
    fn new(yaml: &str) -> Home {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tawny.yaml");
        std::fs::write(&path, yaml).unwrap();
        Home { folder, environment: HashMap::new(), flags: Flags { config: Some(path), ..Flags::default() } }
    }

    fn env(mut self, name: &str, value: &str) -> Home {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn load(&self) -> Result<Loaded, SettingsError> {
        file::merge(&self.flags, Some(self.environment.clone()))
    }

    fn settings(&self) -> Settings {
        self.load().unwrap_or_else(|error| panic!("{error}")).settings
    }

    fn resolve(&self) -> Result<Ready, SettingsError> {
        resolve(&self.load()?, SecretsPolicy::Required)
    }

    /// `line:column` and text of the error that the start ends with.
    fn fault(&self) -> (String, String) {
        let error = self.resolve().err().expect("this must not start");
        let place = error.place.rsplit_once("tawny.yaml:").map_or(error.place.clone(), |(_, place)| place.to_owned());
        let text = error.to_string();
        assert!(!format!("{text} {error:?}").contains(SECRET), "a secret was printed");
        (place, text)
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let mut home = Home::new("store: sqlite:file.db\nlisten: 127.0.0.1:1\nrules: from-file\nlog: { filter: warn }\n");
    assert_eq!(home.settings().store, "sqlite:file.db");
    home = home.env("TAWNY__STORE", "sqlite:env.db").env("TAWNY__LOG__FILTER", "debug").env("TAWNY__RULES", "env");
    assert_eq!((home.settings().store, home.settings().log.filter), ("sqlite:env.db".to_owned(), "debug".to_owned()));
    home.flags.store = Some("sqlite:flag.db".to_owned());
    home.flags.rules = Some("flag".into());
    home.flags.listen = Some("127.0.0.1:3".to_owned());
    let ready = home.resolve().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ready.store, "sqlite:flag.db");
    assert_eq!(ready.listen, ["127.0.0.1:3".parse::<SocketAddr>().unwrap()]);
    assert_eq!(home.settings().rules, Some("flag".into()));
    assert_eq!(home.settings().limits.header_seconds, LimitSettings::default().header_seconds);
}

#[test]
fn one_nested_value_from_the_environment_leaves_its_neighbours_alone() {
    let home = Home::new("limits: { header_seconds: 3, body_seconds: 4 }\nretention: { age: 2d }\n")
        .env("TAWNY__LIMITS__BODY_SECONDS", "9")
        .env("TAWNY__RETENTION__BYTES", "1000");
    let settings = home.settings();
    assert_eq!((settings.limits.header_seconds, settings.limits.body_seconds), (3, 9));
    assert_eq!((settings.retention.age.as_str(), settings.retention.bytes.as_str()), ("2d", "1000"));
}

#[test]
fn constants_stay_the_text_that_was_written() {
    let home = Home::new(
        "sources:\n  - name: eks\n    kind: alertmanager\n    constants:\n      account: 111111111111\n      zero: 012345678901\n      \
         Region: us-east-1\n      app.kubernetes.io/name: owl\n      version: 1.10\n      on: yes\n      big: 123456789012345678901234567890\n",
    );
    let settings = home.settings();
    let constants = &settings.sources[0].constants;
    for (name, value) in [
        ("account", "111111111111"),
        ("zero", "012345678901"),
        ("Region", "us-east-1"),
        ("app.kubernetes.io/name", "owl"),
        ("version", "1.10"),
        ("on", "yes"),
        ("big", "123456789012345678901234567890"),
    ] {
        assert_eq!(constants.get(name), Some(value), "{name}: {constants:?}");
    }
}

#[test]
fn each_fault_names_its_line_and_what_was_wrong() {
    for (yaml, place, words) in [
        ("store: x\nlisten: [\n", "", ""),
        ("stoer: x\n", "1:1", "did you mean `store`?"),
        ("store: x\nlimits:\n  header_secs: 3\n", "3:3", "did you mean `header_seconds`?"),
        ("limits:\n  connections: many\n", "2:16", ""),
        ("store: x\nlimits:\n  in_flight_bytes: 1000\n", "3:3", "write at least 1048576"),
        ("store: a\nstore: b\n", "2:1", ""),
        ("sources:\n  - { name: a, kind: alertmanager, tokn: x }\n", "2:", "did you mean `token`?"),
        ("sources:\n  - { name: a, kind: alertmanger }\n", "2:16", "unknown kind of source `alertmanger`"),
        ("sources:\n  - { name: a b, kind: json }\n", "2:7", "cannot be part of an address"),
        ("sources:\n  - { name: a, kind: json, holds_for: soon }\n", "2:28", "`soon` is not a duration"),
        ("sources:\n  - { name: a, kind: json, holds_for: 0s }\n", "2:28", "`0s`: an alert would be over as soon"),
        ("sources:\n  - { name: a, kind: json, auth: nope }\n", "2:28", "the only word here is `none`"),
        ("sources:\n  - { name: a, kind: json }\n  - { name: a, kind: json }\n", "2:7", "two entries"),
        ("listen: '[::]:9393'\nsources:\n  - { name: a, kind: alertmanager }\n", "3:7", "no authentication"),
        ("listen: '0.0.0.0:1'\n", "1:1", "they need a loopback address"),
        ("listen: nowhere\n", "1:1", "`nowhere` is not an address"),
        ("store: x\nretention: { age: long }\n", "2:14", "`long` is not a duration"),
        ("store: x\nretention: { bytes: 3 elephants }\n", "2:14", "`3 elephants` is not a size"),
        (
            "store: x\notlp: { in_flight_bytes: 143MiB }\n",
            "2:9",
            "must be at least two and a quarter times `otlp.request_bytes`",
        ),
        ("spans: { durability: spool, spool_bytes: 100MiB }\n", "1:29", "must be at least twice `otlp.request_bytes`"),
        ("store: x\notlp:\n  json: strict\n  connections: 0\n", "4:3", "a door for nobody"),
        ("otlp:\n  idle: 0s\n", "2:3", "every connection would be closed at once"),
        ("otlp:\n  path_prefix: otlp\n", "2:3", "`otlp` is no path"),
        ("otlp:\n  path_prefix: /a b\n", "2:3", "`/a b` is no path"),
        (
            "otlp:\n  cors_origins: [https://a.example, 'https://b.example/']\n",
            "2:3",
            "`https://b.example/` is no origin",
        ),
        ("otlp:\n  cors_origins: [https://a.example:443]\n", "2:3", "without the usual port"),
        ("otlp:\n  cors_origins: ['https://*.example']\n", "2:3", "`https://*.example` is no origin"),
        ("spans: { routes: [ { owner: [a] } ] }\n", "1:", "missing field `to`"),
        ("spans: { attributes: { cell: service.name } }\n", "1:10", "`service.name` has a meaning of its own"),
        ("spans: { attribute_prefix: '', attributes: { owner: error } }\n", "1:32", "`error` has a meaning of its own"),
        (
            "sinks:\n  - { name: c, kind: console }\nspans:\n  to: [c]\n",
            "4:3",
            "sink `c` is of kind `console`, which takes no telemetry",
        ),
        ("sinks:\n  - { name: p, kind: pagerdty }\n", "2:16", "unknown kind of sink"),
        ("retention: { age: 0s }\n", "1:1", "`0s`: nothing would be kept"),
        ("retention: { bytes: 0 }\n", "1:1", "`0` is not a size"),
        ("store: x\nlimits: { connections: 0 }\n", "2:1", "`limits.connections` is 0"),
        ("store: x\nlimits: { body_seconds: 0 }\n", "2:1", "`limits.body_seconds` is 0"),
        ("rules: r\nstore: tawny.db\n", "2:1", "no address of a SQLite file"),
        ("rules: r\nstore: 'postgres://x/y'\n", "2:1", "SQLite only"),
        ("store: 'sqlite::memory:'\n", "1:1", "would lose alerts"),
        ("foo: 1\n", "1:1", "unknown field `foo`"),
        (
            "sinks:\n  - name: p\n    kind: pagerduty\n    routing_key: { env: TAWNY_NOBODY_SETS_THIS }\n",
            "4:5",
            "is not set",
        ),
        (
            "sinks:\n  - name: p\n    kind: pagerduty\n    routing_key: { file: /nowhere/at/all }\n",
            "4:5",
            "/nowhere/at/all",
        ),
    ] {
        let (found, text) = Home::new(yaml).fault();
        assert!(found.starts_with(place), "{yaml}: at {found}, not {place}: {text}");
        assert!(text.contains("tawny.yaml:"), "{yaml}: no line in: {text}");
        assert!(text.contains(words), "{yaml}: {text}");
    }
}

#[test]
fn lists_of_words_can_come_from_the_environment() {
    let home = Home::new(
        "sinks:\n  - { name: a, kind: otlp, endpoint: 'http://127.0.0.1:1' }\n  - { name: b, kind: otlp, endpoint: 'http://127.0.0.1:2' }\n",
    );
    let home = home.env("TAWNY__SPANS__TO", "b, a").env("TAWNY__OTLP__GRPC", "127.0.0.1:0,[::1]:0");
    let ready = home.resolve().unwrap();
    assert_eq!(ready.telemetry.sinks, ["b", "a"]);
    assert_eq!(ready.telemetry.listen.iter().filter(|(_, is_default)| !is_default).count(), 2);
}

#[test]
fn an_unknown_key_in_the_environment_stops_the_start_and_is_named() {
    for (name, value, words) in [
        ("TAWNY__STOER", "sqlite:x.db", "stoer"),
        ("TAWNY__LIMITS__HEADER_SECS", "3", "header_secs"),
        ("TAWNY__LIMITS__HEADER_SECONDS", "soon", "header_seconds"),
        ("TAWNY__LOG__FORMAT", "loud", "loud"),
        ("TAWNY__ROUTING_KEY", SECRET, "routing_key"),
        ("TAWNY__SINKS__PAGER__ROUTING_KEY", SECRET, "sinks"),
        ("TAWNY__SOURCES", SECRET, "sources"),
    ] {
        let (place, text) = Home::new("store: x\n").env(name, value).fault();
        assert!(text.contains(words), "{name}: {text}");
        assert_eq!(place, name);
    }
}

#[test]
fn lists_and_mappings_come_from_the_environment_as_json() {
    let home = Home::new("sinks:\n  - { name: file, kind: console }\nspans: { existing: keep }\n")
        .env("TAWNY__SINKS", r#"[{"name":"t","kind":"otlp","endpoint":"http://127.0.0.1:4318"}]"#)
        .env("TAWNY__SOURCES", r#"[{"name":"a","kind":"json","options":{"identity":"/id"}}]"#)
        .env("TAWNY__LISTEN", r#"["127.0.0.1:1","[::1]:1"]"#)
        .env("TAWNY__SPANS__TO", r#"["t"]"#)
        .env("TAWNY__SPANS__ATTRIBUTES", r#"{"cell":"cell.id"}"#);
    let settings = home.settings();
    assert_eq!((settings.sinks.len(), settings.sinks[0].name.as_str()), (1, "t"));
    assert_eq!((settings.sources.len(), settings.spans.to.to_vec()), (1, vec!["t".to_owned()]));
    assert!(matches!(settings.spans.existing, crate::model::Existing::Keep), "its neighbours stay");
    assert_eq!(home.resolve().unwrap_or_else(|error| panic!("{error}")).listen.len(), 2);
    let (place, text) = Home::new("").env("TAWNY__SINKS", r#"[{"name":"t"}]"#).fault();
    assert_eq!(place, "TAWNY__SINKS", "{text}");
}

#[test]
fn a_state_may_be_a_number_a_boolean_or_a_word_and_a_slip_is_told_at_the_start() {
    let states = "  - name: kuma\n    kind: json\n    options:\n      states: { 0: firing, 1: resolved, true: info, In Wartung: suppressed }\n";
    let settings = Home::new(&format!("sources:\n{states}")).settings();
    let expected = serde_json::json!({ "0": "firing", "1": "resolved", "true": "info", "In Wartung": "suppressed" });
    assert_eq!(settings.sources[0].options["states"], expected);
    let wrong = states.replace("1: resolved", "1: up");
    let (place, text) = Home::new(&format!("sources:\n{wrong}")).fault();
    assert!(place == "4:5" && text.contains("`1` is \"up\", expected one of `firing`"), "{place} {text}");
}

#[test]
fn a_fault_from_the_environment_is_not_blamed_on_the_file() {
    for (name, value) in [("TAWNY__RETENTION__AGE", "long"), ("TAWNY__LISTEN", "nowhere")] {
        let (place, text) = Home::new("retention: { age: 2d }\nlisten: 127.0.0.1:1\n").env(name, value).fault();
        assert!(text.contains(name), "{name}: {text} at {place}");
    }
}

#[test]
fn a_secret_written_into_the_settings_is_refused_without_repeating_it() {
    for yaml in [
        format!("sources:\n  - {{ name: a, kind: json, token: {SECRET} }}\n"),
        format!("sources:\n  - {{ name: a, kind: json, token: {{ evn: {SECRET} }} }}\n"),
        format!("sinks:\n  - {{ name: p, kind: pagerduty, routing_key: {SECRET} }}\n"),
        format!("sinks:\n  - {{ name: p, kind: sentry, dsn: 'https://{SECRET}@sentry.io/1' }}\n"),
        format!("sinks:\n  - {{ name: p, kind: honeycomb, api_key: {SECRET}, dataset: alerts }}\n"),
        format!("sinks:\n  - {{ name: p, kind: webhook, endpoint: 'https://x', secret: {SECRET} }}\n"),
    ] {
        let (place, text) = Home::new(&yaml).fault();
        assert!(place.starts_with("2:"), "{yaml}: {text}");
        assert!(text.contains("{ env: NAME }"), "{yaml}: says not how it is given: {text}");
    }
}

#[test]
fn a_route_whose_sinks_leave_signals_out_is_warned_of_by_name() {
    let sinks = "sinks:\n  - { name: a, kind: otlp, endpoint: 'http://127.0.0.1:1' }\n  - { name: b, kind: otlp, endpoint: 'http://127.0.0.1:1', signals: [traces] }\n  - { name: c, kind: otlp, endpoint: 'http://127.0.0.1:1', signals: [logs, metrics] }\n";
    let warnings = |spans: &str| {
        let home = Home::new(&format!("{sinks}spans:\n{spans}"));
        let ready = home.resolve().unwrap_or_else(|error| panic!("{error}"));
        ready.telemetry.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let found = warnings("  to: [a]\n  routes:\n    - { owner: [owl], to: [b] }\n");
    let [only] = found.as_slice() else { panic!("{found:?}") };
    for part in
        ["tawny.yaml:7:3  ", "`spans.routes`", "(owner: owl)", "`b`", "nobody there takes logs, metrics, profiles:"]
    {
        assert!(only.contains(part), "{part}: {only}");
    }
    let found = warnings("  to: [b]\n");
    assert!(
        found.len() == 1 && found[0].contains("`spans.to`") && found[0].contains("takes logs, metrics:"),
        "{found:?}"
    );
    for silent in [
        "  to: [a]\n",
        "  to: []\n  routes: [{ to: [] }]\n",
        "  to: [b, c]\n",
        "  to: [a]\n  routes: [{ env: [test], to: [b, a] }, { to: [] }]\n",
    ] {
        assert_eq!(warnings(silent), [""; 0], "{silent}");
    }
}

#[test]
fn a_secret_without_the_form_that_its_sink_needs_stops_the_start_and_not_the_first_page() {
    let home = Home::new("");
    let path = home.file("key", "hunter2-hunter2");
    for (rest, key) in [
        ("kind: pagerduty, routing_key", "routing_key"),
        ("kind: sentry, dsn", "dsn"),
        ("kind: webhook, url: 'http://x/', secret", "secret"),
    ] {
        home.file("tawny.yaml", &format!("sinks:\n  - {{ name: p, {rest}: {{ file: {} }} }}\n", path.display()));
        let (place, text) = home.fault();
        assert!(place.starts_with("2:") && text.contains(&format!("`{key}`")), "{rest}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let own = "sinks:\n  - { name: p, kind: pagerduty, endpoint: 'http://127.0.0.1:1/in/pd', routing_key: { file: ";
    home.file("tawny.yaml", &format!("{own}{} }} }}\n", path.display()));
    home.resolve().unwrap_or_else(|error| panic!("whoever speaks PagerDuty's language has keys of its own: {error}"));
}

#[test]
fn a_secret_from_a_file_shows_in_no_debug_output_and_an_empty_one_stops_the_start() {
    let home = Home::new("");
    let path = home.file("pd", &format!("{SECRET}\n"));
    let yaml = format!(
        "sinks:\n  - {{ name: p, kind: pagerduty, endpoint: 'http://127.0.0.1:1', routing_key: {{ file: {} }} }}\n",
        path.display()
    );
    home.file("tawny.yaml", &yaml);
    let ready = home.resolve().unwrap_or_else(|error| panic!("{error}"));
    assert!(!format!("{:?} {:?}", home.load(), ready.sinks[0].secrets).contains(SECRET));
    home.file("pd", " \n");
    let (place, text) = home.fault();
    assert!(place.starts_with("2:") && text.contains("is empty"), "{text}");
}

#[test]
fn a_secret_may_stand_inside_a_mapping_and_is_found_on_both_sides_of_the_sink() {
    let home = Home::new("");
    let path = home.file("key", SECRET);
    let yaml = format!(
        "sinks:\n  - name: t\n    kind: otlp\n    endpoint: http://127.0.0.1:4318\n    headers: {{ x-tenant: owl, x-api-key: {{ file: {} }} }}\n",
        path.display()
    );
    home.file("tawny.yaml", &yaml);
    let mut ready = home.resolve().unwrap_or_else(|error| panic!("{error}"));
    let telemetry = ready.sinks[0].telemetry.take().expect("the kind takes telemetry");
    let headers = telemetry.sink.headers(crate::model::Signal::Traces, &telemetry.secrets).unwrap();
    assert!(headers.contains(&("x-api-key".into(), SECRET.to_owned())));
    assert!(headers.contains(&("x-tenant".into(), "owl".to_owned())));
    assert!(!format!("{:?} {:?}", home.load(), telemetry.secrets).contains(SECRET));
    home.file("tawny.yaml", &yaml.replace("/key", "/nowhere"));
    let (place, text) = home.fault();
    assert!(place.starts_with("5:") && text.contains("nowhere"), "{place}: {text}");
    home.file("tawny.yaml", &yaml.replace("headers:", "protocol:"));
    let (place, text) = home.fault();
    assert!(place.starts_with("5:") && text.contains("`protocol.x-api-key` is no secret"), "{place}: {text}");
}

#[test]
fn a_file_that_was_named_must_be_there_and_an_empty_one_is_all_defaults() {
    let mut home = Home::new("# nothing\n\n");
    assert_eq!(home.settings().store, Settings::default().store);
    home.flags.config = Some(home.folder.path().join("absent.yaml"));
    assert!(home.load().unwrap_err().place.ends_with("absent.yaml"));
}

#[test]
fn spans_and_sizes_have_units_and_absurd_ones_are_refused() {
    assert_eq!(parse_span(" 30d "), Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(parse_span("250ms"), Some(Duration::from_millis(250)));
    for text in ["", "5", "m", "5 m", "-5m", "1.5h", "5M", "99999999999999999999s", "18446744073709551615d", "٣s"] {
        assert_eq!(parse_span(text), None, "{text}");
    }
    assert_eq!((parse_bytes("10GiB"), parse_bytes("7"), parse_bytes("1 KiB")), (Some(10 << 30), Some(7), Some(1024)));
    for text in ["", "GiB", "10GB", "-1", "18446744073709551615TiB"] {
        assert_eq!(parse_bytes(text), None, "{text}");
    }
}

//! Holds the documents against the program: each kind, option, metric, tag and path is described once and none
//! besides, and each example works. Never checks how a sentence is worded.

mod markdown;
mod references;

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tawny::rules::{RuleSet, SourceFile};
use tawny::settings::{self, Flags, Loaded, SecretsPolicy, Settings};
use tawny::sinks::SINK_KINDS;
use tawny::sources::SOURCES;

use markdown::{assert_same, blocks, read, root};

const DOCUMENTS: [&str; 11] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/settings.md",
    "docs/sources.md",
    "docs/sinks.md",
    "docs/rules.md",
    "docs/rules-reference.md",
    "docs/rules-tests.md",
    "docs/metrics.md",
    "docs/api.md",
];

fn tawny(arguments: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_tawny")).args(arguments).current_dir(root()).output();
    run.expect("the binary was built with this test")
}

fn load(path: PathBuf) -> Loaded {
    settings::load(&Flags { config: Some(path), ..Flags::default() }).unwrap_or_else(|fault| panic!("{fault}"))
}

fn as_json(settings: &Settings) -> Value {
    serde_json::to_value(settings).expect("settings are plain data")
}

fn keys(value: &Value) -> Vec<String> {
    value.as_object().expect("a mapping").keys().cloned().collect()
}

/// The example settings with each setting that is commented out taken in: `#key`, or `#` and two blanks.
fn with_all_examples() -> String {
    let take_in = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("  ") || rest.starts_with(|first: char| first.is_alphabetic()) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    read("deploy/tawny.yaml").lines().map(|line| take_in(line) + "\n").collect()
}

#[test]
fn the_example_settings_are_the_defaults() {
    let loaded = load(root().join("deploy/tawny.yaml"));
    assert_eq!(as_json(&loaded.settings), as_json(&Settings::default()));
    let ready = settings::resolve(&loaded, SecretsPolicy::Required).unwrap_or_else(|fault| panic!("{fault}"));
    assert!(ready.listen.iter().all(|address| address.ip().is_loopback()));
}

#[test]
fn the_example_settings_name_every_key_and_each_example_in_them_is_valid() {
    let home = tempfile::tempdir().expect("a place for a file");
    let path = home.path().join("tawny.yaml");
    std::fs::write(&path, with_all_examples()).expect("the place can be written");
    let loaded = load(path);
    let ready = settings::resolve(&loaded, SecretsPolicy::Ignored).unwrap_or_else(|fault| panic!("{fault}"));
    let defaults = settings::load(&Flags::default()).expect("there is no settings file here");
    let defaults = settings::resolve(&defaults, SecretsPolicy::Ignored).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(ready.listen, defaults.listen, "the default address is written as it is");

    let written: Value = serde_saphyr::from_str(&with_all_examples()).expect("it was loaded before");
    let all = as_json(&Settings::default());
    assert_same("deploy/tawny.yaml", keys(&written), keys(&all));
    for section in ["limits", "retention", "log"] {
        assert_same(section, keys(&written[section]), keys(&all[section]));
    }
    let entries = |section: &str, kind: &str| -> Vec<String> {
        let entries = written[section].as_array().expect("a list").iter();
        let mut found: Vec<String> =
            entries.filter(|entry| kind.is_empty() || entry["kind"] == kind).flat_map(keys).collect();
        found.sort();
        found.dedup();
        found
    };
    let a_source = serde_json::to_value(&loaded.settings.sources[0]).expect("settings are plain data");
    assert_same("sources", entries("sources", ""), keys(&a_source));
    for kind in SINK_KINDS {
        let written = entries("sinks", kind.kind());
        for key in references::sink_keys(*kind) {
            assert!(written.contains(&key), "deploy/tawny.yaml shows no `{key}` of a `{}`", kind.kind());
        }
    }
}

#[test]
fn every_rule_example_compiles() {
    const REST: &str = "- { id: example-rest, when: {} }\n";
    let mut example_count = 0;
    for (info, body) in blocks(&read("docs/rules.md")) {
        let file = |name: &str, text: String| SourceFile { name: name.to_owned(), text };
        let mut files = match info.as_str() {
            "yaml rules" | "yaml routes" => RuleSet::built_in_files(),
            "yaml file" => {
                let mut files = vec![file("routes.yaml", format!("version: 1\nkind: routes\nroutes:\n{REST}"))];
                // What the example of catalogues imports.
                let owned = |name: &str| format!("schema-version: v2.2\ndd-service: {name}\nteam: owl\n");
                let component = "kind: Component\nmetadata: { name: lessons }\nspec: { owner: owl }\n";
                for (name, text) in [
                    ("catalog/lessons/catalog-info.yaml", component.to_owned()),
                    ("services/payments/service.datadog.yaml", owned("payments")),
                    ("dd/checkout.yaml", owned("checkout")),
                    ("CODEOWNERS", "/services/owl/ @example/owl\n".to_owned()),
                ] {
                    files.push(file(name, text));
                }
                files
            }
            other => panic!("a block of `{other}` in docs/rules.md: say `yaml rules`, `yaml routes` or `yaml file`"),
        };
        match info.as_str() {
            "yaml rules" => {
                files.push(file("example.yaml", format!("version: 1\nkind: services\nrules:\n{body}")));
            }
            "yaml routes" => {
                files.retain(|file| file.name != "routes.yaml");
                files.push(file("routes.yaml", format!("version: 1\nkind: routes\nroutes:\n{body}{REST}")));
            }
            _ => files.push(file("example.yaml", body)),
        }
        if let Err(faults) = RuleSet::compile(&files) {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("docs/rules.md:\n{}", faults.join("\n"));
        }
        example_count += 1;
    }
    assert!(example_count >= 6, "{example_count} examples");
}

#[test]
fn every_example_of_a_test_holds() {
    let mut example_count = 0;
    let blocks = blocks(&read("docs/rules-tests.md"));
    for (_, body) in blocks.into_iter().filter(|(info, _)| info == "yaml tests") {
        let mut files = RuleSet::built_in_files();
        let text = format!("version: 1\ntests:\n{body}");
        files.push(SourceFile { name: "tests/example.yaml".to_owned(), text });
        let report = tawny::stories::run_stories(&RuleSet::built_in(), &files);
        let wrongs: Vec<String> = report.wrongs().map(ToString::to_string).collect();
        assert!(report.is_good(), "docs/rules-tests.md:\n{}", wrongs.join("\n"));
        example_count += 1;
    }
    assert!(example_count >= 3, "{example_count} examples");
}

#[test]
fn the_settings_in_the_documents_load() {
    let home = tempfile::tempdir().expect("a place for a file");
    let mut example_count = 0;
    for document in ["README.md", "docs/sources.md"] {
        for (_, body) in blocks(&read(document))
            .into_iter()
            .filter(|(info, body)| info == "yaml" && (body.starts_with("listen:") || body.starts_with("sources:")))
        {
            let path = home.path().join("tawny.yaml");
            std::fs::write(&path, body).expect("the place can be written");
            let resolved = settings::resolve(&load(path), SecretsPolicy::Ignored);
            resolved.unwrap_or_else(|fault| panic!("{document}: {fault}"));
            example_count += 1;
        }
    }
    assert_eq!(example_count, 3);
}

/// `tawny WORD …` lines of shell blocks.
fn commands() -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for document in DOCUMENTS {
        for (_, body) in blocks(&read(document)).into_iter().filter(|(info, _)| info == "sh") {
            found
                .extend(body.lines().filter(|line| line.starts_with("tawny ")).map(|line| (document, line.to_owned())));
        }
    }
    found
}

#[test]
fn every_command_in_the_documents_exists_with_its_flags() {
    let commands = commands();
    assert!(commands.len() >= 4, "{commands:?}");
    for (document, line) in commands {
        let line = line.split(" #").next().unwrap_or_default();
        let mut words = line.split_whitespace().skip(1);
        let command = words.next().unwrap_or_default();
        let help = tawny(&[command, "--help"]);
        assert!(help.status.success(), "{document}: `{line}`: there is no such command");
        let help = String::from_utf8_lossy(&help.stdout);
        for flag in words.filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "{document}: `{line}`: there is no `{flag}`");
        }
    }
}

#[test]
fn the_readme_shows_what_the_daemon_prints() {
    let explained = tawny(&[
        "explain",
        "examples/alertmanager-firing.json",
        "--source",
        "alertmanager",
        "--rules",
        "rules",
        "--format",
        "json",
    ]);
    assert!(explained.status.success(), "{}", String::from_utf8_lossy(&explained.stderr));
    let explained: Value = serde_json::from_slice(&explained.stdout).expect("JSON was asked for");
    let printed = explained["alerts"][0]["requests"][0]["print"].as_str().expect("the default sink prints");
    let readme = read("README.md");
    assert!(readme.contains(printed.trim_end()), "README.md shows something else than:\n{printed}");
}

#[test]
fn every_example_is_understood_by_its_source() {
    let mut example_count = 0;
    for entry in std::fs::read_dir(root().join("examples")).expect("there are examples").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kinds = SOURCES.iter().map(|source| source.kind());
        // The longest: `alertmanager-api.json` is not one of `alertmanager`.
        let kind = kinds.filter(|kind| name.starts_with(kind)).max_by_key(|kind| kind.len());
        let kind = kind.unwrap_or_else(|| panic!("examples/{name} begins with no kind of source"));
        let explained = tawny(&["explain", &format!("examples/{name}"), "--source", kind, "--rules", "rules"]);
        let shown = String::from_utf8_lossy(&explained.stdout).into_owned();
        assert!(explained.status.success() && !shown.contains("REJECTED"), "examples/{name}:\n{shown}");
        example_count += 1;
    }
    assert!(example_count >= SOURCES.len(), "{example_count} examples");
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        let folder = root().join(document).parent().expect("a file has a folder").to_owned();
        let text = read(document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if !target.starts_with("http") && !folder.join(path).exists() {
                faults.push(format!("{document}: `{target}` is not there"));
            }
        }
        for path in markdown::quoted(&text) {
            let is_ours =
                ["tests/", "src/", "examples/", "scripts/", "deploy/"].iter().any(|top| path.starts_with(top));
            if is_ours && !path.contains(['*', ' ']) && !root().join(&path).exists() {
                faults.push(format!("{document}: `{path}` is not there"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

//! The walls of the house, read from the sources: who may know whom, what the pure layers may not do, how large a
//! file may grow, what must be registered. Each failure is a sentence; never checks what clippy checks.

mod scan;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use scan::{code_only, crate_paths, test_modules, without_tests};

/// Layers and what each may know, besides itself. A layer that is not here is not in the house.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("rules", &["model"]),
    ("incidents", &["model", "rules"]),
    ("otlp", &["model", "rules"]),
    ("evidence", &["model", "rules"]),
    ("sources", &["model"]),
    ("sinks", &["model"]),
    ("telemetry", &["model"]),
    ("stories", &["model", "rules", "incidents", "sources"]),
    ("store", &["model", "rules", "incidents", "otlp", "evidence", "sources", "sinks", "telemetry"]),
    ("io", &["model", "rules", "incidents", "stories", "otlp", "evidence", "sources", "sinks", "telemetry", "store"]),
    (
        "web",
        &["model", "rules", "incidents", "stories", "otlp", "evidence", "sources", "sinks", "telemetry", "store", "io"],
    ),
    ("stand_ins", &["model"]),
];

/// These wire the others and may know everyone.
const WIRING: [&str; 5] = ["app", "cli", "settings", "main", "lib"];

const PURE: [&str; 8] = ["model", "rules", "incidents", "stories", "otlp", "evidence", "sources", "sinks"];

/// What only the world does, with the reason it is kept out of the pure layers.
const IMPURE: &[(&str, &str)] = &[
    (r"\btokio\b", "pure code does not wait"),
    (r"\.await\b", "pure code does not wait"),
    (r"\basync\b", "pure code does not wait"),
    (r"\bstd::(fs|process|thread|env)\b", "pure code touches neither files nor the process"),
    // Addresses are words like others; sockets are not.
    (r"\b(Tcp|Udp|Unix)[A-Z][a-z]+\b|\bToSocketAddrs\b", "pure code touches no socket"),
    (r"\b(SystemTime|Instant|Timestamp|Zoned)::now\b", "time is an argument"),
    (r"\btracing\b", "pure code does not log"),
    (r"\bfastrand\b", "chance is an argument"),
    (r"\b(e?println|e?print|dbg)!", "pure code does not print"),
    (r"\b(Mutex|RwLock|Atomic[A-Z][a-z0-9]+|thread_local)\b", "pure code keeps no state of its own"),
];

const FILE_LINES_MAX: usize = 400;

/// Files that may be as long as the exception allows, each because splitting it would make it worse.
const LONGER_FILES: [&str; 0] = [];
const LONGER_FILE_LINES_MAX: usize = 450;

/// Lines of dependencies that one comment may serve.
const DEPENDENCIES_PER_REASON: usize = 6;

struct Source {
    /// Below `src/`; files for tests only are left out.
    path: PathBuf,
    /// First part of the path: a layer or a file at the top.
    layer: String,
    text: String,
    /// Without tests, comments and the contents of strings.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<Source> {
    let base = root().join("src");
    let rust = files_below(&base).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs"));
    let files: Vec<(PathBuf, String)> = rust
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is text");
            (path.strip_prefix(&base).expect("it was found there").to_owned(), text)
        })
        .collect();
    let for_tests: BTreeSet<PathBuf> = files
        .iter()
        .flat_map(|(path, text)| test_modules(text).into_iter().map(|name| directory_of_children(path).join(name)))
        .collect();
    let is_for_tests = |path: &Path| path.with_extension("").ancestors().any(|above| for_tests.contains(above));
    let real = files.into_iter().filter(|(path, _)| !is_for_tests(path));
    real.map(|(path, text)| {
        let first = path.iter().next().expect("a path has a part").to_string_lossy();
        let layer = first.trim_end_matches(".rs").to_owned();
        let code = code_only(without_tests(&text));
        Source { path, layer, text, code }
    })
    .collect()
}

/// Where the files of a module's children lie: beside a `mod.rs`, else in a directory of the module's name.
fn directory_of_children(path: &Path) -> PathBuf {
    let has_own_name = !["mod.rs", "lib.rs", "main.rs"].iter().any(|name| path.ends_with(name));
    if has_own_name { path.with_extension("") } else { path.parent().unwrap_or(Path::new("")).to_owned() }
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn each_layer_knows_only_those_below_it() {
    let mut faults = Vec::new();
    let sources = sources();
    let layers: BTreeSet<&str> = sources.iter().map(|source| source.layer.as_str()).collect();
    for source in sources.iter().filter(|source| !WIRING.contains(&source.layer.as_str())) {
        let file = source.path.display();
        let Some((_, may_know)) = MAY_KNOW.iter().find(|(layer, _)| *layer == source.layer) else {
            faults.push(format!(
                "src/{file}: `{}` is not in the house; give it a place in tests/it/tidy.rs",
                source.layer
            ));
            continue;
        };
        for known in crate_paths(&source.code, &source.path) {
            let is_layer = layers.contains(known.as_str()) || MAY_KNOW.iter().any(|(layer, _)| *layer == known);
            if is_layer && known != source.layer && !may_know.contains(&known.as_str()) {
                faults.push(format!(
                    "src/{file}: `{}` must not know `{known}`; perhaps the type you need belongs in `model`",
                    source.layer
                ));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn the_pure_layers_neither_wait_nor_look_nor_speak() {
    let patterns: Vec<(Regex, &str)> =
        IMPURE.iter().map(|(pattern, why)| (Regex::new(pattern).expect("a pattern of ours"), *why)).collect();
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| PURE.contains(&source.layer.as_str())) {
        for (number, line) in source.code.lines().enumerate() {
            for (pattern, why) in &patterns {
                if let Some(found) = pattern.find(line) {
                    let (file, what) = (source.path.display(), found.as_str());
                    faults.push(format!(
                        "src/{file}:{}: `{what}` in the pure layer `{}`: {why}",
                        number + 1,
                        source.layer
                    ));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn no_file_is_longer_than_one_can_hold_in_mind() {
    let mut faults = Vec::new();
    let mut files: Vec<(String, String)> =
        sources().into_iter().map(|source| (format!("src/{}", source.path.display()), source.text)).collect();
    for path in files_below(&root().join("tests/it")) {
        let text = fs::read_to_string(&path).expect("a source file is text");
        files.push((path.strip_prefix(root()).expect("it was found there").display().to_string(), text));
    }
    for (file, text) in files {
        let line_count = without_tests(&text).lines().count();
        let max = if LONGER_FILES.contains(&file.as_str()) { LONGER_FILE_LINES_MAX } else { FILE_LINES_MAX };
        if line_count > max {
            faults.push(format!("{file} has {line_count} lines without its tests; split it, {max} are enough"));
        }
    }
    assert_none(&faults);
}

#[test]
fn every_file_says_at_its_head_what_it_is_for() {
    let faults: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| {
            format!("src/{}: the first line does not say what the file is for (`//! …`)", source.path.display())
        })
        .collect();
    assert_none(&faults);
}

#[test]
fn every_source_and_sink_is_in_its_list() {
    let mut faults = Vec::new();
    for (layer, list, faces) in [("sources", "SOURCES", "Source"), ("sinks", "SINK_KINDS", "SinkKind")] {
        let base = root().join("src").join(layer);
        let registry = fs::read_to_string(base.join("mod.rs")).unwrap_or_default();
        let entries = registry.split(&format!("static {list}")).nth(1).and_then(|rest| rest.split("];").next());
        let Some(entries) = entries else {
            faults.push(format!("src/{layer}/mod.rs has no list `{list}`"));
            continue;
        };
        let face = Regex::new(&format!(r"impl(<[^>]*>)? (super::)?{faces} for ")).expect("a pattern of ours");
        for source in sources().iter().filter(|source| source.layer == layer && face.is_match(&source.code)) {
            let module =
                source.path.iter().nth(1).map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned());
            let module = module.unwrap_or_default();
            if module != "mod" && !entries.contains(&format!("{module}::")) {
                faults.push(format!("src/{}: the kind is not in the list `{list}` of mod.rs", source.path.display()));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn nothing_outside_tests_unwraps() {
    let mut faults = Vec::new();
    for source in sources() {
        for (number, line) in source.code.lines().enumerate().filter(|(_, line)| line.contains(".unwrap()")) {
            let file = source.path.display();
            faults.push(format!("src/{file}:{}: `{}`: say with `expect` what makes it true", number + 1, line.trim()));
        }
    }
    assert_none(&faults);
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    // Put together here, so that this file does not name them either.
    let machine = [("wo", "rk"), ("ro", "ot"), ("ho", "me"), ("Us", "ers")];
    let machine: Vec<String> = machine.iter().map(|(first, rest)| format!("/{first}{rest}/")).collect();
    let registries =
        [("crates.", "io"), ("pypi.", "org"), ("npmjs.", "org"), ("proxy.golang.", "org"), ("deb.debian.", "org")];
    let registries: Vec<String> = registries.iter().map(|(first, rest)| format!("{first}{rest}")).collect();
    let mut faults = Vec::new();
    for file in committed_files() {
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        // Bodies of other people's machines are data.
        let is_data = file.starts_with("tests/fixtures/") || file.starts_with("examples/");
        for (number, line) in text.lines().enumerate() {
            if let Some(path) = machine.iter().find(|path| !is_data && names_a_path(line, path)) {
                faults.push(format!("{file}:{}: `{path}` is a path of one machine", number + 1));
            }
            if let Some(host) = registries.iter().find(|host| file != "Cargo.lock" && line.contains(host.as_str())) {
                faults.push(format!("{file}:{}: `{host}` is for the package manager to know", number + 1));
            }
        }
    }
    assert_none(&faults);
}

/// The start of a path, not the middle of one, of an address or of a pattern.
fn names_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        line[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && !"_-.}~/*".contains(before))
    })
}

/// What git holds; without git (a source archive), what lies around except build results.
fn committed_files() -> Vec<String> {
    let listed = std::process::Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    match listed {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(str::to_owned).collect()
        }
        Ok(_) | Err(_) => files_below(root())
            .iter()
            .filter_map(|path| Some(path.strip_prefix(root()).ok()?.display().to_string()))
            .filter(|file| !file.starts_with("target/") && !file.starts_with(".git/"))
            .collect(),
    }
}

#[test]
fn every_dependency_has_its_reason_beside_it() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the package has a manifest");
    let mut faults = Vec::new();
    let mut in_dependencies = false;
    let mut left = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
            left = 0;
        } else if line.starts_with('#') {
            left = DEPENDENCIES_PER_REASON;
        } else if line.trim().is_empty() {
            left = 0;
        } else if in_dependencies && line.split_once(" = ").is_some_and(|(name, _)| !name.starts_with(' ')) {
            if left == 0 {
                faults.push(format!("Cargo.toml: no comment says why we depend on `{line}`"));
            } else {
                left -= 1;
            }
        }
    }
    assert_none(&faults);
}

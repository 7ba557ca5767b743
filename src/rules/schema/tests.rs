//! The table against the compiler: what one knows, the other knows.

use super::files::*;
use super::*;
use crate::rules::{RuleSet, SourceFile};

/// A set in which a map of the section stands, with `entry` in it.
fn files(section: &Section, entry: &str) -> Option<Vec<SourceFile>> {
    let set = |head: &str, body: &str| Some(format!("version: 1\nkind: {head}\n{body}"));
    let text = match section.name {
        "platform" | "cells" | "services" | "routes" | "silences" => set(section.name, &format!("{entry}\n")),
        "rule" => set("platform", &format!("rules:\n- {{ {entry} }}\n")),
        "when" => set("platform", &format!("rules:\n- {{ id: x, set: {{ platform: ecs }}, when: {{ {entry} }} }}\n")),
        "matcher" => set(
            "platform",
            &format!("rules:\n- {{ id: x, set: {{ platform: ecs }}, when: {{ label.x: {{ {entry} }} }} }}\n"),
        ),
        "arn" => set(
            "platform",
            &format!(
                "rules:\n- {{ id: x, set: {{ platform: ecs }}, when: {{ label.x: {{ arn: {{ {entry} }} }} }} }}\n"
            ),
        ),
        "route" => set("routes", &format!("routes:\n- {{ {entry} }}\n")),
        "interval" => set("routes", &format!("routes:\n- {{ id: x, mute: [{{ {entry} }}] }}\n")),
        "limit" => set("routes", &format!("routes:\n- {{ id: x, limit: {{ {entry} }} }}\n")),
        "silence" => set("silences", &format!("silences:\n- {{ {entry} }}\n")),
        "table" => set("cells", &format!("tables:\n  t: {{ {entry} }}\n")),
        "cell" => set("cells", &format!("cells:\n- {{ {entry} }}\n")),
        "import" => set("services", &format!("import:\n- {{ {entry} }}\n")),
        "team" => set("services", &format!("teams:\n  t: {{ {entry} }}\n")),
        "service" => set("services", &format!("services:\n- {{ {entry} }}\n")),
        "alias" => set("services", &format!("services:\n- {{ name: a, owner: b, aliases: [{{ {entry} }}] }}\n")),
        "strip" => set("services", &format!("strip: {{ {entry} }}\n")),
        "class" => set("services", &format!("class: {{ {entry} }}\n")),
        // Files of tests take their keys from the table itself.
        _ => None,
    }?;
    Some(vec![SourceFile { name: "a.yaml".to_owned(), text }])
}

/// Faults that say that a key is not known, with their hints.
fn unknown(files: &[SourceFile]) -> Vec<(String, String)> {
    let faults = RuleSet::compile(files).err().unwrap_or_default();
    let unknown = faults.into_iter().filter(|fault| fault.message.starts_with("unknown key"));
    unknown.map(|fault| (fault.message, fault.hint.unwrap_or_default())).collect()
}

#[test]
fn the_compiler_knows_every_key_of_the_table_and_no_other() {
    let mut wrong = Vec::new();
    for section in SECTIONS {
        let Some(with_unknown) = files(section, "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq: 1") else { continue };
        for key in section.keys {
            let given = files(section, &format!("{}: 1", key.name)).expect("the section has a place");
            wrong.extend(unknown(&given).into_iter().map(|(message, _)| format!("{}: {message}", section.name)));
        }
        // `when` takes scoped keys, which are not a list.
        if section.rest == Rest::ScopedKeys {
            continue;
        }
        let found = unknown(&with_unknown);
        let hint = found.first().map(|(_, hint)| hint.trim_start_matches("known: ").to_owned()).unwrap_or_default();
        let mut compiler: Vec<&str> = hint.split(", ").collect();
        let mut table = known(section);
        compiler.sort_unstable();
        table.sort_unstable();
        if compiler != table {
            wrong.push(format!("{}: the compiler knows {compiler:?}, the table {table:?}", section.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_of_closed_sets_are_those_of_the_compiler() {
    let mut wrong = Vec::new();
    for section in SECTIONS {
        for key in section.keys {
            let Shape::OneOf(words) = key.shape else { continue };
            if words == ["1"] || key.name == "kind" && words.len() == 1 {
                continue;
            }
            // Without its name the rest of such a map is not read.
            let name = match section.name {
                "cell" => "id: a, ",
                "service" => "name: a, ",
                _ => "",
            };
            let Some(given) = files(section, &format!("{name}{}: qqqqqqqqqqqqqqqqqqqqqqqqqqqq", key.name)) else {
                continue;
            };
            let faults = RuleSet::compile(&given).expect_err("there is no such word");
            let hint =
                faults.iter().filter_map(|fault| fault.hint.as_deref()).find_map(|hint| hint.strip_prefix("known: "));
            if hint.map(|hint| hint.split(", ").collect::<Vec<_>>()).as_deref() != Some(words) {
                wrong.push(format!("{}.{}: {hint:?} in the compiler, {words:?} in the table", section.name, key.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_section_has_a_name_of_its_own_and_is_reached_by_the_schema() {
    let schema = json_schema();
    let defs = schema["$defs"].as_object().unwrap();
    for section in SECTIONS {
        assert_eq!(SECTIONS.iter().filter(|other| other.name == section.name).count(), 1, "{}", section.name);
        let described = &defs[section.name];
        let names: Vec<&String> = described["properties"].as_object().unwrap().keys().collect();
        assert!(section.keys.iter().all(|key| names.iter().any(|name| *name == key.name)), "{}", section.name);
    }
    assert_eq!(defs.len(), SECTIONS.len());
    assert_eq!(known(&MATCHER).len(), 11);
}

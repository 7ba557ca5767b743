//! Traces of the runtimes, and the traps in them. What each fixture became stands beside it, to be read.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exceptions")
}

fn language_of(name: &str) -> Language {
    match name.split('-').next().unwrap() {
        "python" => Language::Python,
        "java" => Language::Java,
        "node" => Language::Node,
        "go" => Language::Go,
        "ruby" => Language::Ruby,
        "dotnet" => Language::DotNet,
        other => panic!("no such runtime: {other}"),
    }
}

fn thrown(stack: &str, language: Option<Language>) -> Thrown {
    read(&Told { kind: None, message: None, stack: Some(stack), otherwise: None }, language)
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// One line per exception and frame.
fn shown(thrown: &Thrown) -> String {
    let mut text = String::new();
    for (at, one) in thrown.exceptions.iter().enumerate() {
        let parent = one.parent.map(|parent| format!(" of {parent}")).unwrap_or_default();
        let link = one.link.map(|link| format!(" {link:?}")).unwrap_or_default();
        let group = if one.is_group { " group" } else { "" };
        writeln!(text, "{at}{link}{parent}{group}: {:?} {} {:?}", one.module, one.kind, one.value).unwrap();
        for frame in &one.frames {
            let place = [frame.line, frame.column].into_iter().flatten().map(|number| format!(":{number}"));
            let place: String = place.collect();
            let mark = if frame.in_app { '+' } else { '-' };
            let file = frame.filename.as_deref().unwrap_or("?");
            let module = frame.module.as_deref().unwrap_or("?");
            write!(text, "  {mark} {file}{place} {module} {}", frame.function.as_deref().unwrap_or("?")).unwrap();
            frame.abs_path.iter().for_each(|path| write!(text, " <{path}>").unwrap());
            frame.context_line.iter().for_each(|line| write!(text, " | {line}").unwrap());
            text.push('\n');
        }
    }
    thrown.stack_text.iter().for_each(|stack| text.push_str(&format!("text {stack:?}\n")));
    text
}

#[test]
fn traces_of_all_runtimes_become_frames_and_causes() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    names.sort();
    assert!(names.len() >= 25, "{names:?}");
    for name in names {
        let stack = fixture(&name);
        let found = shown(&thrown(&stack, Some(language_of(&name))));
        let expected = folder().join(name.replace(".txt", ".expected"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(found, expected, "{name} (UPDATE=1 writes it)");
        let with_returns = stack.replace('\n', "\r\n");
        assert_eq!(shown(&thrown(&with_returns, Some(language_of(&name)))), expected, "{name} with CR LF");
    }
}

#[test]
fn the_shape_alone_tells_the_runtime() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Two forms that have nothing of their own: frames without a goroutine, and other browsers.
        if name.ends_with(".txt") && !["go-pkgerrors.txt", "node-browser.txt"].contains(&name.as_str()) {
            assert_eq!(shape::of(&fixture(&name)), language_of(&name), "{name}");
        }
    }
    for text in ["", "it broke", "at noon\n at night", "#0 /app/x.php(12): Owl->load()\n#1 {main}", "  0: owl::load\n"]
    {
        assert!(parse(shape::of(text), text).is_empty(), "{text}");
    }
}

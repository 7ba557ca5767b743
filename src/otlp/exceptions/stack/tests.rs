//! Traces of the runtimes, and the traps in them. What each fixture became stands beside it, to be read.

mod go;
mod traps;

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
        let is_bare = ["go-pkgerrors.txt", "go-wrapped.txt", "node-browser.txt", "node-safari.txt"];
        if name.ends_with(".txt") && !is_bare.contains(&name.as_str()) {
            assert_eq!(shape::of(&fixture(&name)), language_of(&name), "{name}");
        }
    }
    for text in ["", "it broke", "at noon\n at night", "#0 /app/x.php(12): Owl->load()\n#1 {main}", "  0: owl::load\n"]
    {
        assert!(parse(shape::of(text), text).is_empty(), "{text}");
    }
}

/// A trace whose message holds what looks like frames, with the message known.
fn masked(kind: &str, message: &str, stack: &str, language: Language) -> Exception {
    let told = Told { kind: Some(kind), message: Some(message), stack: Some(stack), otherwise: None };
    read(&told, Some(language)).exceptions.remove(0)
}

#[test]
fn a_known_message_is_never_read_as_frames() {
    let lie = "oh\n\tat not.a.Frame(Lie.java:1)\n\tat another.Lie.x(Lie.java:2)";
    let stack = format!("a.B: {lie}\n\tat a.C.real(C.java:3)\nCaused by: a.D: a.B: {lie}\n\tat a.E.real(E.java:4)\n");
    let one = masked("a.B", lie, &stack, Language::Java);
    assert_eq!((one.frames.len(), one.frames[0].line, one.value.as_str()), (1, Some(3), lie));
    let lie = "oh\n    at lie (/x/lie.js:1:2)";
    let one = masked("Error", lie, &format!("Error: {lie}\n    at real (/app/a.js:3:4)\n"), Language::Node);
    assert_eq!((one.frames.len(), one.frames[0].line), (1, Some(3)));
    let lie = "oh\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/x/lie.py\", line 1, in lie\nValueError: no";
    let stack = format!(
        "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in real\n    x()\nKeyError: {lie}\n"
    );
    let one = masked("KeyError", lie, &stack, Language::Python);
    assert_eq!((one.frames.len(), one.frames[0].line, one.kind.as_str()), (1, Some(3), "KeyError"));
}

#[test]
fn what_telemetry_says_of_type_and_message_holds_and_packages_become_modules() {
    let stack = "Error: x\n    at f (/app/a.js:1:2)";
    let one = masked("StoreError", "cannot load", stack, Language::Node);
    assert_eq!((one.kind.as_str(), one.value.as_str()), ("StoreError", "cannot load"));
    let stack =
        "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in f\nredis.exceptions.ConnectionError: x\n";
    let one = masked("ConnectionError", "x", stack, Language::Python);
    assert_eq!((one.kind.as_str(), one.module.as_deref()), ("ConnectionError", Some("redis.exceptions")));
    let one = masked("System.InvalidOperationException", "x", "", Language::DotNet);
    assert_eq!((one.kind.as_str(), one.module), ("System.InvalidOperationException", None));
}

#[test]
fn a_text_without_frames_is_kept_whole_and_other_runtimes_are_not_guessed_at() {
    for (text, language) in [
        ("it broke at noon\n  somewhere", Some(Language::Java)),
        ("   0: owl::load\n             at src/main.rs:7:5\n", Some(Language::Other)),
        ("#0 /app/x.php(12): Owl->load()\n#1 {main}", Some(Language::Php)),
        ("** (RuntimeError) no\n    (owl 0.1.0) lib/owl.ex:3: Owl.load/1", Some(Language::Elixir)),
        ("   0: owl::load\n             at src/main.rs:7:5\n", None),
        ("complete nonsense", None),
    ] {
        let found = thrown(text, language);
        assert_eq!(found.stack_text.as_deref(), Some(text), "{text}");
        assert_eq!((found.exceptions.len(), found.exceptions[0].frames.len()), (1, 0));
        assert_eq!(found.language, language.unwrap_or(Language::Other));
    }
    let python = thrown(&fixture("python-cause.txt"), Some(Language::Java));
    assert_eq!((python.language, python.exceptions.len()), (Language::Python, 2), "the text knows better");
}

#[test]
fn of_very_many_frames_the_oldest_and_the_newest_are_kept() {
    let frames: String = (0..1024).map(|at| format!("\tat a.B.m{at}(B.java:{at})\n")).collect();
    let one = thrown(&format!("java.lang.StackOverflowError\n{frames}"), Some(Language::Java)).exceptions.remove(0);
    let function = |at: usize| one.frames[at].function.clone().unwrap();
    assert_eq!((one.frames.len(), function(0), function(249)), (250, "m1023".to_owned(), "m0".to_owned()));
    assert_eq!((function(49), function(50)), ("m974".to_owned(), "m199".to_owned()));
}

#[test]
fn a_text_beyond_the_bound_keeps_both_ends_and_is_cut_between_lines() {
    let frames: String = (0..9000).map(|at| format!("  File \"/app/a.py\", line {at}, in f\n")).collect();
    let text = format!("Traceback (most recent call last):\n{frames}ValueError: end\n");
    let one = thrown(&text, Some(Language::Python)).exceptions.remove(0);
    assert_eq!((one.kind.as_str(), one.frames.len()), ("ValueError", 250));
    assert_eq!((one.frames[0].line, one.frames[249].line), (Some(0), Some(8999)));
    let raw = thrown(&"é nothing\n".repeat(20_000), None).stack_text.unwrap();
    assert!(raw.len() <= 64 * 1024 && raw.contains("\n    [...]\n"), "{}", raw.len());
}

#[test]
fn frames_in_common_are_copied_but_not_without_end() {
    let long = "l".repeat(500);
    let frames: String = (0..100).map(|at| format!("\tat a.{long}.m{at}(B.java:{at})\n")).collect();
    let causes: String =
        (0..200).map(|_| "Caused by: a.C\n\tat a.D.x(D.java:1)\n\t... 100 more\n".to_owned()).collect();
    let found = thrown(&format!("a.B\n{frames}{causes}"), Some(Language::Java));
    let bytes: usize =
        found.exceptions.iter().flat_map(|one| &one.frames).map(|frame| frame.module.as_ref().unwrap().len()).sum();
    assert!(found.exceptions.len() == EXCEPTION_COUNT_MAX && bytes < 400 * 1024, "{bytes}");
    assert_eq!(found.exceptions[1].frames.len(), 101);
}

#[test]
fn lines_like_those_of_the_cause_are_copied_but_not_without_end() {
    let long = "l".repeat(2000);
    let cause: String = (0..6).map(|at| format!("      at {long}{at} (/app/a.js:{at}:1)\n")).collect();
    let outer = format!(
        "    at {long}0 (/app/a.js:0:1)\n    ... 4 lines matching cause stack trace ...\n    at {long}5 (/app/a.js:5:1)\n"
    );
    let text = format!("Error: a\n{}  [cause]: Error: b\n{cause}", outer.repeat(10).trim_end().to_owned() + " {\n");
    let found = thrown(&text, Some(Language::Node));
    assert_eq!((found.exceptions.len(), found.exceptions[0].frames.len()), (2, 60));
    let text = text.replace(&outer, &outer.repeat(3));
    assert!(thrown(&text, Some(Language::Node)).exceptions[0].frames.len() <= 60 + 128 * 2);
}

#[test]
fn a_stack_cut_by_the_sdk_of_go_loses_its_broken_frame_only() {
    let mut stack = String::from("goroutine 1 [running]:\n");
    for at in 0.. {
        stack.push_str(&format!("main.f{at}(...)\n\t/app/some/long/way/to/main.go:{at}123\n"));
        if stack.len() > 3000 {
            break;
        }
    }
    let whole = thrown(&stack, Some(Language::Go)).exceptions.remove(0);
    let at = stack[..2048].rfind('\n').unwrap();
    assert!(stack[at..2048].len() > 4, "cut within a line");
    let cut = thrown(&stack[..2048], Some(Language::Go)).exceptions.remove(0);
    let count = cut.frames.len();
    assert!(count > 30);
    assert_eq!(cut.frames[..], whole.frames[whole.frames.len() - count..], "every frame is one of the whole trace");
}

#[test]
fn the_recorders_of_a_go_stack_are_no_culprits() {
    let stack = "goroutine 7 [running]:\ngo.opentelemetry.io/otel/sdk/trace.recordStackTrace()\n\t/go/pkg/mod/go.opentelemetry.io/otel/sdk@v1.28.0/trace/span.go:467 +0x2e\ngo.opentelemetry.io/otel/sdk/trace.(*recordingSpan).RecordError(0xc0, {0x1, 0x2})\n\t/go/pkg/mod/go.opentelemetry.io/otel/sdk@v1.28.0/trace/span.go:420 +0x1\nmain.load()\n\t/app/main.go:7 +0x1d\n";
    let one = thrown(stack, Some(Language::Go)).exceptions.remove(0);
    assert_eq!((one.frames.len(), one.frames[0].function.as_deref()), (1, Some("load")));
}

#[test]
fn a_chain_of_python_whose_end_was_cut_off_gives_no_frames_to_what_telemetry_names() {
    let stack = fixture("python-database.txt");
    let cut = &stack[..stack.find("exception was the direct").unwrap()];
    let told =
        Told { kind: Some("sqlalchemy.exc.IntegrityError"), message: Some("no"), stack: Some(cut), otherwise: None };
    let found = read(&told, Some(Language::Python)).exceptions;
    assert_eq!((found.len(), found[0].kind.as_str(), found[0].frames.len()), (2, "IntegrityError", 0));
    assert_eq!((found[1].kind.as_str(), found[1].parent, found[1].frames.len()), ("UniqueViolation", Some(0), 2));
    let whole = read(&Told { stack: Some(&stack), ..told }, Some(Language::Python)).exceptions;
    assert_eq!((whole.len(), whole[0].frames.len(), whole[1].parent), (2, 1, Some(0)));
}

#[test]
fn a_trace_cut_anywhere_is_read_as_far_as_it_goes() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(language) = name.ends_with(".txt").then(|| language_of(&name)) else { continue };
        let stack = fixture(&name);
        for at in (0..stack.len()).step_by(3).filter(|at| stack.is_char_boundary(*at)) {
            let found = thrown(&stack[..at], Some(language));
            assert!(!found.exceptions.is_empty());
            let is_above = |(place, one): (usize, &Exception)| one.parent.is_none_or(|parent| parent < place);
            assert!(found.exceptions.iter().enumerate().all(is_above), "{name} at {at}");
        }
    }
}

#[test]
fn files_lose_what_differs_from_machine_to_machine() {
    for (file, short) in [
        ("/srv/owl/app.py", "owl/app.py"),
        ("/usr/lib/python3.11/site-packages/redis/connection.py", "redis/connection.py"),
        ("/usr/lib/python3.11/asyncio/base.py", "asyncio/base.py"),
        ("/app/node_modules/express/lib/router.js", "node_modules/express/lib/router.js"),
        ("file:///app/src/users.mjs", "src/users.mjs"),
        ("C:\\app\\dist\\x.js", "dist/x.js"),
        ("/usr/local/go/src/net/http/server.go", "net/http/server.go"),
        ("node:internal/x", "node:internal/x"),
        ("<frozen importlib>", "<frozen importlib>"),
        ("https://owl.example.com/a/b.js", "/a/b.js"),
        ("webpack:///src/a.js", "webpack:///src/a.js"),
        ("relative/x.rb", "relative/x.rb"),
        ("/app/", "/app/"),
    ] {
        assert_eq!(path::shortened(file), short);
    }
    assert_eq!(path::place("C:\\x:1:2"), ("C:\\x", Some(1), Some(2)));
    assert_eq!(path::place("/a,b:c.js:1"), ("/a,b:c.js", Some(1), None));
}

#[test]
fn a_second_java_trace_behind_the_first_takes_no_frames_from_it() {
    let stack = "a.FirstException: x\n\tat a.B.c(B.java:1)\n\njava.lang.OtherError: y\n\tat a.D.e(D.java:2)\n";
    let found = thrown(stack, Some(Language::Java));
    assert_eq!((found.exceptions.len(), found.exceptions[0].frames[0].line), (1, Some(1)));
}

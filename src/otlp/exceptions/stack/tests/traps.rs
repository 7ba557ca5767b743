//! What looks like a cause, a frame or a library and is none.

use super::{Language, thrown};

/// Kind, value and number of frames of each.
fn summary(stack: &str, language: Language) -> Vec<(String, String, usize)> {
    let found = thrown(stack, Some(language)).exceptions;
    found.into_iter().map(|one| (one.kind, one.value, one.frames.len())).collect()
}

#[test]
fn a_cause_of_node_that_is_no_error_is_none_and_no_brace_of_the_form_is_in_a_message() {
    let with = |cause: &str| {
        summary(&format!("Error: outer\n    at f (/app/a.js:1:1) {{\n  [cause]: {cause}\n}}"), Language::Node)
    };
    let one = |kind: &str, value: &str, count| (kind.to_owned(), value.to_owned(), count);
    let outer = || one("Error", "outer", 1);
    for cause in [
        "'timeout'",
        "'Error: timeout'",
        "undefined",
        "null",
        "42",
        "{ code: 'X' }",
        "{\n    code: 'X',\n    inner: Error: x\n        at g (/app/b.js:1:1)\n  }",
        "Owl { at: 1 }",
        "[ 1, 2 ]",
        "[Function: owl]",
        "[Circular *1]",
        "Symbol(owl)",
    ] {
        assert_eq!(with(cause), [outer()], "{cause}");
    }
    let braces = "Error: outer {x\n}\n    at f (/app/a.js:1:1)";
    assert_eq!(summary(braces, Language::Node), [one("Error", "outer {x\n}", 1)], "a message may hold some");
    for (cause, kind, value, count) in [
        ("[Error: inner]", "Error", "inner", 0),
        ("[TypeError: inner] {\n    code: 'X'\n  }", "TypeError", "inner", 0),
        ("[TypeError]", "TypeError", "", 0),
        ("Error: inner\n      at g (/app/b.js:1:1)", "Error", "inner", 1),
        ("RangeError\n      at g (/app/b.js:1:1)", "RangeError", "", 1),
        (
            "Owl: inner\n    with {\n    }\n      at g (/app/b.js:1:1) {\n    code: 'X'\n  }",
            "Owl",
            "inner\n    with {\n    }",
            1,
        ),
        ("Error: inner", "Error", "inner", 0),
        // Without a message, and without a name.
        ("Owl\n      at g (/app/b.js:1:1)", "Owl", "", 1),
        ("it is dark\n      at g (/app/b.js:1:1) {\n    code: 'X'\n  }", "", "it is dark", 1),
    ] {
        assert_eq!(with(cause), [outer(), one(kind, value, count)], "{cause}");
    }
}

#[test]
fn a_line_of_a_java_message_that_begins_like_a_frame_is_none() {
    let jackson =
        "expected a valid value\n at [Source: (String)\"<html>\"; line: 1, column: 2]\n   at position 3 (of 4)";
    let outer = format!(
        "a.B: m\n\tat com.owl.A.b(A.java:1)\nCaused by: a.C: {jackson}\n\tat com.owl.C.d(C.java:2)\n\t... 1 more\n"
    );
    let one = |kind: &str, value: &str, count| (kind.to_owned(), value.to_owned(), count);
    assert_eq!(summary(&outer, Language::Java), [one("B", "m", 1), one("C", jackson, 2)]);
    let alone = format!("a.C: {jackson}\n    at com.owl.C.d(C.java:2)\n    at com.owl.C.e(C.ja");
    assert_eq!(summary(&alone, Language::Java), [one("C", jackson, 1)]);
    let cut = "a.B: m\n\tat com.owl.A.b(A.java:1)\nCaused by: a.C: n\n\tat com.owl.C";
    assert_eq!(summary(cut, Language::Java), [one("B", "m", 1), one("C", "n", 0)]);
}

#[test]
fn an_indented_cause_takes_its_own_frames() {
    let stack =
        "a.B: m\n    at com.owl.A.b(A.java:1)\n  Caused by: c.D: e\n    at com.owl.C.d(C.java:2)\n    ... 1 more\n";
    let one = |kind: &str, value: &str, count| (kind.to_owned(), value.to_owned(), count);
    assert_eq!(summary(stack, Language::Java), [one("B", "m", 1), one("D", "e", 2)]);
}

#[test]
fn a_java_trace_cut_within_the_name_of_a_cause_invents_no_class() {
    let stack = "a.B: m\n\tat com.owl.A.b(A.java:1)\nCaused by: java.lang.Ill";
    assert_eq!(summary(stack, Language::Java).len(), 1);
    // Whole lines are believed.
    assert_eq!(summary(&format!("{stack}\n"), Language::Java)[1].0, "Ill");
    assert_eq!(summary(&format!("{stack}: n"), Language::Java)[1].1, "n");
}

#[test]
fn libraries_are_told_from_a_programs_own_code_by_whole_names() {
    let judged = |stack: String, language| thrown(&stack, Some(language)).exceptions.remove(0).frames.remove(0).in_app;
    for (file, expected) in [
        ("/app/lib/python_utils/x.py", true),
        ("/app/lib/python/x.py", false),
        ("/usr/lib/python3.11/json/decoder.py", false),
        ("/usr/lib64/python3.13t/json/decoder.py", false),
        ("/usr/lib/python3/dist-packages/x.py", false),
        ("/app/site-packages-old/x.py", true),
        ("site-packages/x.py", false),
        ("C:\\Python311\\Lib\\asyncio\\base.py", false),
    ] {
        let stack = format!("Traceback (most recent call last):\n  File \"{file}\", line 1, in f\nE: m\n");
        assert_eq!(judged(stack, Language::Python), expected, "{file}");
    }
    for (file, expected) in [
        ("/usr/local/bundle/bin/puma", false),
        ("/usr/lib/ruby/vendor_ruby/x.rb", false),
        ("/app/bin/puma", true),
        ("/app/lib/owl.rb", true),
    ] {
        assert_eq!(judged(format!("{file}:1:in `f': m (E)\n"), Language::Ruby), expected, "{file}");
    }
    for (file, expected) in [
        ("/var/runtime/index.mjs", false),
        ("file:///var/runtime/index.mjs", false),
        ("events.js", false),
        ("/app/events.js", true),
        ("/var/task/index.js", true),
    ] {
        assert_eq!(judged(format!("Error: m\n    at f ({file}:400:2)\n"), Language::Node), expected, "{file}");
    }
    for package in
        ["org.mongodb", "org.jetbrains.exposed", "dev.zio", "net.bytebuddy", "javassist", "dalvik", "com.android"]
    {
        assert!(!judged(format!("a.E: m\n\tat {package}.X.f(X.java:1)\n"), Language::Java), "{package}");
        assert!(judged(format!("a.E: m\n\tat {package}owl.X.f(X.java:1)\n"), Language::Java), "{package}");
    }
    for (class, expected) in [("Serilog.X", false), ("Swashbuckle.X", false), ("Serilogger.X", true)] {
        let stack = format!("System.Exception: m\n   at {class}.F() in /src/X.cs:line 1\n");
        assert_eq!(judged(stack, Language::DotNet), expected, "{class}");
    }
}

#[test]
fn the_file_of_a_frame_of_openj9_has_no_module() {
    let stack = "a.E: m\n\tat java.lang.Thread.run(java.base@11.0.2/Thread.java:834)\n\tat java.lang.Thread.x(java.base@11.0.2/Native Method)\n";
    let frames = thrown(stack, Some(Language::Java)).exceptions.remove(0).frames;
    assert_eq!((frames[1].filename.as_deref(), frames[1].line), (Some("Thread.java"), Some(834)));
    assert_eq!((frames[0].filename.as_deref(), frames[0].line), (None, None));
}

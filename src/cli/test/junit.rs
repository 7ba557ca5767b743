//! Results of tests as the XML that CI systems read. One suite per file; a file that cannot be read is an error of
//! a suite of its own.

use std::fmt::Write;

use crate::rules::Diagnostic;
use crate::stories::{CaseReport, StoryReport};

pub(super) fn xml(report: &StoryReport) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let count = report.cases.len() + report.faults.len();
    // Writing to a text cannot fail.
    let _ = writeln!(
        text,
        "<testsuites name=\"tawny\" tests=\"{count}\" failures=\"{}\" errors=\"{}\">",
        report.failed_count(),
        report.faults.len()
    );
    for cases in report.cases.chunk_by(|one, next| one.spot.file == next.spot.file) {
        suite(&mut text, cases);
    }
    if !report.faults.is_empty() {
        let count = report.faults.len();
        let _ = writeln!(text, "  <testsuite name=\"faults\" tests=\"{count}\" failures=\"0\" errors=\"{count}\">");
        for fault in &report.faults {
            let place = format!("{}:{}", fault.file, fault.line);
            let _ =
                writeln!(text, "    <testcase classname=\"{}\" name=\"{}\">", escaped(&fault.file), escaped(&place));
            detail(&mut text, "error", fault);
            text.push_str("    </testcase>\n");
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(text: &mut String, cases: &[CaseReport]) {
    let file = cases.first().map_or("", |case| case.spot.file.as_ref());
    let failed = cases.iter().filter(|case| !case.failures.is_empty()).count();
    let _ = writeln!(
        text,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\">",
        escaped(file),
        cases.len()
    );
    for case in cases {
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
            escaped(file),
            escaped(&case.name),
            escaped(file),
            case.spot.line
        );
        text.push_str(&head);
        if case.failures.is_empty() {
            text.push_str("/>\n");
            continue;
        }
        text.push_str(">\n");
        // One element, because some readers take the first only.
        let whole: Vec<String> = case.failures.iter().map(ToString::to_string).collect();
        let first = &case.failures[0].message;
        let _ =
            writeln!(text, "      <failure message=\"{}\">{}</failure>", escaped(first), escaped(&whole.join("\n")));
        text.push_str("    </testcase>\n");
    }
    text.push_str("  </testsuite>\n");
}

fn detail(text: &mut String, element: &str, fault: &Diagnostic) {
    let (message, whole) = (escaped(&fault.message), escaped(&fault.to_string()));
    let _ = writeln!(text, "      <{element} message=\"{message}\">{whole}</{element}>");
}

/// Also drops what XML 1.0 cannot hold.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(character),
            character if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {
                safe.push('\u{fffd}')
            }
            character => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{RuleSet, SourceFile};
    use crate::stories::run_stories;

    #[test]
    fn a_failure_is_one_element_with_its_text_escaped() {
        let mut files = RuleSet::built_in_files();
        files.retain(|file| !file.is_of_tests());
        let story = "version: 1\ntests:\n  - name: a < b & \"c\"\n    given: { alert: { service: owl } }\n    expect: { owner: nobody }\n  - name: fine\n    given: { alert: { service: owl } }\n    expect: { owner: owl }\n";
        files.push(SourceFile { name: "tests/a.yaml".to_owned(), text: story.to_owned() });
        let xml = xml(&run_stories(&RuleSet::built_in(), &files));
        assert!(xml.contains("<testsuites name=\"tawny\" tests=\"2\" failures=\"1\" errors=\"0\">"), "{xml}");
        assert!(xml.contains("name=\"a &lt; b &amp; &quot;c&quot;\" file=\"tests/a.yaml\" line=\"3\">"), "{xml}");
        assert!(xml.contains("<failure message=\"`owner` is `owl`, expected `nobody`\">"), "{xml}");
        assert!(xml.contains("name=\"fine\" file=\"tests/a.yaml\" line=\"6\"/>"), "{xml}");
        assert_eq!(xml.matches("<testcase").count(), 2);
    }
}

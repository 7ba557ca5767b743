//! Credentials that somebody wrote into a file that everybody reads. A finding never repeats what it found.

use regex::Regex;

use crate::rules::Diagnostic;
use crate::rules::diagnostic::{At, Faults};

/// What it is, and how it looks.
const LOOKS: [(&str, &str); 11] = [
    ("an access key of AWS", r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("a token of Slack", r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}"),
    ("an address of Slack that anybody may post to", r"hooks\.slack\.com/(services|workflows)/[0-9A-Za-z/]{20,}"),
    ("a token of GitHub", r"\b(gh[oprsu]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{22,})"),
    ("a key of Honeycomb", r"\bhc[abx][a-z0-9]{2}_[0-9a-z]{40,}\b"),
    ("a DSN of Sentry", r"https://[0-9a-f]{32}(:[0-9a-f]{32})?@[0-9a-z.-]+/[0-9]+"),
    ("a secret of Standard Webhooks", r"\bwhsec_[0-9A-Za-z+/=]{24,}"),
    ("a token in JSON", r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{5,}"),
    ("a password in an address", r"\b[a-z][a-z0-9+.-]*://[^\s/:@$]+:[^\s/@$]{3,}@"),
    (
        "a secret",
        r#"(?i)\b[a-z_.-]*(password|passwd|secret|api_?key|routing_key|access_key|auth_token|token)["']?\s*[:=]\s*["']?[0-9a-zA-Z+/_-]{20,}"#,
    ),
];

pub(super) fn check(faults: &mut Faults<'_>, text: &str) {
    let looks: Vec<(&str, Regex)> =
        LOOKS.iter().filter_map(|(what, pattern)| Some((*what, Regex::new(pattern).ok()?))).collect();
    for (number, line) in (1..).zip(text.lines()) {
        let found = looks.iter().find_map(|(what, regex)| Some((*what, regex.find(line)?.start())));
        if let Some((what, start)) = found {
            let column = u32::try_from(line[..start].chars().count() + 1).unwrap_or(u32::MAX);
            let hint =
                "take it back, and give it to a sink as `{ env: NAME }` or `{ file: PATH }` in the settings".to_owned();
            faults.warning(At { line: number, column }, format!("this looks like {what}"), Some(hint));
        }
    }
}

/// The line is what must not be shown again.
pub(super) fn without_line(finding: Diagnostic) -> Diagnostic {
    Diagnostic { source_line: String::new(), ..finding }
}

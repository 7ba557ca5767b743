//! Tests of rules as people write them, in `tests/*.yaml` beside the rules: what is given, when, and what must come
//! of it. Reads them and reports what is wrong; never plays them.

mod expect;
mod given;
mod read;

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Severity, State, TagName, Timestamp};

use super::diagnostic::{At, Faults};
use super::{Diagnostic, DiagnosticSeverity, SourceFile};

/// Where a story's clock starts when it does not say.
pub const CLOCK: &str = "2026-01-01T00:00:00Z";

/// One test.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub spot: Spot,
    /// The instant of `at: 0s`.
    pub clock: Timestamp,
    /// In order of time.
    pub steps: Vec<Step>,
    /// What must hold after the last step, over all of them.
    pub expect: Vec<Want>,
}

/// Something that happens: time passes until `at`, then perhaps something is sent.
#[derive(Clone, Debug)]
pub struct Step {
    pub spot: Spot,
    pub at: Duration,
    pub given: Option<Given>,
    /// What must hold then; of notices, those since the step before.
    pub expect: Vec<Want>,
}

#[derive(Clone, Debug)]
pub enum Given {
    Payload(Box<Payload>),
    Alert(Box<GivenAlert>),
    Span(Box<Span>),
}

/// A body as a sender posted it, a file below `tests/`.
#[derive(Clone, Debug)]
pub struct Payload {
    /// As a source file is named: `tests/payloads/alert.json`.
    pub file: String,
    pub spot: Spot,
    pub sender: Sender,
    /// Path behind the instance's own address, where a kind has several.
    pub path: Option<String>,
    /// Options of the source, such as the mapping of `json`.
    pub options: serde_json::Value,
}

/// The source that something comes through.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Empty where the story leaves it to the body of its file.
    pub kind: String,
    pub kind_spot: Spot,
    pub instance: String,
    pub constants: Labels<'static>,
}

/// An alert written down field by field.
#[derive(Clone, Debug)]
pub struct GivenAlert {
    pub sender: Sender,
    /// What tells this alert from others; else its name and labels do.
    pub id: Option<String>,
    pub state: State,
    pub severity: Severity,
    pub name: String,
    pub title: String,
    pub labels: Labels<'static>,
    pub annotations: Labels<'static>,
    pub fields: Labels<'static>,
    pub holds_for: Duration,
}

/// What the resource of a span says, and the span itself.
#[derive(Clone, Debug)]
pub struct Span {
    pub resource: Labels<'static>,
    pub attributes: Labels<'static>,
    /// A span of kind `SERVER` may say which function it runs in.
    pub is_server: bool,
}

/// One expectation and where it stands.
#[derive(Clone, Debug)]
pub struct Want {
    pub spot: Spot,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Tag {
        name: TagName,
        value: Value,
        /// Id of the rule that must have set it.
        by: Option<String>,
    },
    /// One list of expectations per alert of what was sent last, in order.
    Alerts(Vec<Vec<Want>>),
    /// Ids that must be among those that set something.
    Rules(Vec<(String, Spot)>),
    /// Id of the route.
    Route(String),
    /// `opened`, `joined`, `late`, …
    Outcome(String),
    /// Whether the key is the one of the step before.
    Incident(Sameness),
    /// Keys that an incident was opened for.
    Incidents(usize),
    /// Incidents that are open now.
    Open(usize),
    /// Firing members per platform, of the incident heard of last.
    Legs(Vec<(String, usize)>),
    Cells(Vec<String>),
    Notices(Notices),
    /// Notices per sink.
    Deliveries(Vec<(String, usize, Spot)>),
    /// Sinks of the route.
    To(Vec<String>),
    /// Id of the silence or route that holds back what the incident of what was sent last has to say.
    Quiet(Option<String>),
    Title(Wording),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Is(String),
    /// The tag's parts, divided by commas, in any order.
    Parts(Vec<String>),
    /// No rule knew: no such tag, or one that says `unknown`.
    Unknown,
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    Same,
    Different,
}

#[derive(Clone, Debug)]
pub enum Notices {
    Count(usize),
    /// Exactly these, in order.
    List(Vec<NoticeWant>),
    /// How many of each kind; none of the others.
    PerKind(Vec<(String, usize)>),
}

#[derive(Clone, Debug)]
pub struct NoticeWant {
    pub spot: Spot,
    pub kind: String,
    pub reason: Option<String>,
    pub title: Option<Wording>,
    /// Since the start of the story.
    pub at: Option<Duration>,
}

#[derive(Clone, Debug)]
pub enum Wording {
    Is(String),
    Contains(Vec<String>),
}

/// A place in a file, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
    pub source_line: Arc<str>,
}

impl Spot {
    fn new(at: At, faults: &Faults<'_>) -> Spot {
        Spot {
            file: Arc::from(faults.file_name()),
            line: at.line,
            column: at.column,
            source_line: Arc::from(faults.line(at)),
        }
    }

    /// A fault at this place.
    pub fn fault(&self, message: String, hint: Option<String>) -> Diagnostic {
        Diagnostic {
            file: self.file.to_string(),
            line: self.line,
            column: self.column,
            severity: DiagnosticSeverity::Error,
            message,
            hint,
            source_line: self.source_line.to_string(),
        }
    }
}

/// Whether a file holds stories.
pub fn is_story_file(name: &str) -> bool {
    let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    // Payloads lie in folders of their own.
    is_yaml && name.strip_prefix("tests/").is_some_and(|rest| !rest.contains('/'))
}

/// Reads the stories among the files. A case with a fault is left out, and the fault is reported.
pub fn read(files: &[SourceFile]) -> (Vec<Case>, Vec<Diagnostic>) {
    let (mut cases, mut found) = (Vec::new(), Vec::new());
    for file in files.iter().filter(|file| is_story_file(&file.name)) {
        let mut faults = Faults::new(file);
        read::read(file, files, &mut cases, &mut faults);
        found.extend(faults.into_found());
    }
    (cases, found)
}

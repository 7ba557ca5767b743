//! The closed words of log records and spans, as rules write them and as OTLP numbers them. Never guesses: a number
//! that the protocol does not know has no word.

/// Which telemetry a rule for alerts looks at: `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    Logs,
    Spans,
}

/// How loud a log record is: the class of its severity number, or of a usual word where it has no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogSeverity {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanStatus {
    #[default]
    Unset,
    Ok,
    Error,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanKind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl Records {
    pub const fn as_str(self) -> &'static str {
        match self {
            Records::Logs => "logs",
            Records::Spans => "spans",
        }
    }

    /// What a record says of itself beside its attributes. An attribute of such a name is `attributes.` and the name.
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Records::Logs => &["severity", "severity_text", "severity_number", "body", "event", "scope"],
            Records::Spans => &["name", "kind", "status", "status_message", "duration_ms", "scope"],
        }
    }

    /// The values that a word can have, where they are a closed set.
    pub(super) fn values_of(self, word: &str) -> Option<Vec<&'static str>> {
        match (self, word) {
            (Records::Logs, "severity") => Some(LogSeverity::ALL.map(LogSeverity::as_str).to_vec()),
            (Records::Spans, "status") => Some(SpanStatus::ALL.map(SpanStatus::as_str).to_vec()),
            (Records::Spans, "kind") => Some(SpanKind::ALL.map(SpanKind::as_str).to_vec()),
            (Records::Logs | Records::Spans, _) => None,
        }
    }

    /// Words whose values are another with each record: an identity or a name made of them folds nothing.
    pub(super) fn is_fleeting(self, word: &str) -> bool {
        match self {
            Records::Logs => word == "body",
            Records::Spans => word == "duration_ms" || word == "status_message",
        }
    }
}

impl LogSeverity {
    pub const ALL: [LogSeverity; 6] = [
        LogSeverity::Trace,
        LogSeverity::Debug,
        LogSeverity::Info,
        LogSeverity::Warn,
        LogSeverity::Error,
        LogSeverity::Fatal,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            LogSeverity::Trace => "TRACE",
            LogSeverity::Debug => "DEBUG",
            LogSeverity::Info => "INFO",
            LogSeverity::Warn => "WARN",
            LogSeverity::Error => "ERROR",
            LogSeverity::Fatal => "FATAL",
        }
    }

    /// `SeverityNumber`: four numbers to a class, from 1.
    pub fn of_number(number: u64) -> Option<LogSeverity> {
        let class = usize::try_from(number.checked_sub(1)? / 4).ok()?;
        LogSeverity::ALL.get(class).copied()
    }

    /// Collectors that parse plain logs often leave the number out.
    pub fn of_text(text: &str) -> Option<LogSeverity> {
        const WORDS: [(LogSeverity, &[&str]); 6] = [
            (LogSeverity::Fatal, &["fatal", "critical", "crit", "alert", "emerg", "emergency", "panic"]),
            (LogSeverity::Error, &["error", "err", "severe"]),
            (LogSeverity::Warn, &["warn", "warning"]),
            (LogSeverity::Info, &["info", "information", "notice"]),
            (LogSeverity::Debug, &["debug"]),
            (LogSeverity::Trace, &["trace", "verbose"]),
        ];
        let text = text.trim();
        let is_known = |known: &&str| known.eq_ignore_ascii_case(text);
        WORDS.iter().find(|(_, words)| words.iter().any(is_known)).map(|(severity, _)| *severity)
    }
}

impl SpanStatus {
    pub const ALL: [SpanStatus; 3] = [SpanStatus::Unset, SpanStatus::Ok, SpanStatus::Error];

    pub const fn as_str(self) -> &'static str {
        match self {
            SpanStatus::Unset => "UNSET",
            SpanStatus::Ok => "OK",
            SpanStatus::Error => "ERROR",
        }
    }

    /// What the protocol does not know says nothing.
    pub fn of_number(number: u64) -> SpanStatus {
        usize::try_from(number).ok().and_then(|number| SpanStatus::ALL.get(number).copied()).unwrap_or_default()
    }
}

impl SpanKind {
    pub const ALL: [SpanKind; 6] = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            SpanKind::Unspecified => "UNSPECIFIED",
            SpanKind::Internal => "INTERNAL",
            SpanKind::Server => "SERVER",
            SpanKind::Client => "CLIENT",
            SpanKind::Producer => "PRODUCER",
            SpanKind::Consumer => "CONSUMER",
        }
    }

    pub fn of_number(number: u64) -> SpanKind {
        usize::try_from(number).ok().and_then(|number| SpanKind::ALL.get(number).copied()).unwrap_or_default()
    }
}

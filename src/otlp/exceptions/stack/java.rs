//! The JVM's `printStackTrace`, for Java, Kotlin and Scala: the newest call first, causes after what they caused, frames
//! in common left out. What was suppressed is not part of the chain and is left out.

use super::{Copies, EXCEPTION_COUNT_MAX, chain, head, oldest_first, push_line};
use crate::model::exception::{Exception, Frame};

pub(super) fn parse(text: &str) -> Vec<Exception> {
    let mut reader = Reader { exceptions: Vec::new(), state: State::Before, in_message: None, copies: Copies::new() };
    for line in text.lines() {
        reader.line(line.trim_end());
    }
    let mut exceptions = reader.exceptions;
    if !text.ends_with('\n') && exceptions.len() > 1 && exceptions.last().is_some_and(is_cut) {
        exceptions.pop();
    }
    oldest_first(&mut exceptions);
    chain(&mut exceptions);
    exceptions
}

/// The end of a text that was cut off may be half the name of a class.
fn is_cut(last: &Exception) -> bool {
    last.frames.is_empty() && last.value.is_empty()
}

enum State {
    Before,
    /// Lines that are no frames belong to the message.
    Message,
    Frames,
    /// Until the next cause of the chain.
    Skipped,
}

struct Reader {
    exceptions: Vec<Exception>,
    state: State,
    /// So many frames were lines of a message if another frame follows.
    in_message: Option<usize>,
    copies: Copies,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let trimmed = line.trim_start();
        let is_indented = trimmed.len() < line.len();
        if let Some(cause) = line.strip_prefix("Caused by: ") {
            self.open(cause);
        } else if is_indented && trimmed.starts_with("Suppressed: ") {
            self.state = State::Skipped;
        } else {
            match self.state {
                State::Before if line.is_empty() => {}
                State::Before if !is_indented => self.open(without_thread(line)),
                // The first line is missing: the frames are still worth having.
                State::Before => {
                    self.exceptions.push(Exception::default());
                    self.state = State::Frames;
                    self.frame(trimmed);
                }
                State::Message if is_indented && (is_call(line) || is_more(trimmed).is_some()) => {
                    self.state = State::Frames;
                    self.frame(trimmed);
                }
                State::Message => {
                    if let Some(last) = self.exceptions.last_mut() {
                        push_line(&mut last.value, line);
                    }
                }
                // Some print the whole trace further in; a cause of what was suppressed never comes here.
                State::Frames if let Some(cause) = trimmed.strip_prefix("Caused by: ") => self.open(cause),
                State::Frames if is_indented => self.frame(trimmed),
                State::Frames if !line.is_empty() => self.behind_frames(line),
                State::Frames | State::Skipped => {}
            }
        }
    }

    /// Nothing but a cause stands behind frames. So this is another trace, or the frames were a part of the message.
    fn behind_frames(&mut self, line: &str) {
        let (kind, _) = head(line);
        let is_thrown = ["Exception", "Error", "Throwable"].iter().any(|end| kind.ends_with(end));
        if is_thrown {
            self.state = State::Skipped;
        } else {
            self.in_message = self.exceptions.last().map(|last| last.frames.len());
        }
    }

    fn open(&mut self, line: &str) {
        self.state = State::Skipped;
        self.in_message = None;
        if line.starts_with("[CIRCULAR REFERENCE") || self.exceptions.len() >= EXCEPTION_COUNT_MAX {
            return;
        }
        let (kind, value) = head(line);
        self.exceptions.push(Exception { kind: kind.to_owned(), value: value.to_owned(), ..Exception::default() });
        self.state = State::Message;
    }

    fn frame(&mut self, line: &str) {
        if let (Some(count), Some(last)) = (self.in_message.take(), self.exceptions.last_mut()) {
            last.frames.drain(..count.min(last.frames.len()));
        }
        if let Some(count) = is_more(line) {
            self.copy(count);
        } else if let Some(frame) = frame(line)
            && let Some(last) = self.exceptions.last_mut()
        {
            last.frames.push(frame);
        }
    }

    /// `... 23 more`: the last frames of the trace around this one, which is the oldest part of it.
    fn copy(&mut self, count: usize) {
        let Some((last, [.., enclosing])) = self.exceptions.split_last_mut() else { return };
        let start = enclosing.frames.len().saturating_sub(count);
        self.copies.copy(&enclosing.frames[start..], &mut last.frames);
    }
}

/// `Exception in thread "main" pkg.Type: message`.
fn without_thread(line: &str) -> &str {
    let quoted = line.strip_prefix("Exception in thread \"");
    quoted.and_then(|rest| rest.split_once("\" ")).map_or(line, |(_, rest)| rest)
}

fn is_more(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("... ")?;
    // The second form is logback's.
    rest.strip_suffix(" more").or_else(|| rest.strip_suffix(" common frames omitted"))?.parse().ok()
}

/// Whether a line behind a message begins the frames. Messages have lines of the same beginning, such as Jackson's
/// ` at [Source: (String)"..."; line: 1, column: 2]`.
fn is_call(line: &str) -> bool {
    let Some(call) = line.trim_start().strip_prefix("at ") else { return false };
    match call.split_once('(') {
        Some((name, _)) => name.contains('.') && !name.contains(char::is_whitespace),
        // Where the text was cut off.
        None => line.starts_with(['\t', ' ']) && !line.starts_with(" at") && !call.contains(char::is_whitespace),
    }
}

/// `at [loader/][module[@version]/]package.Class.method(File.java:12)`, perhaps followed by the archive it is from.
fn frame(line: &str) -> Option<Frame> {
    let call = line.strip_prefix("at ")?;
    let (name, rest) = call.split_once('(')?;
    let (place, _) = rest.split_once(')')?;
    // The name of a hidden class has a slash too, behind its `$$Lambda`.
    let plain = name.split('$').next().unwrap_or(name);
    let name = &name[plain.rfind('/').map_or(0, |at| at + 1)..];
    let (class, method) = name.rsplit_once('.')?;
    // What stands behind that slash is an address, another one in each process.
    let class = class.split_once("/0x").map_or(class, |(class, _)| class);
    if class.is_empty() || method.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    // OpenJ9 has the module here.
    let place = place.rsplit_once('/').map_or(place, |(_, place)| place);
    let (file, line) = match place {
        "Native Method" | "Unknown Source" | "<generated>" => (None, None),
        _ => match place.rsplit_once(':') {
            Some((file, number)) => (Some(file), number.parse().ok()),
            None => (Some(place), None),
        },
    };
    Some(Frame {
        function: Some(method.to_owned()),
        module: Some(class.to_owned()),
        filename: file.filter(|file| !file.is_empty()).map(str::to_owned),
        line,
        in_app: is_in_app(class) && place != "<generated>",
        ..Frame::default()
    })
}

fn is_in_app(class: &str) -> bool {
    !LIBRARIES.iter().any(|package| class.starts_with(package))
        && !["$$FastClassBy", "$$EnhancerBy", "$$SpringCGLIB", "$$Lambda"].iter().any(|mark| class.contains(mark))
}

/// The platform and what nearly every service is built on.
const LIBRARIES: [&str; 82] = [
    "java.",
    "javax.",
    "jakarta.",
    "sun.",
    "jdk.",
    "com.sun.",
    "kotlin.",
    "kotlinx.",
    "_COROUTINE.",
    "scala.",
    "groovy.",
    "clojure.",
    "android.",
    "androidx.",
    "akka.",
    "brave.",
    "cats.",
    "ch.qos.logback.",
    "com.amazonaws.",
    "com.android.",
    "com.datastax.",
    "com.fasterxml.",
    "com.github.benmanes.caffeine.",
    "com.google.api.",
    "com.google.cloud.",
    "com.google.common.",
    "com.google.inject.",
    "com.google.protobuf.",
    "com.linecorp.armeria.",
    "com.microsoft.sqlserver.",
    "com.mongodb.",
    "com.mysql.",
    "com.netflix.",
    "com.oracle.",
    "com.rabbitmq.",
    "com.squareup.",
    "com.zaxxer.",
    "dalvik.",
    "dev.zio.",
    "feign.",
    "graphql.",
    "io.grpc.",
    "io.ktor.",
    "io.lettuce.",
    "io.micrometer.",
    "io.micronaut.",
    "io.netty.",
    "io.opentelemetry.",
    "io.quarkus.",
    "io.reactivex.",
    "io.undertow.",
    "io.vertx.",
    "javassist.",
    "junit.",
    "net.bytebuddy.",
    "okhttp3.",
    "okio.",
    "oracle.",
    "org.apache.",
    "org.aspectj.",
    "org.codehaus.",
    "org.eclipse.",
    "org.glassfish.",
    "org.hibernate.",
    "org.jboss.",
    "org.jetbrains.exposed.",
    "org.jooq.",
    "org.junit.",
    "org.mariadb.",
    "org.mockito.",
    "org.mongodb.",
    "org.postgresql.",
    "org.slf4j.",
    "org.springframework.",
    "play.",
    "reactor.",
    "redis.clients.",
    "retrofit2.",
    "rx.",
    "software.amazon.",
    "sttp.",
    "zio.",
];

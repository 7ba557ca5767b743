//! The descriptors of the gRPC services behind the doors and of all messages they take, for reflection: a
//! `google.protobuf.FileDescriptorSet` that `scripts/descriptors.py` writes. Never decides what a door takes; nothing else reads it.

use crate::otlp::wire::Fields;

static SET: &[u8] = include_bytes!("descriptors.bin");

/// Of a `FileDescriptorProto`.
const NAME: u32 = 1;
const PACKAGE: u32 = 2;
/// Messages, enums and services of a file.
static TOP: [u32; 3] = [4, 5, 6];
/// Fields, inner messages and enums of a message; methods of a service; values of an enum.
static INNER: [u32; 3] = [2, 3, 4];

/// The file of this name, as a `FileDescriptorProto`.
pub(super) fn file_named(name: &[u8]) -> Option<&'static [u8]> {
    files().find(|file| text(file, NAME) == name)
}

/// The file that declares a service, method, message, field or enum, by its full name.
pub(super) fn file_with(symbol: &[u8]) -> Option<&'static [u8]> {
    files().find(|file| declares(file, symbol))
}

fn files() -> impl Iterator<Item = &'static [u8]> {
    inside(SET, &[1])
}

fn declares(file: &'static [u8], symbol: &[u8]) -> bool {
    let package = text(file, PACKAGE);
    let Some([b'.', names @ ..]) = symbol.strip_prefix(package) else { return false };
    let (mut scope, mut numbers) = (file, &TOP);
    for name in names.split(|byte| *byte == b'.') {
        match inside(scope, numbers).find(|inner| text(inner, NAME) == name) {
            Some(inner) => (scope, numbers) = (inner, &INNER),
            None => return false,
        }
    }
    true
}

fn text(message: &'static [u8], number: u32) -> &'static [u8] {
    fields(message).find_map(|(found, bytes)| (found == number).then_some(bytes)).unwrap_or_default()
}

/// What stands in the fields with these numbers.
fn inside(message: &'static [u8], numbers: &'static [u32]) -> impl Iterator<Item = &'static [u8]> {
    fields(message).filter_map(|(number, bytes)| numbers.contains(&number).then_some(bytes))
}

fn fields(message: &'static [u8]) -> impl Iterator<Item = (u32, &'static [u8])> {
    Fields::new(message).flatten().filter_map(|field| Some((field.number, field.value.bytes()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_and_all_that_it_needs_is_described() {
        const DEPENDENCY: u32 = 3;
        let mut open: Vec<&[u8]> = super::super::services()
            .filter(|service| !service.is_empty())
            .map(|service| file_with(service.as_bytes()).unwrap_or_else(|| panic!("{service}")))
            .collect();
        assert_eq!(open.len(), 7);
        let mut count = 0;
        while let Some(file) = open.pop() {
            count += 1;
            open.extend(inside(file, &[DEPENDENCY]).map(|name| file_named(name).expect("each import is there")));
        }
        assert!(count > 7);
    }

    #[test]
    fn symbols_of_every_kind_are_found_and_others_are_not() {
        let name = |symbol: &str| file_with(symbol.as_bytes()).map(|file| String::from_utf8_lossy(text(file, NAME)));
        let traces = "opentelemetry/proto/trace/v1/trace.proto";
        for symbol in ["Span", "Span.Event", "Span.Event.name", "Span.SpanKind", "Status.StatusCode", "ResourceSpans"] {
            assert_eq!(name(&format!("opentelemetry.proto.trace.v1.{symbol}")).as_deref(), Some(traces), "{symbol}");
        }
        let export = "opentelemetry.proto.collector.logs.v1.LogsService.Export";
        assert_eq!(name(export).as_deref(), Some("opentelemetry/proto/collector/logs/v1/logs_service.proto"));
        for symbol in ["", ".", "opentelemetry.proto.trace.v1", "opentelemetry.proto.trace.v1.", "Span", "a.b.C"] {
            assert_eq!(name(symbol), None, "{symbol}");
        }
        assert_eq!(file_named(b"nothing.proto"), None);
    }
}

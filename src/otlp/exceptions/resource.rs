//! What a resource says of the program that threw: its name, version, environment, host and language. Never guesses a
//! value that is not there.

use super::attributes::{Attributes, messages};
use crate::model::exception::{ErrorResource, Language};
use crate::model::{TagName, Tags};

/// A name, version or host that is longer is none.
const TEXT_BYTES_MAX: usize = 1024;
const ATTRIBUTES_BYTES_MAX: usize = 8 * 1024;

const SERVER_NAMES: [&str; 5] = ["k8s.pod.name", "host.name", "aws.ecs.task.id", "aws.ecs.task.arn", "host.id"];

/// The resource of a block: field 1, which may be split in several that count as one.
pub(super) fn read(block: &[u8], tags: &Tags) -> ErrorResource {
    let attributes = attributes(block);
    let text = |names: &[&str]| attributes.first(names).filter(|text| text.len() <= TEXT_BYTES_MAX).map(str::to_owned);
    let tag = |name| tags.value(name).map(str::to_owned);
    ErrorResource {
        service: text(&["service.name"])
            .filter(|name| !name.starts_with("unknown_service"))
            .or_else(|| tag(TagName::Service)),
        version: text(&["service.version"]),
        environment: text(&["deployment.environment.name", "deployment.environment"])
            .or_else(|| tag(TagName::Environment)),
        // The last part of a task's ARN is its id.
        server_name: text(&SERVER_NAMES).map(|name| match name.rsplit_once('/') {
            Some((_, id)) if name.starts_with("arn:") => id.to_owned(),
            _ => name,
        }),
        attributes: attributes.kept(TEXT_BYTES_MAX, ATTRIBUTES_BYTES_MAX),
        tags: tags.clone(),
    }
}

/// `None` where the SDK did not say.
pub(super) fn language(block: &[u8]) -> Option<Language> {
    Some(match attributes(block).get("telemetry.sdk.language")? {
        "python" => Language::Python,
        "java" | "kotlin" | "scala" => Language::Java,
        // Deno writes its own and runs V8.
        "nodejs" | "deno-rust" => Language::Node,
        "webjs" => Language::Browser,
        "go" => Language::Go,
        "dotnet" => Language::DotNet,
        "ruby" => Language::Ruby,
        "php" => Language::Php,
        "erlang" | "elixir" => Language::Elixir,
        _ => Language::Other,
    })
}

fn attributes(block: &[u8]) -> Attributes<'_> {
    let mut attributes = Attributes::default();
    for resource in messages(block, 1) {
        messages(resource, 1).for_each(|pair| attributes.take(pair));
    }
    attributes
}

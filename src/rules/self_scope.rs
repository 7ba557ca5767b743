//! Who may speak about the platform: a thing about itself, never about its peers and never in prose. Checked when
//! rules are compiled, so that no rule can ask the wrong witness.

use super::facts::Scope;

/// Why a key has no vote, and what to ask instead.
pub(super) struct NoVote {
    pub(super) why: &'static str,
    pub(super) hint: String,
}

/// The span's kind stands in this field; a rule that asks a span must ask for `server`.
pub(super) const SPAN_KIND: (&str, &str) = ("field.span_kind", "server");

/// Texts for people, whatever their source calls them.
const PROSE: [&str; 10] =
    ["title", "summary", "description", "message", "reason", "text", "body", "details", "runbook_url", "generatorURL"];

/// Attributes that name the other end of a call, in whichever scope they turn up.
const PEERS: [&str; 12] = [
    "aws.remote.",
    "service.peer.",
    "peer.",
    "server.",
    "client.",
    "network.peer.",
    "url.",
    "http.",
    "rpc.",
    "db.",
    "messaging.",
    "faas.invoked_",
];
/// The same as whole names: attributes, and the dimensions of Application Signals.
const PEER_NAMES: [&str; 5] =
    ["aws.lambda.invoked_arn", "RemoteService", "RemoteEnvironment", "RemoteOperation", "RemoteResourceIdentifier"];

/// Prose among the labels, where a source makes labels of a whole body.
const PROSE_LABELS: [&str; 4] = ["summary", "description", "message", "runbook_url"];

/// How exporters write the attributes of the other end of a call, which have dots.
const PEER_LABELS: [&str; 8] = [
    "aws_remote_",
    "service_peer_",
    "peer_service",
    "server_address",
    "client_address",
    "network_peer_",
    "faas_invoked_",
    "aws_lambda_invoked_arn",
];

/// Whether a rule that sets `platform` may look there.
pub(super) fn check(scope: Scope, name: &str) -> Result<(), NoVote> {
    let own = || "ask what the sender says of itself: `resource.`, `label.`, `dimension.`, `field.`".to_owned();
    match scope {
        Scope::Annotation => Err(NoVote { why: "annotations are prose about anything", hint: own() }),
        Scope::Log => Err(NoVote { why: "a log record is prose about anything", hint: own() }),
        Scope::Out => Err(NoVote {
            why: "tags are set when the votes are counted",
            hint: "let the rule set `platform.cluster` or `platform.variant` alone, without `platform`".to_owned(),
        }),
        Scope::Field if PROSE.contains(&name) => Err(NoVote { why: "it is prose about anything", hint: own() }),
        Scope::Label if PROSE_LABELS.contains(&name) => Err(NoVote { why: "it is prose about anything", hint: own() }),
        Scope::Label if PEER_LABELS.iter().any(|peer| name.starts_with(peer)) => {
            Err(NoVote { why: "it names the other end of a call", hint: own() })
        }
        Scope::Span if !may_name_lambda(name) => {
            Err(NoVote { why: "attributes of a span tell what it called", hint: own() })
        }
        Scope::Resource | Scope::Span | Scope::Label | Scope::Dimension | Scope::Field | Scope::Constant
            if is_peer(name) =>
        {
            Err(NoVote { why: "it names the other end of a call", hint: own() })
        }
        Scope::Resource | Scope::Span | Scope::Label | Scope::Dimension | Scope::Field | Scope::Constant => Ok(()),
    }
}

/// A function learns its own ARN with the first request, so the convention puts it on the `SERVER` span; `faas.id` is
/// the older name. What else stands there changes with every request.
pub const SERVER_SPAN_KEYS: [&str; 3] = ["cloud.resource_id", "faas.id", "faas.name"];

fn may_name_lambda(name: &str) -> bool {
    SERVER_SPAN_KEYS.contains(&name)
}

/// Whether it names the other end of a call.
pub(super) fn is_peer(name: &str) -> bool {
    PEERS.iter().any(|peer| name.starts_with(peer)) || PEER_NAMES.contains(&name)
}

//! The part of the table that describes files of tests. The reader of tests takes its known keys from here.

use super::{Rest, Section, Shape, default, optional, required};

const STATES: &[&str] = &["firing", "resolved", "acknowledged", "suppressed", "no_data", "info"];
const SENT: &[&str] = &["firing", "resolved", "acknowledged", "suppressed", "no_data", "info", "as_given"];
pub(in crate::rules) const SPAN_KINDS: &[&str] = &["internal", "server", "client", "producer", "consumer"];
const KINDS: &[&str] = &["opened", "changed", "reminder", "resolved", "event"];

pub(in crate::rules) const STORIES: Section = Section {
    name: "tests",
    about: "A file of `tests/`: what comes in, and what must come of it.",
    keys: &[
        required("version", Shape::OneOf(&["1"]), "The version of this format."),
        required("tests", Shape::List(&CASE), "One after another; none knows of the others."),
    ],
    rest: Rest::None,
};

pub(in crate::rules) const CASE: Section = Section {
    name: "test",
    about: "One test, with a clock and a store of its own.",
    keys: &[
        required("name", Shape::Text, "A sentence about what must be so; unique in its file."),
        optional("why", Shape::Text, "A sentence for readers."),
        default("clock", Shape::Time, crate::rules::story::CLOCK, "The instant of `0s`."),
        optional("given", Shape::Map(&GIVEN), "What comes in: at once, or in the steps that `send`."),
        optional("at", Shape::Texts, "Moments at which `given` comes: `20s c3`; `${at}` is the word behind the time."),
        optional("steps", Shape::List(&STEP), "What happens, in order of time; instead of `at`."),
        optional("expect", Shape::Map(&EXPECT), "What must hold after the last step; notices are those of all steps."),
        optional("expect_rules", Shape::Texts, "Ids of rules and routes that must have decided something."),
    ],
    rest: Rest::None,
};

pub(in crate::rules) const STEP: Section = Section {
    name: "step",
    about: "Time passes, then perhaps something is sent.",
    keys: &[
        default("at", Shape::Duration, "as the step before", "Since the start."),
        optional("after", Shape::Duration, "Since the step before; instead of `at`."),
        optional("send", Shape::OneOf(SENT), "Sends `given`, in this state; without it and `given`, only time passes."),
        optional("given", Shape::Map(&GIVEN), "Something else than the test's own `given`; sent at once."),
        optional("with", Shape::TextMap, "What `${word}` stands for in `given`."),
        optional("expect", Shape::Map(&EXPECT), "What must hold then; notices are those since the step before."),
    ],
    rest: Rest::None,
};

pub(in crate::rules) const GIVEN: Section = Section {
    name: "given",
    about: "One of `alert`, `file` and `span`.",
    keys: &[
        optional("alert", Shape::Map(&ALERT), "An alert, field by field."),
        optional("file", Shape::Text, "A body as its sender posted it: a file below `tests/`."),
        optional("span", Shape::Map(&SPAN), "A resource and a span of it."),
        default("source", Shape::Text, "the one that can", "With `file`: the kind of source that reads it."),
        default("instance", Shape::Text, "the kind", "With `file`: the name of the source in the settings."),
        optional("path", Shape::Text, "With `file`: the path it was posted to, where a kind has several."),
        optional("constants", Shape::TextMap, "With `file`: constants of the source."),
        optional("options", Shape::Any, "With `file`: options of the source, such as the mapping of `json`."),
    ],
    rest: Rest::None,
};

pub(in crate::rules) const ALERT: Section = Section {
    name: "alert",
    about: "An alert. Two with the same name and labels are the same alert.",
    keys: &[
        default("name", Shape::Text, "label `alertname`", "The name of the alert."),
        optional("class", Shape::Text, "Another word for `name`."),
        default("title", Shape::Text, "the name", "What people read first."),
        default("state", Shape::OneOf(STATES), "firing", "What its source says."),
        default("severity", Shape::Text, "label `severity`, else error", "How bad, in a word of any sender."),
        optional("labels", Shape::TextMap, "Its labels."),
        optional("service", Shape::Text, "The label of this name."),
        optional("env", Shape::Text, "The label of this name."),
        optional("cell", Shape::Text, "The label of this name."),
        optional("cluster", Shape::Text, "The label of this name."),
        optional("platform", Shape::Text, "The label of this name."),
        optional("annotations", Shape::TextMap, "Its annotations."),
        optional("fields", Shape::TextMap, "What rules see as `field.`."),
        optional("dimensions", Shape::TextMap, "What rules see as `dimension.`."),
        default("id", Shape::Text, "name and labels", "What tells it from other alerts."),
        default("holds_for", Shape::Duration, "24h", "How long it fires when nothing more is heard."),
        default("source", Shape::Text, "alertmanager", "The kind of source: `field.source`."),
        default("instance", Shape::Text, "the kind", "The name of the source: `field.instance`."),
        optional("constants", Shape::TextMap, "Constants of the source."),
    ],
    rest: Rest::None,
};

pub(in crate::rules) const SPAN: Section = Section {
    name: "span",
    about: "Telemetry of a program.",
    keys: &[
        optional("resource", Shape::TextsMap, "What rules see as `resource.`."),
        default("kind", Shape::OneOf(SPAN_KINDS), "internal", "The kind of the span."),
        optional(
            "attributes",
            Shape::TextMap,
            "Of the span; rules see what a function says of itself on a `server` span.",
        ),
    ],
    rest: Rest::None,
};

pub(in crate::rules) const EXPECT: Section = Section {
    name: "expect",
    about: "A tag by its name (a text, `unknown`, `absent`, a list of parts, or `{ is, by }`), or one of these words. \
            Where several alerts were sent at once, all of them must fit.",
    keys: &[
        optional("rules", Shape::Texts, "Ids of rules and routes that must have decided something."),
        optional("route", Shape::Text, "The id of the route."),
        optional("to", Shape::Texts, "The sinks of the route, in any order."),
        optional("outcome", Shape::Text, "What became of the alert: `opened`, `joined`, `repeated`, `late`, …"),
        optional("incident", Shape::OneOf(&["same", "different"]), "Whether its key is that of what was sent before."),
        optional("incidents", Shape::Whole, "How many incidents there have been, open or not."),
        optional("open", Shape::Whole, "How many incidents are open, held ones among them."),
        optional("legs", Shape::Counts, "Firing alerts per platform, in the incident of what was sent last."),
        optional("cells", Shape::Texts, "The cells of that incident, in any order."),
        optional(
            "notices",
            Shape::CountOrListOf(&EXPECT_NOTICE),
            "What was said, in order: `[]`, `[opened, resolved all_resolved]`; or how many, in all or per kind.",
        ),
        optional("deliveries", Shape::Counts, "Notices per sink."),
        optional("quiet", Shape::Text, "The id of the silence or route that holds back what it has to say; or `no`."),
        optional("title", Shape::Text, "The title of the last notice."),
        optional("title_contains", Shape::Texts, "Parts of the title of the last notice."),
        optional("alerts", Shape::ListOfExpect, "Expectations per alert of what was sent last, in order."),
    ],
    rest: Rest::Tags,
};

pub(in crate::rules) const EXPECT_TAG: Section = Section {
    name: "expected_tag",
    about: "A tag's value and the rule that set it.",
    keys: &[
        required("is", Shape::Text, "A value, `unknown` or `absent`."),
        optional("by", Shape::Text, "The id of the rule, or the name of the service, that set it."),
    ],
    rest: Rest::None,
};

pub(in crate::rules) const EXPECT_NOTICE: Section = Section {
    name: "expected_notice",
    about: "One thing that was said. As a text: the kind, then perhaps the reason.",
    keys: &[
        required("kind", Shape::OneOf(KINDS), "What kind of notice."),
        optional("reason", Shape::Text, "Why it was said then: `first_alert`, `hold_over`, `new_leg`, …"),
        optional("at", Shape::Duration, "When, since the start."),
        optional("title", Shape::Text, "Its title."),
        optional("title_contains", Shape::Texts, "Parts of its title."),
    ],
    rest: Rest::None,
};

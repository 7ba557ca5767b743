//! The part of the table that describes files of rules. Holds words only; what they do is in the compiler.

use super::{Key, Rest, Section, Shape, default, optional, required};

const VERSION: Key = required("version", Shape::OneOf(&["1"]), "The version of this format.");
const TABLES: Key = optional("tables", Shape::MapOf(&TABLE), "What is known of a key, for `in`.");
const RULES: Key = optional("rules", Shape::List(&RULE), "From top to bottom; the first that sets a tag wins.");
const WHY: Key = optional("why", Shape::Text, "A sentence for whoever reads the rule.");

pub(super) const PLATFORM_FILE: Section = Section {
    name: "platform",
    about: "A file of `kind: platform`: where it ran.",
    keys: &[
        VERSION,
        required("kind", Shape::OneOf(&["platform"]), "What the file says."),
        default("pods_ipv6_only", Shape::Bool, "false", "Pods have IPv6 only and tasks IPv4: addresses break ties."),
        TABLES,
        RULES,
    ],
    rest: Rest::None,
};

pub(super) const CELLS_FILE: Section = Section {
    name: "cells",
    about: "A file of `kind: cells`: which cell and which environment.",
    keys: &[
        VERSION,
        required("kind", Shape::OneOf(&["cells"]), "What the file says."),
        TABLES,
        optional("environments", Shape::TextsMap, "One name per environment, with its other spellings."),
        optional("cells", Shape::List(&CELL), "The registry of cells."),
        RULES,
    ],
    rest: Rest::None,
};

pub(super) const SERVICES_FILE: Section = Section {
    name: "services",
    about: "A file of `kind: services`: which service, and whose.",
    keys: &[
        VERSION,
        required("kind", Shape::OneOf(&["services"]), "What the file says."),
        TABLES,
        optional("import", Shape::List(&IMPORT), "Catalogues of services that exist already."),
        optional("codeowners", Shape::Text, "A CODEOWNERS file beside the rules, for services with a `path`."),
        optional("teams", Shape::MapOf(&TEAM), "The teams that may own something, by name."),
        optional("services", Shape::List(&SERVICE), "The registry of services."),
        optional("strip", Shape::Map(&STRIP), "What may be cut off an unknown name until a known one remains."),
        optional("class", Shape::Map(&CLASS), "How the names of alerts become classes."),
        RULES,
    ],
    rest: Rest::None,
};

pub(super) const ROUTES_FILE: Section = Section {
    name: "routes",
    about: "A file of `kind: routes`: who is told, and when.",
    keys: &[
        VERSION,
        required("kind", Shape::OneOf(&["routes"]), "What the file says."),
        TABLES,
        optional("routes", Shape::List(&ROUTE), "The first that matches decides; the last must match everything."),
    ],
    rest: Rest::None,
};

pub(super) const SILENCES_FILE: Section = Section {
    name: "silences",
    about: "A file of `kind: silences`: what nobody is told of for a while.",
    keys: &[
        VERSION,
        required("kind", Shape::OneOf(&["silences"]), "What the file says."),
        TABLES,
        optional("silences", Shape::List(&SILENCE), "Each holds by itself."),
    ],
    rest: Rest::None,
};

pub(super) const SILENCE: Section = Section {
    name: "silence",
    about: "Incidents for which the conditions hold are kept and counted, and nobody is told before its end.",
    keys: &[
        required("id", Shape::Text, "Unique over all files; letters, digits, `-`, `_`, `.`."),
        required("why", Shape::Text, "A sentence for whoever wonders."),
        required("when", Shape::When, "Conditions on `label.`, `annotation.`, `out.` and some of `field.`."),
        optional("from", Shape::Time, "From this instant; from the beginning of time, where it is not written."),
        required("until", Shape::Time, "Until this instant."),
    ],
    rest: Rest::None,
};

pub(super) const INTERVAL: Section = Section {
    name: "interval",
    about: "A part of time. All that is given must hold.",
    keys: &[
        optional("weekdays", Shape::Texts, "Days and ranges: `mon-fri`, `saturday`."),
        optional("times", Shape::Texts, "`09:00-17:30`; the end does not belong to it, and may be `24:00`."),
        optional("days", Shape::Texts, "Days of the month: `1-7`, `-1` is the last."),
        optional("months", Shape::Texts, "`nov-dec`, `1-3`."),
        optional("years", Shape::Texts, "`2026`, `2026-2027`."),
        default("zone", Shape::Text, "UTC", "A zone of the IANA database, such as `Europe/Berlin`."),
    ],
    rest: Rest::None,
};

pub(super) const LIMIT: Section = Section {
    name: "limit",
    about: "How many incidents of a route may page. What is above it is told when its time is over, if it still fires.",
    keys: &[
        required("per", Shape::OneOf(&["class", "service", "owner", "cell"]), "Counted for each value of this tag."),
        required("rate", Shape::Text, "A number and a span: `1/h`, `3/30m`."),
    ],
    rest: Rest::None,
};

pub(super) const RULE: Section = Section {
    name: "rule",
    about: "When all conditions hold, the tags are set that no earlier rule has set.",
    keys: &[
        required("id", Shape::Text, "Unique over all files; letters, digits, `-`, `_`, `.`."),
        WHY,
        required("when", Shape::When, "The conditions; `{}` always holds."),
        required("set", Shape::Set, "Tags and their values; `${…}` fills in what was found."),
        optional(
            "existing",
            Shape::OneOf(&["replace", "keep"]),
            "What becomes of an attribute of a Resource that has a tag's name already; else as `spans.existing` says.",
        ),
        default(
            "stage",
            Shape::OneOf(&["live", "shadow"]),
            "live",
            "A `shadow` rule sets nothing; what it would change is counted.",
        ),
        optional(
            "expires",
            Shape::Date,
            "The last day it is wanted; later it stays in force, and `tawny check` warns.",
        ),
    ],
    rest: Rest::None,
};

pub(super) const ROUTE: Section = Section {
    name: "route",
    about: "Who is told, and when. The first route that matches decides.",
    keys: &[
        required("id", Shape::Text, "Unique over all files; letters, digits, `-`, `_`, `.`."),
        WHY,
        default("when", Shape::When, "{}", "The conditions; `out.` asks for tags."),
        default("to", Shape::Texts, "every sink", "Names of sinks of the settings."),
        default("continue", Shape::Bool, "false", "The routes behind it are asked too, and add their sinks."),
        optional("partner", Shape::Text, "A team: adds `to` for what runs on EKS of services with this `partner`."),
        optional("severity", Shape::TextMap, "What a severity is told as: `{ critical: error }`."),
        default("hold", Shape::Duration, "0s", "How long an alert must last before anybody is told."),
        default("update", Shape::Duration, "1m", "The least time between two notices about new legs or cells."),
        default("remind", Shape::Duration, "3h", "An open incident is told again after this."),
        default("fold", Shape::OneOf(&["platforms", "none"]), "platforms", "`none`: one incident for each platform."),
        optional("active", Shape::List(&INTERVAL), "Told only within one of these; what comes outside waits."),
        optional("mute", Shape::List(&INTERVAL), "What comes within one of these waits for its end."),
        optional("limit", Shape::Map(&LIMIT), "How many incidents may page within a while."),
    ],
    rest: Rest::None,
};

pub(super) const TABLE: Section = Section {
    name: "table",
    about: "Rows in the file, or a CSV file beside it.",
    keys: &[
        required("key", Shape::Text, "The column that `in` looks up."),
        optional("rows", Shape::Rows, "Maps of texts, one per row."),
        optional("file", Shape::Text, "A CSV file with a header, instead of `rows`."),
    ],
    rest: Rest::None,
};

pub(super) const CELL: Section = Section {
    name: "cell",
    about: "A complete copy of the workload.",
    keys: &[
        required("id", Shape::Text, "Its name."),
        optional("kind", Shape::OneOf(&["shard", "zone", "dc", "tenant"]), "What divides the copies."),
        optional("env", Shape::Text, "An environment of `environments`."),
        optional("region", Shape::Text, "The region of the cloud."),
        optional("account", Shape::Text, "The account of the cloud; quote it."),
        optional("wave", Shape::Whole, "Its turn in a rollout, from 0."),
        optional("share", Shape::Number, "Its part of the traffic of its environment, 0 to 1."),
        optional("state", Shape::OneOf(&["active", "draining", "drained", "building"]), "What it is doing."),
        optional("clusters", Shape::TextsPer(&["ecs", "eks", "k8s"]), "Names of its clusters, per platform."),
        optional("aliases", Shape::Texts, "Other names of the cell."),
        optional("evacuation", Shape::Text, "A link to how it is emptied."),
        optional("contacts", Shape::Any, "For readers; nothing looks at it."),
    ],
    rest: Rest::None,
};

pub(super) const IMPORT: Section = Section {
    name: "import",
    about: "Files in the format of a catalogue. What `services` says of a service goes before what they say.",
    keys: &[
        required("from", Shape::OneOf(&["backstage", "datadog"]), "The format."),
        required("files", Shape::Texts, "Paths in folders below the rules: `*` stays in a folder, `**` is any number."),
    ],
    rest: Rest::None,
};

pub(super) const TEAM: Section = Section {
    name: "team",
    about: "A team that may own services.",
    keys: &[optional("about", Shape::Text, "A sentence for readers.")],
    rest: Rest::None,
};

pub(super) const SERVICE: Section = Section {
    name: "service",
    about: "A service and every name under which it appears.",
    keys: &[
        required("name", Shape::Text, "The name that people say."),
        optional("owner", Shape::Text, "A team of `teams`; required where neither a catalogue nor `path` gives one."),
        optional("criticality", Shape::OneOf(&["critical", "high", "medium", "low"]), "How bad its failure is."),
        optional("aliases", Shape::ListOfTextOr(&ALIAS), "Other names; each belongs to one service."),
        optional("path", Shape::Text, "Its folder in the repository: without `owner`, `codeowners` says whose it is."),
        optional("partner", Shape::Text, "While it moves to EKS: the team that is told as well, by a `partner` route."),
        optional("runbook", Shape::Text, "A link, for alerts that bring none."),
        optional("about", Shape::Text, "A sentence for readers."),
    ],
    rest: Rest::None,
};

pub(super) const ALIAS: Section = Section {
    name: "alias",
    about: "A pattern of names.",
    keys: &[required("glob", Shape::Text, "`*` is any run of characters, `?` one.")],
    rest: Rest::None,
};

pub(super) const STRIP: Section = Section {
    name: "strip",
    about: "What may be cut off an unknown name, one piece at a time.",
    keys: &[
        optional("prefixes", Shape::Texts, "Beginnings, cut as they stand."),
        optional("suffixes", Shape::Texts, "Endings, cut as they stand."),
        optional("words", Shape::Texts, "Words at either end, set off by `-`, `.` or `/`."),
        optional("parts", Shape::Texts, "`env`, `cell`, `region`: the words of the registries; `pod`: a pod's ending."),
    ],
    rest: Rest::None,
};

pub(super) const CLASS: Section = Section {
    name: "class",
    about: "Words that say where and never what.",
    keys: &[optional("strip", Shape::Texts, "They leave the names of alerts.")],
    rest: Rest::None,
};

pub(super) const WHEN: Section = Section {
    name: "when",
    about: "Conditions that must all hold: keys of the form `scope.name` with matchers, `any` and `not`.",
    keys: &[
        optional("any", Shape::Whens, "One of these must hold."),
        optional("not", Shape::When, "This must not hold."),
    ],
    rest: Rest::ScopedKeys,
};

/// Read by the compiler in this order.
pub(in crate::rules) const MATCHER: Section = Section {
    name: "matcher",
    about: "What is asked of one value. Several keys must all hold.",
    keys: &[
        optional("prefix", Shape::Text, "It begins with this."),
        optional("suffix", Shape::Text, "It ends with this."),
        optional("glob", Shape::Text, "It fits this: `*` is any run of characters, `?` one."),
        optional("re", Shape::Text, "All of it fits this expression; `(?<name>…)` gives `${name}`."),
        optional("cidr", Shape::Texts, "It is an address in one of these networks."),
        optional("exists", Shape::Bool, "It is there, or it is not."),
        optional("arn", Shape::Map(&ARN), "It is an ARN of this kind; gives `${arn.cluster}` and its like."),
        optional("in", Shape::Text, "It is a key of this table; gives `${table.column}`."),
        optional("where", Shape::TextsMap, "Beside `in`: columns and the values they may have."),
        optional("gt", Shape::Number, "It is a number above this."),
        optional("lt", Shape::Number, "It is a number below this."),
    ],
    rest: Rest::None,
};

pub(super) const ARN: Section = Section {
    name: "arn",
    about: "An Amazon Resource Name, in any partition.",
    keys: &[
        required("service", Shape::Text, "`ecs`, `eks`, `lambda`, `elasticloadbalancing`, …"),
        optional("type", Shape::Texts, "The types of resource; any, where it is not written."),
        optional("in", Shape::Text, "Its name is a key of this table."),
    ],
    rest: Rest::None,
};

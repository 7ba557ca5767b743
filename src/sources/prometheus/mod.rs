//! Alerts as Prometheus words them, shared by the two sources that carry them: the same label set is the same
//! alert, whichever way it came. Never guesses what a label means; that is the rules' work.
//!
//! | their field | our field | note |
//! | --- | --- | --- |
//! | `labels` | `labels`, identity | empty values and replica labels removed first |
//! | `annotations` | `annotations`, `title` | `summary`, else `title`, else first line of `description` |
//! | `startsAt`, `endsAt` | `starts_at`, `ends_at` | Go's zero time is "not set" |
//! | `generatorURL` | field `generatorURL` | a link is made of it when an incident opens |
//! | `fingerprint` | identity (Grafana only) | others are recomputed, imitators leave it out |

mod element;
mod quick;
mod shape;

pub(super) use element::{Element, Elements, Values, read_elements};
pub(super) use shape::{Shape, Spoken};

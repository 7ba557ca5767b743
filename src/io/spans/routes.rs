//! Which sinks a Resource's telemetry goes to: the first route whose owner, service and environment fit, else the
//! sinks named for everything. Looks at tags only, never at a span.

use crate::model::{TagName, Tags};

/// Sinks as bits, in the order of `spans.to` and the routes; the one that was named first speaks for the promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkSet {
    first: u8,
    bits: u64,
}

/// More sinks than this cannot be told apart in a set.
pub const SINK_COUNT_MAX: usize = 64;

/// One route: each list holds the values that fit; an empty one fits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanRoute {
    pub owner: Vec<String>,
    pub service: Vec<String>,
    pub environment: Vec<String>,
    pub to: SinkSet,
}

#[derive(Clone, Debug, Default)]
pub struct SpanRoutes {
    pub routes: Vec<SpanRoute>,
    pub otherwise: SinkSet,
}

impl SinkSet {
    pub fn add(&mut self, sink: usize) {
        debug_assert!(sink < SINK_COUNT_MAX, "settings refuse more sinks");
        if self.is_empty() {
            self.first = u8::try_from(sink).expect("settings refuse more sinks");
        }
        self.bits |= 1 << sink;
    }

    /// The first one first, the others in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let first = usize::from(self.first);
        let mut left = self.bits & !(1 << first);
        let others = std::iter::from_fn(move || {
            let sink = left.trailing_zeros() as usize;
            (left != 0).then(|| {
                left &= left - 1;
                sink
            })
        });
        (!self.is_empty()).then_some(first).into_iter().chain(others)
    }

    pub fn is_empty(self) -> bool {
        self.bits == 0
    }
}

impl SpanRoutes {
    pub fn of(&self, tags: &Tags) -> SinkSet {
        let fits = |list: &[String], name: TagName| {
            list.is_empty() || tags.value(name).is_some_and(|value| list.iter().any(|held| held == value))
        };
        let route = self.routes.iter().find(|route| {
            fits(&route.owner, TagName::Owner)
                && fits(&route.service, TagName::Service)
                && fits(&route.environment, TagName::Environment)
        });
        route.map_or(self.otherwise, |route| route.to)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Tag;

    fn set(sinks: &[usize]) -> SinkSet {
        let mut set = SinkSet::default();
        sinks.iter().for_each(|sink| set.add(*sink));
        set
    }

    fn tags(pairs: &[(TagName, &str)]) -> Tags {
        let mut tags = Tags::default();
        for (name, value) in pairs {
            tags.set_first(*name, Tag { value: Arc::from(*value), by: Arc::from("test"), seen: None });
        }
        tags
    }

    #[test]
    fn the_first_route_that_fits_wins_and_an_unknown_owner_fits_no_list() {
        let route = |owner: &[&str], environment: &[&str], to| SpanRoute {
            owner: owner.iter().map(|text| (*text).to_owned()).collect(),
            environment: environment.iter().map(|text| (*text).to_owned()).collect(),
            to,
            ..SpanRoute::default()
        };
        let routes = SpanRoutes {
            routes: vec![route(&["owls"], &["production"], set(&[1])), route(&["owls"], &[], set(&[2]))],
            otherwise: set(&[0]),
        };
        assert_eq!(routes.of(&tags(&[(TagName::Owner, "owls"), (TagName::Environment, "production")])), set(&[1]));
        assert_eq!(routes.of(&tags(&[(TagName::Owner, "owls")])), set(&[2]));
        assert_eq!(routes.of(&tags(&[])), set(&[0]));
    }

    #[test]
    fn a_set_lists_the_sink_that_was_named_first_and_then_the_others() {
        assert_eq!(set(&[63, 0, 5]).iter().collect::<Vec<_>>(), [63, 0, 5]);
        assert_eq!(set(&[5, 63, 0, 5]).iter().collect::<Vec<_>>(), [5, 0, 63]);
        assert_ne!(set(&[0, 1]), set(&[1, 0]), "another one decides");
        assert!(set(&[]).is_empty() && set(&[]).iter().next().is_none());
    }
}

//! How often a route may page.

use super::*;
use crate::model::Notice;
use crate::model::incident::Limit;

const HOUR: Duration = Duration::from_secs(3600);

/// The first notice of a problem of that class.
fn opened(class: &str, seconds: u64) -> Notice {
    let says = prometheus(class, seconds).route(|route| {
        route.limit = Some(Limit { per: TagName::Class, count: 2, window: HOUR });
    });
    let mut heard = says.heard;
    Arc::make_mut(&mut heard.tags).replace(TagName::Class, Tag { value: class.into(), by: "test".into(), seen: None });
    let step = step(None, Event::Heard { heard: Box::new(heard), member: None }, &Facts::default(), at(seconds));
    step.notices.into_iter().next().expect("without a hold the first message is told at once")
}

#[test]
fn what_is_noted_counts_at_once_and_in_copies_that_were_taken_later_only() {
    let mut pages = Pages::default();
    let before = pages.clone();
    for seconds in [0, 10] {
        let notice = opened("a", seconds);
        assert_eq!(pages.free_at(&notice.incident, at(seconds)), None);
        pages.note(&notice);
        if seconds == 0 {
            pages.settle();
        }
    }
    let (third, other) = (opened("a", 20).incident, opened("b", 20).incident);
    assert_eq!(pages.free_at(&third, at(20)), Some(at(3600)), "when the first is an hour old");
    assert_eq!(pages.free_at(&other, at(20)), None);
    assert_eq!(before.free_at(&third, at(20)), None);
    let copy = pages.clone();
    pages.settle();
    for pages in [&pages, &copy] {
        assert_eq!(pages.free_at(&third, at(20)), Some(at(3600)));
        assert_eq!(pages.free_at(&third, at(3600)), None);
    }
}

#[test]
fn groups_that_are_over_are_forgotten_and_the_others_are_not() {
    let mut pages = Pages::default();
    for number in 0..1000 {
        pages.note(&opened(&format!("old-{number}"), 0));
        pages.settle();
    }
    assert_eq!(pages.group_count(), 1000);
    for number in 0..1100 {
        pages.note(&opened(&format!("new-{number}"), 4000));
        pages.note(&opened(&format!("new-{number}"), 4000));
        pages.settle();
    }
    assert!(pages.group_count() < 1200, "{}", pages.group_count());
    for number in 0..1100 {
        let incident = opened(&format!("new-{number}"), 4001).incident;
        assert_eq!(pages.free_at(&incident, at(4001)), Some(at(7600)));
    }
}

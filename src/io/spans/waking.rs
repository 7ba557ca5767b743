//! Wakes that reach a task while it polls what it holds: each is answered by another look at once, without a trip through
//! the scheduler. Never loses one, and never keeps the other tasks of a thread waiting for long.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::nudge::Nudge;

/// Looks in a row; then the others have their turn. A request needs three or four.
const LOOK_COUNT_MAX: usize = 8;

/// For futures that wake each other and are polled by one task.
pub(super) struct Waking {
    nudge: Arc<Nudge>,
    waker: Waker,
}

impl Waking {
    pub(super) fn new() -> Waking {
        let nudge = Nudge::new(false);
        Waking { waker: nudge.clone().into(), nudge }
    }

    /// Polls until it is ready, or until a poll has woken nothing.
    pub(super) fn poll<T>(&self, task: &Context<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let nudge = &self.nudge;
        nudge.follow(task.waker());
        let mut context = Context::from_waker(&self.waker);
        for _ in 0..LOOK_COUNT_MAX {
            nudge.set_polling(true);
            nudge.settle();
            let polled = poll(&mut context);
            nudge.set_polling(false);
            if polled.is_ready() || !nudge.is_awake() {
                return polled;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether something has woken since the last look.
    pub(super) fn is_awake(&self) -> bool {
        self.nudge.is_awake()
    }

    /// Within a poll: whatever has woken so far is about to be looked at, and needs no look of its own.
    pub(super) fn settle(&self) {
        self.nudge.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::super::nudge::Count;
    use super::*;

    #[test]
    fn a_wake_while_polling_is_one_more_look_and_a_wake_later_reaches_the_task() {
        let count = Arc::<Count>::default();
        let task = Waker::from(count.clone());
        let (waking, mut looks, mut kept) = (Waking::new(), 0, None);
        let polled = waking.poll(&Context::from_waker(&task), |context| {
            looks += 1;
            kept = Some(context.waker().clone());
            if looks < 3 {
                context.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((looks, count.get()), (3, 0));
        kept.expect("it was polled").wake();
        assert_eq!(count.get(), 1);
        let ready = waking.poll(&Context::from_waker(&task), |context| {
            context.waker().wake_by_ref();
            Poll::Ready(7)
        });
        assert_eq!((ready, count.get()), (Poll::Ready(7), 1));
    }

    #[test]
    fn what_always_wakes_itself_lets_the_other_tasks_have_their_turn() {
        let count = Arc::<Count>::default();
        let task = Waker::from(count.clone());
        let mut looks = 0;
        let polled = Waking::new().poll(&Context::from_waker(&task), |context| {
            looks += 1;
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((looks, count.get()), (LOOK_COUNT_MAX, 1));
    }

    #[test]
    fn a_wake_that_is_about_to_be_looked_at_is_no_further_look() {
        let (waking, mut looks) = (Waking::new(), 0);
        let polled = waking.poll(&Context::from_waker(Waker::noop()), |context| {
            looks += 1;
            context.waker().wake_by_ref();
            waking.settle();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending() && !waking.is_awake());
        assert_eq!(looks, 1);
        waking.waker.wake_by_ref();
        assert!(waking.is_awake());
    }

    #[test]
    fn a_task_that_has_moved_is_woken_where_it_is() {
        let counts = [Arc::<Count>::default(), Arc::default()];
        let (waking, mut kept) = (Waking::new(), None);
        for count in &counts {
            let task = Waker::from(count.clone());
            let _ = waking.poll(&Context::from_waker(&task), |context| {
                kept = Some(context.waker().clone());
                Poll::<()>::Pending
            });
        }
        kept.expect("it was polled").wake();
        assert_eq!(counts.each_ref().map(|count| count.get()), [0, 1]);
    }
}

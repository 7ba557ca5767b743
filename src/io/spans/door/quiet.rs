//! Futures beside a busy one in the same task, polled only when they themselves were woken. Never delays them: what wakes
//! them wakes the task.

use std::sync::Arc;
use std::task::{Context, Waker};

use crate::io::spans::nudge::Nudge;

pub(super) struct Quiet {
    nudge: Arc<Nudge>,
    waker: Waker,
}

impl Quiet {
    pub(super) fn new() -> Quiet {
        let nudge = Nudge::new(true);
        Quiet { waker: nudge.clone().into(), nudge }
    }

    /// What to poll them with; `None`: none of them has anything to say.
    pub(super) fn context(&self, task: &Context<'_>) -> Option<Context<'_>> {
        self.nudge.follow(task.waker());
        self.nudge.settle().then(|| Context::from_waker(&self.waker))
    }

    /// They changed, and have to be polled once more.
    pub(super) fn stir(&self) {
        self.nudge.stir();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::spans::nudge::Count;

    #[test]
    fn they_are_polled_at_first_when_woken_and_when_stirred_and_their_waking_wakes_the_task() {
        let counts = [Arc::<Count>::default(), Arc::default()];
        let wakers: Vec<Waker> = counts.iter().map(|count| Waker::from(count.clone())).collect();
        let quiet = Quiet::new();
        let own = quiet.context(&Context::from_waker(&wakers[0])).expect("at first").waker().clone();
        assert!(quiet.context(&Context::from_waker(&wakers[0])).is_none());
        own.wake_by_ref();
        assert_eq!(counts[0].get(), 1);
        // The task has another waker now.
        assert!(quiet.context(&Context::from_waker(&wakers[1])).is_some());
        own.wake();
        assert_eq!(counts.each_ref().map(|count| count.get()), [1, 1]);
        assert!(quiet.context(&Context::from_waker(&wakers[1])).is_some());
        quiet.stir();
        assert!(quiet.context(&Context::from_waker(&wakers[1])).is_some());
    }
}

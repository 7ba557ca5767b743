//! Futures beside a busy one in the same task, polled only when they themselves were woken. Never delays them: what wakes
//! them wakes the task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

pub(super) struct Quiet {
    nudge: Arc<Nudge>,
    waker: Waker,
}

struct Nudge {
    is_awake: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.is_awake.store(true, Ordering::Release);
        self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

impl Quiet {
    pub(super) fn new() -> Quiet {
        let nudge = Arc::new(Nudge { is_awake: AtomicBool::new(true), task: Mutex::new(Waker::noop().clone()) });
        Quiet { waker: nudge.clone().into(), nudge }
    }

    /// What to poll them with; `None`: none of them has anything to say.
    pub(super) fn context(&self, task: &Context<'_>) -> Option<Context<'_>> {
        {
            let mut held = self.nudge.task.lock().unwrap_or_else(PoisonError::into_inner);
            if !held.will_wake(task.waker()) {
                held.clone_from(task.waker());
            }
        }
        self.nudge.is_awake.swap(false, Ordering::Acquire).then(|| Context::from_waker(&self.waker))
    }

    /// They changed, and have to be polled once more.
    pub(super) fn stir(&self) {
        self.nudge.is_awake.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn they_are_polled_at_first_when_woken_and_when_stirred_and_their_waking_wakes_the_task() {
        let counts = [Arc::<Count>::default(), Arc::default()];
        let wakers: Vec<Waker> = counts.iter().map(|count| Waker::from(count.clone())).collect();
        let quiet = Quiet::new();
        let own = quiet.context(&Context::from_waker(&wakers[0])).expect("at first").waker().clone();
        assert!(quiet.context(&Context::from_waker(&wakers[0])).is_none());
        own.wake_by_ref();
        assert_eq!(counts[0].0.load(Ordering::Relaxed), 1);
        // The task has another waker now.
        assert!(quiet.context(&Context::from_waker(&wakers[1])).is_some());
        own.wake();
        assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::Relaxed)), [1, 1]);
        assert!(quiet.context(&Context::from_waker(&wakers[1])).is_some());
        quiet.stir();
        assert!(quiet.context(&Context::from_waker(&wakers[1])).is_some());
    }
}

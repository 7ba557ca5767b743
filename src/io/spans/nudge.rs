//! A waker in front of a task's own, which remembers that it was called. Never loses a call, and follows a task that has
//! moved.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

pub(super) struct Nudge {
    is_awake: AtomicBool,
    /// The task looks at the nudge again anyway.
    is_polling: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_awake.store(true, Ordering::SeqCst);
        // Who polls looks once more after this has become false.
        if !self.is_polling.load(Ordering::SeqCst) {
            self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}

impl Nudge {
    pub(super) fn new(is_awake: bool) -> Arc<Nudge> {
        let task = Mutex::new(Waker::noop().clone());
        Arc::new(Nudge { is_awake: AtomicBool::new(is_awake), is_polling: AtomicBool::new(false), task })
    }

    /// From now on it wakes this task.
    pub(super) fn follow(&self, task: &Waker) {
        let mut held = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.will_wake(task) {
            held.clone_from(task);
        }
    }

    pub(super) fn set_polling(&self, is_polling: bool) {
        self.is_polling.store(is_polling, Ordering::SeqCst);
    }

    pub(super) fn is_awake(&self) -> bool {
        self.is_awake.load(Ordering::SeqCst)
    }

    /// As if it had been called, by the task itself.
    pub(super) fn stir(&self) {
        self.is_awake.store(true, Ordering::SeqCst);
    }

    /// Forgets a call; whether there was one.
    pub(super) fn settle(&self) -> bool {
        self.is_awake.swap(false, Ordering::SeqCst)
    }
}

/// What a test wakes.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Count(std::sync::atomic::AtomicU32);

#[cfg(test)]
impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Count {
    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

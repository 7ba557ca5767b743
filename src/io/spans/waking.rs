//! Wakes that reach a task while it polls what it holds: each is answered by another look at once, without a trip through
//! the scheduler. Never loses one, and never keeps the other tasks of a thread waiting for long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Looks in a row; then the others have their turn. A request needs three or four.
const LOOK_COUNT_MAX: usize = 8;

/// For futures that wake each other and are polled by one task.
pub(super) struct Waking {
    note: Arc<Note>,
    waker: Waker,
}

struct Note {
    is_awake: AtomicBool,
    is_polling: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_awake.store(true, Ordering::SeqCst);
        // Who polls looks at the note once more after this has become false.
        if !self.is_polling.load(Ordering::SeqCst) {
            self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}

impl Waking {
    pub(super) fn new() -> Waking {
        let task = Mutex::new(Waker::noop().clone());
        let note = Arc::new(Note { is_awake: AtomicBool::new(false), is_polling: AtomicBool::new(false), task });
        Waking { waker: note.clone().into(), note }
    }

    /// Polls until it is ready, or until a poll has woken nothing.
    pub(super) fn poll<T>(&self, task: &Context<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.follow(task.waker());
        let note = &self.note;
        let mut context = Context::from_waker(&self.waker);
        for _ in 0..LOOK_COUNT_MAX {
            note.is_polling.store(true, Ordering::SeqCst);
            note.is_awake.store(false, Ordering::SeqCst);
            let polled = poll(&mut context);
            note.is_polling.store(false, Ordering::SeqCst);
            if polled.is_ready() || !note.is_awake.load(Ordering::SeqCst) {
                return polled;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether something has woken since the last look.
    pub(super) fn is_awake(&self) -> bool {
        self.note.is_awake.load(Ordering::SeqCst)
    }

    /// Within a poll: whatever has woken so far is about to be looked at, and needs no look of its own.
    pub(super) fn settle(&self) {
        self.note.is_awake.store(false, Ordering::SeqCst);
    }

    fn follow(&self, task: &Waker) {
        let mut held = self.note.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.will_wake(task) {
            held.clone_from(task);
        }
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

    impl Count {
        fn get(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

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

//! What a connection of HTTP/2 wants to have run beside itself, run by whoever holds the connection. Never starts a task:
//! a request would wake three of them, and its head would leave before its body.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use hyper::client::conn::http2;
use hyper::rt::Executor;

use super::body::SliceBody;
use super::cork::Cork;
use crate::store::Later;

/// Takes futures from the connection.
#[derive(Clone, Default)]
pub(super) struct Hands(Arc<Mutex<Vec<Later<'static, ()>>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Hands {
    fn execute(&self, future: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(future));
    }
}

/// A connection and all that it has given out of hand.
pub(super) struct Driven {
    cork: Cork,
    hands: Hands,
    /// The connection's own future comes first.
    running: Vec<Running>,
    is_over: Arc<AtomicBool>,
    lane: Arc<LaneWaker>,
    /// Awake when the socket may take more; whoever else waited for that was forgotten.
    flush: Arc<Wish>,
    flush_waker: Waker,
}

/// A future that is polled only when it has been woken: most of them wait most of the time.
struct Running {
    future: Later<'static, ()>,
    wish: Arc<Wish>,
    waker: Waker,
}

/// Whether a future wants to be polled.
struct Wish {
    is_awake: AtomicBool,
    lane: Arc<LaneWaker>,
}

/// Wakes the lane that polls, unless it does so already.
#[derive(Default)]
struct LaneWaker {
    is_polling: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Wake for Wish {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_awake.store(true, Ordering::SeqCst);
        // Who polls looks at the wishes once more after this has become false.
        if !self.lane.is_polling.load(Ordering::SeqCst)
            && let Some(waker) = &*self.lane.waker.lock().unwrap_or_else(PoisonError::into_inner)
        {
            waker.wake_by_ref();
        }
    }
}

impl LaneWaker {
    fn follow(&self, waker: &Waker) {
        let mut held = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
    }
}

impl Driven {
    pub(super) fn new(connection: http2::Connection<Cork, SliceBody, Hands>, cork: Cork, hands: Hands) -> Driven {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let connection = async move {
            // Its errors reach the requests on it.
            let _ = connection.await;
            over.store(true, Ordering::SeqCst);
        };
        let lane = Arc::<LaneWaker>::default();
        let flush = Arc::new(Wish { is_awake: AtomicBool::new(false), lane: lane.clone() });
        let flush_waker = flush.clone().into();
        let mut driven = Driven { cork, hands, running: Vec::new(), is_over, lane, flush, flush_waker };
        driven.run(Box::pin(connection));
        driven
    }

    fn run(&mut self, future: Later<'static, ()>) {
        let wish = Arc::new(Wish { is_awake: AtomicBool::new(true), lane: self.lane.clone() });
        self.running.push(Running { future, waker: wish.clone().into(), wish });
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Ready when the connection has ended.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.lane.follow(context.waker());
        loop {
            self.lane.is_polling.store(true, Ordering::SeqCst);
            if self.flush.is_awake.swap(false, Ordering::SeqCst) {
                self.wake_all();
            }
            while self.poll_awake() {}
            if let Poll::Ready(Err(_)) = self.cork.flush(&mut Context::from_waker(&self.flush_waker)) {
                // They find out by the next read.
                self.wake_all();
                while self.poll_awake() {}
            }
            self.lane.is_polling.store(false, Ordering::SeqCst);
            let wishes = self.running.iter().map(|running| &running.wish).chain([&self.flush]);
            if !wishes.into_iter().any(|wish| wish.is_awake.load(Ordering::SeqCst)) {
                break;
            }
        }
        if self.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn wake_all(&self) {
        self.running.iter().for_each(|running| running.wish.is_awake.store(true, Ordering::SeqCst));
    }

    /// Polls what was woken, the newest first: they fill what the oldest, which writes to the socket, sends. `false`:
    /// nothing was.
    fn poll_awake(&mut self) -> bool {
        let given = std::mem::take(&mut *self.hands.0.lock().unwrap_or_else(PoisonError::into_inner));
        given.into_iter().for_each(|future| self.run(future));
        let mut has_polled = false;
        for at in (0..self.running.len()).rev() {
            let Running { future, wish, waker } = &mut self.running[at];
            if wish.is_awake.swap(false, Ordering::SeqCst) {
                has_polled = true;
                if future.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
                    drop(self.running.remove(at));
                }
            }
        }
        has_polled
    }
}

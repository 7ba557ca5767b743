//! Threads of the span road's own, each with a runtime of one thread: a connection stays on the thread that it was given,
//! and so does what leaves because of it. Never runs anything of the alert road, which has its own runtime.
//!
//! Threads that share their tasks wake each other, and on small requests those calls to the kernel cost more than the
//! work; and whatever saturates these threads, alerts only share the processor with them, never a queue of tasks. They
//! share it unequally: these threads stand back from all others of the process where the system lets them.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// One thread moves some million spans a second, so more than this only cost memory.
const WORKER_COUNT_MAX: usize = 16;

/// How far our threads stand behind the others of the process, as nice values count: a tenth of the processor is theirs
/// while an alert wants it. Nothing is lost to other processes in a container, which share by weights of their own.
#[cfg(target_os = "linux")]
const NICE_STEP: i32 = 10;

/// Where a task runs: one of the workers, or a thread that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

thread_local! {
    static HERE: Cell<Place> = const { Cell::new(Place(usize::MAX)) };
}

impl Place {
    /// That of whoever asks.
    pub(super) fn here() -> Place {
        HERE.get()
    }
}

/// Without threads, all work is done in the runtime of whoever hands it out.
#[derive(Debug, Default)]
pub struct Workers {
    workers: Vec<Worker>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Workers {
    /// One for each processor that this process may use.
    pub fn start() -> io::Result<Workers> {
        let count = thread::available_parallelism().map_or(1, usize::from).min(WORKER_COUNT_MAX);
        let workers = (0..count).map(Worker::start).collect::<io::Result<Vec<_>>>()?;
        Ok(Workers { workers, turn: AtomicUsize::new(0) })
    }

    /// The next in turn; `None` where there are no threads.
    pub(super) fn next(&self) -> Option<&Handle> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.workers.get(turn.checked_rem(self.workers.len())?).map(|worker| &worker.handle)
    }

    /// Runs a task on the next worker in turn.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        match self.next() {
            Some(worker) => worker.spawn(task),
            None => tokio::spawn(task),
        }
    }

    /// Ends the threads. What still runs on them is dropped where it waits.
    pub async fn stop(self) {
        for Worker { stop, thread, .. } in self.workers {
            // A thread that has died needs no word.
            let _ = stop.send(());
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("a thread of the span road died");
            }
        }
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Worker> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            HERE.set(Place(number));
            stand_back();
            // An error means that nobody is left to stop us.
            let _ = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new().name(format!("spans-{number}")).spawn(run)?;
        Ok(Worker { handle, stop, thread })
    }
}

/// Lets the other threads of the process go first. On Linux a nice value is that of a thread.
#[cfg(target_os = "linux")]
fn stand_back() {
    use rustix::process::{getpriority_process, setpriority_process};
    let lowered = getpriority_process(None).and_then(|nice| setpriority_process(None, nice + NICE_STEP));
    if let Err(cause) = lowered {
        tracing::warn!(error = %cause, "the threads of the span road cannot stand back: alerts may wait behind spans");
    }
}

/// Elsewhere it is that of the whole process.
#[cfg(not(target_os = "linux"))]
fn stand_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_threads_stand_behind_whoever_started_them() {
        use rustix::process::getpriority_process;
        let own = getpriority_process(None).unwrap();
        let workers = Workers::start().unwrap();
        let (tell, told) = oneshot::channel();
        let task = async move { tell.send(getpriority_process(None)).unwrap() };
        workers.spawn(task).await.unwrap();
        assert_eq!(told.await.unwrap(), Ok((own + NICE_STEP).min(19)));
        assert_eq!(getpriority_process(None), Ok(own), "ours stays as it was");
        workers.stop().await;
    }

    #[tokio::test]
    async fn each_thread_has_its_turn_and_its_own_place_and_a_stop_ends_all() {
        let workers = Workers::start().unwrap();
        let count = workers.workers.len();
        let mut places = Vec::new();
        for _ in 0..2 * count {
            places.push(workers.next().unwrap().spawn(async { Place::here() }).await.unwrap());
        }
        let expected: Vec<Place> = (0..2 * count).map(|turn| Place(turn % count)).collect();
        assert_eq!(places, expected);
        let (tell, told) = oneshot::channel::<()>();
        let left = workers.next().unwrap().spawn(async move {
            let _held = tell;
            std::future::pending::<()>().await;
        });
        workers.stop().await;
        assert!(left.await.unwrap_err().is_cancelled());
        assert!(told.await.is_err(), "what it held was dropped");
    }

    #[test]
    fn without_threads_there_is_nobody_to_hand_work_to() {
        assert!(Workers::default().next().is_none());
        assert_eq!(Place::here(), Place(usize::MAX));
    }
}

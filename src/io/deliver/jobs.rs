//! The jobs of one sink: a set of futures that its own task polls. A task for each of them would be woken on
//! whatever worker sleeps, and those wakes cost more than the requests. Never starts a task.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A job died of a panic, which is a bug in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Died;

type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Places are used again, each with its waker, so a wake that comes late polls another job once in vain.
struct Place<T> {
    job: Option<Job<T>>,
    waker: Waker,
}

pub(super) struct Jobs<T> {
    places: Vec<Place<T>>,
    free: Vec<usize>,
    /// Places to be polled now.
    due: VecDeque<usize>,
    woken: Arc<Woken>,
}

/// What the wakers leave behind for the owner.
#[derive(Default)]
struct Woken(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    places: Vec<usize>,
    owner: Option<Waker>,
}

impl Woken {
    fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        // Every critical section leaves the list whole, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct PlaceWaker {
    place: usize,
    woken: Arc<Woken>,
}

impl Wake for PlaceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let owner = {
            let mut noted = self.woken.lock();
            if noted.places.contains(&self.place) {
                return;
            }
            noted.places.push(self.place);
            // Whoever made the list longer than nothing has woken the owner, who takes the whole list.
            noted.owner.take()
        };
        if let Some(owner) = owner {
            owner.wake();
        }
    }
}

impl<T> Default for Jobs<T> {
    fn default() -> Jobs<T> {
        Jobs { places: Vec::new(), free: Vec::new(), due: VecDeque::new(), woken: Arc::default() }
    }
}

impl<T> Jobs<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// It begins when [`Jobs::next`] is waited for.
    pub(super) fn add(&mut self, job: impl Future<Output = T> + Send + 'static) {
        let job: Option<Job<T>> = Some(Box::pin(job));
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place].job = job;
                place
            }
            None => {
                let place = self.places.len();
                let waker = Waker::from(Arc::new(PlaceWaker { place, woken: self.woken.clone() }));
                self.places.push(Place { job, waker });
                place
            }
        };
        self.due.push_back(place);
    }

    /// The next job that is over; for ever pending while there is none. May be dropped and asked again at any time.
    pub(super) async fn next(&mut self) -> Result<T, Died> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Died>> {
        {
            let mut noted = self.woken.lock();
            self.due.extend(noted.places.drain(..));
            noted.owner = Some(context.waker().clone());
        }
        // What is woken from here on wakes the owner again: a job that wakes itself lets the task yield.
        while let Some(place) = self.due.pop_front() {
            let Place { job: slot, waker } = &mut self.places[place];
            let Some(job) = slot else { continue };
            let polled = catch_unwind(AssertUnwindSafe(|| job.as_mut().poll(&mut Context::from_waker(waker))));
            let over = match polled {
                Ok(Poll::Pending) => continue,
                Ok(Poll::Ready(output)) => Ok(output),
                Err(_) => Err(Died),
            };
            *slot = None;
            self.free.push(place);
            return Poll::Ready(over);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn each_job_ends_once_in_the_order_in_which_they_are_over_and_places_are_used_again() {
        let mut jobs = Jobs::default();
        assert!(jobs.is_empty());
        for round in 0..3 {
            let (first, first_told) = oneshot::channel::<u32>();
            let (second, second_told) = oneshot::channel::<u32>();
            jobs.add(async move { first_told.await.unwrap() });
            jobs.add(async move { second_told.await.unwrap() });
            assert!(timeout(Duration::from_millis(5), jobs.next()).await.is_err());
            tokio::spawn(async move { second.send(round).unwrap() });
            assert_eq!(jobs.next().await, Ok(round));
            first.send(round + 10).unwrap();
            assert_eq!(jobs.next().await, Ok(round + 10));
            assert!(jobs.is_empty());
        }
        assert_eq!(jobs.places.len(), 2);
    }

    #[tokio::test]
    async fn jobs_that_wake_themselves_all_come_to_their_end_and_let_others_run() {
        let mut jobs = Jobs::default();
        for number in 0..100_u32 {
            jobs.add(async move {
                for _ in 0..number {
                    tokio::task::yield_now().await;
                }
                number
            });
        }
        let mut over = Vec::new();
        while !jobs.is_empty() {
            over.push(jobs.next().await.unwrap());
        }
        over.sort_unstable();
        assert_eq!(over, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_no_other_with_it() {
        let mut jobs = Jobs::default();
        jobs.add(async { 1 });
        jobs.add(async { panic!("as a bug would") });
        let mut over = vec![jobs.next().await, jobs.next().await];
        over.sort_by_key(Result::is_err);
        assert_eq!(over, [Ok(1), Err(Died)]);
        assert!(jobs.is_empty());
    }
}

//! Long work, done where it holds up nobody: another thread of the runtime takes over what this one would have done
//! meanwhile. Never changes what the work is or in which order its caller goes on.

use tokio::runtime::{Handle, RuntimeFlavor};

/// A larger input is milliseconds of work.
const BLOCKING_INPUT_BYTES: usize = 512 * 1024;

/// Does work that a large input makes long.
pub fn aside<T>(input_bytes: usize, work: impl FnOnce() -> T) -> T {
    if input_bytes > BLOCKING_INPUT_BYTES && has_other_threads() { tokio::task::block_in_place(work) } else { work() }
}

/// Whether another thread can take over.
fn has_other_threads() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Whether another task of a runtime with one thread runs before the work is over.
    async fn lets_others_run(input_bytes: usize) -> bool {
        let (tell, told) = mpsc::channel();
        let work = tokio::spawn(async move {
            tokio::spawn(async move { tell.send(()).unwrap() });
            aside(input_bytes, || told.recv_timeout(Duration::from_millis(500)).is_ok())
        });
        work.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_large_input_holds_up_no_other_task_even_where_there_is_one_thread() {
        assert!(lets_others_run(BLOCKING_INPUT_BYTES + 1).await);
        assert!(!lets_others_run(BLOCKING_INPUT_BYTES).await, "a small one is worked on at once");
    }

    #[tokio::test]
    async fn where_nobody_could_take_over_the_work_is_done_all_the_same() {
        assert_eq!(aside(usize::MAX, || 1), 1);
    }
}

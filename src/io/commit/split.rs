//! Takes a batch apart whose transaction met a row that cannot be read. Never loses a piece of work, its order
//! or its answer.

use tokio::sync::oneshot;

use super::Work;

/// Two halves of one tick, and who waits for both.
pub(super) struct Joint {
    halves: [oneshot::Receiver<bool>; 2],
    whole: oneshot::Sender<bool>,
}

impl Joint {
    /// Once both halves are answered.
    pub(super) fn answer(mut self) {
        let is_done = self.halves.iter_mut().all(|half| half.try_recv() == Ok(true));
        // Who has gone away meanwhile does not hear it.
        let _ = self.whole.send(is_done);
    }
}

/// Whether there are parts that can be committed each by itself: pieces of work, or the keys of one tick.
pub(super) fn is_divisible(batch: &[Work]) -> bool {
    match batch {
        [] => false,
        [Work::Ticks { keys, .. }] => keys.len() > 1,
        [Work::Alerts { .. } | Work::Settle { .. } | Work::Reject { .. } | Work::Chore(_)] => false,
        [_, _, ..] => true,
    }
}

/// In the order in which they were. Halves, because one bad row among many is then found in few transactions.
pub(super) fn halves(mut batch: Vec<Work>, joints: &mut Vec<Joint>) -> (Vec<Work>, Vec<Work>) {
    if batch.len() > 1 {
        let second = batch.split_off(batch.len() / 2);
        return (batch, second);
    }
    match batch.pop() {
        Some(Work::Ticks { mut keys, done }) => {
            let later_keys = keys.split_off(keys.len() / 2);
            let ((first_done, first), (second_done, second)) = (oneshot::channel(), oneshot::channel());
            joints.push(Joint { halves: [first, second], whole: done });
            let half = |keys, done| vec![Work::Ticks { keys, done }];
            (half(keys, first_done), half(later_keys, second_done))
        }
        whole => (whole.into_iter().collect(), Vec::new()),
    }
}

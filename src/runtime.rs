//! The runtime that lanes and router run on: how many threads it has, and what must not hold these up.

use std::io;
use std::num::NonZero;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

/// A body of so many bytes takes so long to read that others would notice.
const LARGE_BODY: usize = 64 * 1024;
/// What is packed unpacks to ten times as much and more. Handing over for every small one would cost too much.
const LARGE_PACKED_BODY: usize = LARGE_BODY / 16;

/// A runtime with half of the cores: threads that wake each other, the AMQP library's two among them, cost more than what
/// they do (docs/adr/0049).
///
/// # Errors
/// If the system gives no threads.
pub fn build() -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread().worker_threads(threads(cores)).enable_all().build()
}

fn threads(cores: usize) -> usize {
    (cores / 2).max(1)
}

/// Whether reading a body takes so long that it should be done [`beside_others`]. Judged by its look: what does not begin
/// as JSON may be packed.
pub fn takes_long(body: &[u8]) -> bool {
    let begins_as_json = body.first().is_some_and(|byte| b"{[".contains(byte));
    body.len() >= if begins_as_json { LARGE_BODY } else { LARGE_PACKED_BODY }
}

/// Does work. If it takes long, another thread takes over this one's other tasks meanwhile.
pub fn beside_others<T>(long: bool, work: impl FnOnce() -> T) -> T {
    // A current-thread runtime, as most tests have it, cannot hand its tasks over: `block_in_place` would panic.
    let can_hand_over = |runtime: Handle| runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
    if long && Handle::try_current().is_ok_and(can_hand_over) {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// Whether other tasks of the same thread run while some work is done. It is done up to a thousand times, until they do.
#[cfg(test)]
pub(crate) fn others_run_during(mut work: impl FnMut() + Send + 'static) -> bool {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let asked = runtime.spawn(async move {
        let turns = Arc::new(AtomicU64::new(0));
        let mut other = tokio::task::JoinSet::new();
        let counted = turns.clone();
        other.spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        for _ in 0..1000 {
            tokio::task::yield_now().await;
            let before = turns.load(Ordering::Relaxed);
            work();
            if turns.load(Ordering::Relaxed) > before {
                return true;
            }
        }
        false
    });
    runtime.block_on(asked).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;
    use tokio::task::JoinSet;

    #[test]
    fn it_takes_half_of_the_cores_and_never_none() {
        assert_eq!([1, 2, 3, 4, 8, 64].map(threads), [1, 1, 1, 2, 4, 32]);
    }

    #[test]
    fn other_tasks_go_on_beside_long_work_on_the_only_thread() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (sender, receiver) = mpsc::channel();
        let long = runtime.spawn(async move {
            let mut others = JoinSet::new();
            others.spawn(async move { sender.send("the other ran") });
            beside_others(true, || receiver.recv_timeout(Duration::from_mins(5)))
        });
        assert_eq!(runtime.block_on(long).unwrap(), Ok("the other ran"));
    }

    #[tokio::test]
    async fn in_a_current_thread_runtime_it_is_done_here() {
        assert_eq!(beside_others(true, || 1), 1);
    }

    #[test]
    fn large_bodies_and_those_that_may_be_packed_take_long() {
        let text = |bytes: usize| [&b"{"[..], &vec![b' '; bytes - 1]].concat();
        assert_eq!([1, 65_535, 65_536].map(|bytes| takes_long(&text(bytes))), [false, false, true]);
        assert_eq!([0, 4_095, 4_096].map(|bytes| takes_long(&vec![0x1f; bytes])), [false, false, true]);
    }
}

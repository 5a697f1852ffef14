//! The runtime that lanes and router run on: how many threads it has, and what must not hold these up.

use std::io;
use std::num::NonZero;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

/// A body of so many bytes takes so long to read that others would notice.
pub const LARGE_BODY: usize = 64 * 1024;

/// A runtime with half of the cores, because the AMQP library's threads take the others (docs/adr/0049).
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

/// Does work that takes long. Another thread takes over this one's other tasks meanwhile.
pub fn beside_others<T>(work: impl FnOnce() -> T) -> T {
    // A runtime of one thread, as tests have it, can hand nothing over.
    let several = |runtime: Handle| runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
    if Handle::try_current().is_ok_and(several) { tokio::task::block_in_place(work) } else { work() }
}

/// Whether other tasks of the same thread run while some work is done, asked again and again until they do.
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
            beside_others(|| receiver.recv())
        });
        assert_eq!(runtime.block_on(long).unwrap(), Ok("the other ran"));
    }

    #[tokio::test]
    async fn without_a_second_thread_it_is_done_here() {
        assert_eq!(beside_others(|| 1), 1);
    }
}

//! The tasks of one session. None may end unseen: a panic in any of them ends the session, and the next one begins them
//! all anew. Without that a queue, or a probe, would be missing for as long as the connection holds.

use tokio::task::{JoinError, JoinSet};

use crate::broker::error::BrokerError;

#[derive(Debug, Default)]
pub(super) struct Tasks {
    consumers: JoinSet<()>,
    probes: JoinSet<Result<(), BrokerError>>,
}

impl Tasks {
    /// Runs what consumes queues. The session lasts until all of these have ended.
    pub(super) fn consume(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.consumers.spawn(task);
    }

    /// Runs what looks at the broker beside them. It may end early; an error of it ends the session.
    pub(super) fn probe(&mut self, task: impl Future<Output = Result<(), BrokerError>> + Send + 'static) {
        self.probes.spawn(task);
    }

    /// `Ok` when all consumers have ended; an error as soon as a task has panicked or a probe has failed. Can be given up
    /// at any time, and awaited again.
    pub(super) async fn ended(&mut self) -> Result<(), BrokerError> {
        loop {
            tokio::select! {
                Some(probed) = self.probes.join_next() => seen(probed)?.unwrap_or(Ok(()))?,
                consumed = self.consumers.join_next() => match consumed {
                    Some(consumed) => _ = seen(consumed)?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Ends all of them, and returns when they have.
    pub(super) async fn shutdown(mut self) {
        self.consumers.shutdown().await;
        self.probes.shutdown().await;
    }
}

/// What a task returned, if it was not cancelled.
fn seen<T>(ended: Result<T, JoinError>) -> Result<Option<T>, BrokerError> {
    match ended {
        Ok(returned) => Ok(Some(returned)),
        Err(error) if error.is_panic() => Err(BrokerError::Panicked),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;

    /// How the session ended; a session that does not end fails the test.
    async fn ended(tasks: &mut Tasks) -> Result<(), BrokerError> {
        tokio::time::timeout(Duration::from_hours(1), tasks.ended()).await.expect("the session ends")
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_a_probe_ends_the_session_as_one_in_a_consumer_does() {
        let mut tasks = Tasks::default();
        tasks.consume(pending());
        tasks.probe(async { panic!("a bug") });
        assert!(matches!(ended(&mut tasks).await, Err(BrokerError::Panicked)));

        let mut tasks = Tasks::default();
        tasks.consume(pending());
        tasks.consume(async { panic!("a bug") });
        assert!(matches!(ended(&mut tasks).await, Err(BrokerError::Panicked)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_has_nothing_more_to_do_does_not_end_the_session() {
        let mut tasks = Tasks::default();
        tasks.probe(async { Ok(()) });
        tasks.consume(async { tokio::task::yield_now().await });
        assert!(ended(&mut tasks).await.is_ok());

        let mut tasks = Tasks::default();
        tasks.consume(pending());
        tasks.probe(async { Err(BrokerError::NodeUnconfirming) });
        assert!(matches!(ended(&mut tasks).await, Err(BrokerError::NodeUnconfirming)));
    }
}

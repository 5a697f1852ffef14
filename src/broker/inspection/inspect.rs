//! Warns of queues that may lose messages: queues that Freshet did not declare itself. Once at the start.
//!
//! Nothing is changed, and only the log depends on it. Started by the session.

pub(in crate::broker) mod declaration;
pub(in crate::broker) mod difference;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::broker::amqp::connection::ConnectionPool;
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::timing::ANSWER_TIMEOUT;
use crate::broker::topology;
use declaration::{Declaration, find};
use difference::differences;

/// The queues that were inspected, each once in the life of the process.
#[derive(Debug, Default)]
pub(in crate::broker) struct InspectedQueues(Mutex<HashSet<String>>);

impl InspectedQueues {
    fn is_new(&self, queue: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.to_owned())
    }
}

/// Inspects the intake, the dead letters and the lanes.
pub(in crate::broker) async fn inspect(
    context: Arc<Context>,
    pool: Arc<ConnectionPool>,
    inspected: Arc<InspectedQueues>,
) -> Result<(), BrokerError> {
    let pair = pool.pair(0)?;
    let names = &context.names;
    let consumed = |account| topology::consumed(names, account);
    let shared = [(names.intake().to_owned(), consumed(None)), (names.dead(), topology::dead_letters())];
    let lanes = context.lanes();
    let lanes =
        lanes.inlets.values().map(|inlet| (names.lane(&inlet.account), consumed(Some(&inlet.account))));
    for (queue, arguments) in shared.into_iter().chain(lanes) {
        if !inspected.is_new(&queue) {
            continue;
        }
        let ours = Declaration::ours(arguments);
        let found = tokio::time::timeout(ANSWER_TIMEOUT, find(&pair.consuming, &queue, ours.clone())).await;
        match found {
            Ok(Ok(found)) => {
                for why in differences(&ours, &found).iter().filter(|difference| difference.may_lose()) {
                    let why = why.to_string();
                    tracing::warn!(queue, why, "a queue may lose messages");
                }
            }
            // Exclusive to another connection, or not permitted: what consumes the queue reports that.
            Ok(Err(error)) => tracing::debug!(queue, %error, "a queue cannot be inspected"),
            Err(_) => tracing::debug!(queue, "a queue was not inspected in time"),
        }
    }
    Ok(())
}

//! Notices a replica's name that another replica goes by.
//!
//! Each replica holds an exclusive queue that is named after it. RabbitMQ gives such a queue to one connection only, and
//! takes it away when that connection is gone, however it ended. Nothing is ever put into it.

use std::sync::Arc;

use crate::broker::amqp::channel;
use crate::broker::amqp::connection::ConnectionPool;
use crate::broker::amqp::refusal::{ACCESS_REFUSED, RESOURCE_LOCKED};
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::timing::NAME_RETRY;

/// Reserves the name for as long as the connection holds, and reports while another replica has it.
pub(in crate::broker) async fn reserve(
    context: Arc<Context>,
    pool: Arc<ConnectionPool>,
) -> Result<(), BrokerError> {
    let pair = pool.pair(0)?;
    let queue = context.names.replica(&context.replica);
    loop {
        match channel::reserve(&pair.consuming, &queue).await {
            Ok(()) => {
                context.health.name_taken(false);
                return Ok(());
            }
            Err(error) if error.is_refused(RESOURCE_LOCKED) => context.health.name_taken(true),
            // It would be refused each time.
            Err(error) if error.is_refused(ACCESS_REFUSED) => return Ok(()),
            // No reason to end the session: a name that two replicas share costs balance, not events.
            Err(error) => tracing::debug!(%error, "the replica's name cannot be looked at"),
        }
        tokio::time::sleep(NAME_RETRY).await;
    }
}

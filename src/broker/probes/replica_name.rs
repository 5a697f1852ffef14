//! Notices a replica's name that another replica goes by.
//!
//! Each replica holds an exclusive queue that is named after it. RabbitMQ gives such a queue to one connection only,
//! and takes it away when that connection is gone, however it ended. Nothing is ever put into it.

use std::sync::Arc;

use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use crate::broker::amqp::channel::{self, short};
use crate::broker::amqp::connection::ConnectionPool;
use crate::broker::amqp::refusal::{ACCESS_REFUSED, RESOURCE_LOCKED, is_refused};
use crate::broker::context::Context;
use crate::broker::timing::NAME_RETRY;

/// Gets hold of the name, and tells while it cannot. Ends when it is held, for as long as the connection holds.
pub(in crate::broker) async fn hold(context: Arc<Context>, pool: Arc<ConnectionPool>) {
    let Ok(pair) = pool.pair(0) else { return };
    loop {
        match declare(&pair.consuming, &context.names.replica(&context.replica)).await {
            Ok(()) => return context.health.name_taken(false),
            Err(error) if is_refused(&error, RESOURCE_LOCKED) => context.health.name_taken(true),
            // It would be refused each time.
            Err(error) if is_refused(&error, ACCESS_REFUSED) => return,
            // Not worth more: a name that repeats costs balance, not events.
            Err(error) => tracing::debug!(%error, "the replica's name cannot be looked at"),
        }
        tokio::time::sleep(NAME_RETRY).await;
    }
}

async fn declare(connection: &Connection, name: &str) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    // Said outright, because a virtual host may have another default.
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    channel.queue_declare(short(name), options, arguments).await?;
    channel::close(&channel).await;
    Ok(())
}

//! The claim to be the only one that takes letters out: an exclusive queue, which RabbitMQ gives to one connection only and
//! takes away when that is gone, however it ended. Nothing is ever put into it.
//!
//! RabbitMQ tells a second one no more than that the queue is taken. Who has it is seen by the tag of its consumer.

use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use super::error::LetterQueueError;
use crate::broker::amqp::channel::{self, answered, short};
use crate::broker::amqp::refusal::RESOURCE_LOCKED;
use crate::broker::names::Names;

/// Holds as long as the connection it was made on.
pub(super) struct Claim(());

pub(super) async fn claim(connection: &Connection, names: &Names) -> Result<Claim, LetterQueueError> {
    let name = names.dead_claim();
    let declaring = async {
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        // Named, because a virtual host may have another default.
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        channel.queue_declare(short(&name), options, arguments).await?;
        Ok(channel)
    };
    match answered(&name, declaring).await {
        Ok(channel) => {
            channel::close(&channel).await;
            Ok(Claim(()))
        }
        Err(error) if error.is_refused(RESOURCE_LOCKED) => {
            Err(LetterQueueError::Claimed { queue: names.dead() })
        }
        Err(error) => Err(error.into()),
    }
}

//! The claim to be the only one that takes letters out: an exclusive queue, which RabbitMQ gives to one connection only and
//! takes away when that is gone, however it ended. Nothing is ever put into it.
//!
//! A replica's page claims it, too, for as long as it looks: a moment, which whoever takes letters out waits for.
//!
//! RabbitMQ tells a second one no more than that the queue is taken. Who has it is seen by the tag of its consumer.

use lapin::Connection;
use tokio::time::Instant;

use super::error::LetterQueueError;
use crate::broker::amqp::channel;
use crate::broker::amqp::refusal::RESOURCE_LOCKED;
use crate::broker::names::Names;
use crate::broker::timing::{CLAIM_PAUSE, CLAIM_WAIT};

/// Holds as long as the connection it was made on.
pub(super) struct Claim(());

/// Waits a while for somebody else who has it.
pub(super) async fn claim_soon(connection: &Connection, names: &Names) -> Result<Claim, LetterQueueError> {
    let until = Instant::now() + CLAIM_WAIT;
    loop {
        match claim(connection, names).await {
            Err(LetterQueueError::Claimed { .. }) if Instant::now() < until => {
                tokio::time::sleep(CLAIM_PAUSE).await;
            }
            claimed => return claimed,
        }
    }
}

pub(super) async fn claim(connection: &Connection, names: &Names) -> Result<Claim, LetterQueueError> {
    match channel::reserve(connection, &names.dead_claim()).await {
        Ok(()) => Ok(Claim(())),
        Err(error) if error.is_refused(RESOURCE_LOCKED) => {
            Err(LetterQueueError::Claimed { queue: names.dead() })
        }
        Err(error) => Err(error.into()),
    }
}

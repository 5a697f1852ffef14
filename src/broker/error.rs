//! Why a channel or a connection could not go on. Its words go into logs and onto the status page: no secrets.

use std::time::Duration;

use super::amqp::refusal::is_refused;
use super::transport::{self, ConnectError};

#[derive(Debug, thiserror::Error)]
pub(in crate::broker) enum BrokerError {
    #[error("{0}{hint}", hint = transport::hint(.0))]
    Amqp(#[from] lapin::Error),
    #[error("{0}")]
    Connect(ConnectError),
    #[error(
        "the broker allows {allowed} channels on a connection (channel_max), and at least {needed} are needed"
    )]
    TooFewChannels { allowed: u16, needed: u16 },
    #[error("the broker ended the subscription to {0}; was the queue deleted?")]
    ConsumerCancelled(String),
    #[error("the broker did not take a message for exchange {exchange}, key {key}")]
    NotConfirmed { exchange: String, key: String },
    #[error("an acknowledgement could not be sent")]
    NotAcknowledged,
    #[error("the node confirms nothing; trying another one")]
    NodeUnconfirming,
    #[error("the broker has not let anyone subscribe to {queue} within {} s", .within.as_secs())]
    SubscribeTimedOut { queue: String, within: Duration },
    #[error("the broker has not answered for {queue} within {} s", .within.as_secs())]
    Unanswered { queue: String, within: Duration },
    #[error("messages wait in {0} and none is handed out here")]
    Starved(String),
    #[error("{0}")]
    UnusableQueue(String),
    #[error("the connection was closed")]
    Closed,
    #[error("the broker has not answered for {} s", .0.as_secs())]
    Unresponsive(Duration),
    #[error("the lane has ended")]
    LaneEnded,
    #[error("a task panicked; this is a bug")]
    Panicked,
}

impl BrokerError {
    pub(in crate::broker) fn is_refused(&self, code: u16) -> bool {
        matches!(self, Self::Amqp(error) if is_refused(error, code))
    }
}

impl From<ConnectError> for BrokerError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Amqp(error) => Self::Amqp(error),
            ConnectError::Unreachable(_)
            | ConnectError::NotAmqp(_)
            | ConnectError::NotReady(_)
            | ConnectError::Address => Self::Connect(error),
        }
    }
}

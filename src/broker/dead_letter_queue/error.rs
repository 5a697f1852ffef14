//! Why something could not be done with the dead letters.

use std::io;

use crate::broker::error::BrokerError;
use crate::broker::inspection::first_node::NoNode;

/// Nothing is lost in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum LetterQueueError {
    /// No node let this in.
    #[error("{0}")]
    Unreachable(#[from] NoNode),
    /// The queue is not there.
    #[error("there is no queue {0}: `freshet run` declares it; is broker.queue right?")]
    NoQueue(String),
    /// Somebody else reads, replays or drops letters.
    #[error(
        "somebody else is reading, replaying or dropping letters of {queue} now; wait for the end, or see who it is:\n  \
         rabbitmqctl list_consumers queue_name consumer_tag | grep -F {queue}"
    )]
    Claimed {
        /// The queue of the letters.
        queue: String,
    },
    /// The broker took no more, or the connection was lost.
    #[error("{0}")]
    Interrupted(String),
    /// The user may not do that.
    #[error("{0}; docs/RABBITMQ.md has the permissions for it")]
    NotPermitted(String),
    /// Letters could not be written where they should have been.
    #[error("cannot write the letters: {0}")]
    Output(#[source] io::Error),
}

impl From<BrokerError> for LetterQueueError {
    fn from(error: BrokerError) -> Self {
        use crate::broker::amqp::refusal::ACCESS_REFUSED;
        if error.is_refused(ACCESS_REFUSED) {
            Self::NotPermitted(error.to_string())
        } else {
            Self::Interrupted(error.to_string())
        }
    }
}

impl From<lapin::Error> for LetterQueueError {
    fn from(error: lapin::Error) -> Self {
        BrokerError::from(error).into()
    }
}

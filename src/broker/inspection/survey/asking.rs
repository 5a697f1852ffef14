//! Questions with deadlines: to be let in, and any other.

use std::time::Duration;

use crate::broker::amqp::address::Address;
use crate::broker::timing::SURVEY_CONNECT;
use crate::broker::transport::{self, ConnectError, ConnectStep, Connected};

/// Why a node let nobody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFailure {
    /// How far it came.
    pub step: ConnectStep,
    /// In words without secrets.
    pub why: String,
}

/// What was found, or that nobody answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certainty<T> {
    /// The broker answered.
    Known(T),
    /// It did not, in words.
    Unknown(String),
}

pub(super) async fn connect(address: &Address, name: &str) -> Result<Connected, NodeFailure> {
    let failure = |error: &ConnectError| NodeFailure {
        step: error.step(),
        why: match error {
            // Its step says the rest.
            ConnectError::Unreachable(why) => why.to_string(),
            ConnectError::Amqp(_)
            | ConnectError::NotAmqp(_)
            | ConnectError::NotReady(_)
            | ConnectError::Address => error.to_string(),
        },
    };
    match tokio::time::timeout(SURVEY_CONNECT, transport::connect(address, name)).await {
        Ok(connected) => connected.map_err(|error| failure(&error)),
        Err(_) => Err(failure(&ConnectError::NotReady(SURVEY_CONNECT))),
    }
}

/// What comes of a question in time, or that nothing does, in words.
pub(super) async fn within<T>(time: Duration, question: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(time, question)
        .await
        .map_err(|_| format!("RabbitMQ has not answered within {} s", time.as_secs()))
}

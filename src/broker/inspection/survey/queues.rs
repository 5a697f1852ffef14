//! Which queues and exchanges are there, how they were declared, and how much waits.

use futures_util::{StreamExt as _, stream};
use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ExchangeKind};

use super::asking::within;
use crate::broker::amqp::channel::{ask, close, short};
use crate::broker::amqp::refusal::{
    ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED, is_refused,
};
use crate::broker::inspection::inspect::declaration::{Declaration, find};
use crate::broker::inspection::inspect::difference::{QueueDifference, differences};
use crate::broker::names::Names;
use crate::broker::timing::{SURVEY_ANSWER, SURVEY_AT_ONCE, SURVEY_LANES};
use crate::broker::topology;
use crate::delivery::AccountName;

/// A queue as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueState {
    /// There is none of this name yet.
    Missing,
    /// It is there.
    There {
        /// Messages that wait to be delivered.
        waiting: u32,
        /// Those that are active: replicas that stand by do not count.
        consumers: u32,
        /// Against how Freshet would have declared it. None if this user may not know.
        differences: Option<Vec<QueueDifference>>,
    },
    /// It belongs to another connection.
    Exclusive,
    /// RabbitMQ did not say, in words.
    Unknown(String),
}

/// An exchange as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeState {
    /// There is none of this name yet.
    Missing,
    /// As Freshet would have declared it, as far as this user may know.
    AsDeclared,
    /// Declared otherwise, in RabbitMQ's words. Freshet cannot use it.
    Differs(String),
    /// RabbitMQ did not say, in words.
    Unknown(String),
}

/// The name of a queue that one connection at a time reserves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameState {
    /// Nobody has it.
    Free,
    /// Somebody has it, as is meant.
    Reserved,
    /// A queue that everybody may use goes by this name, so that nobody can reserve it.
    Ordinary,
    /// RabbitMQ did not say, in words.
    Unknown(String),
}

/// The exchanges.
#[derive(Debug)]
pub struct ExchangesReport {
    /// It leads to the lanes.
    pub lanes: ExchangeState,
    /// It takes dead letters.
    pub dead: ExchangeState,
    /// By it replicas tell each other of their lanes.
    pub status: ExchangeState,
}

pub(super) async fn exchanges(connection: &Connection, names: &Names) -> ExchangesReport {
    let (dead, status) = (names.dead(), names.status());
    let (lanes, dead, status) = tokio::join!(
        exchange(connection, names.lanes(), ExchangeKind::Direct, true),
        exchange(connection, &dead, ExchangeKind::Topic, true),
        exchange(connection, &status, ExchangeKind::Fanout, false),
    );
    ExchangesReport { lanes, dead, status }
}

/// Whether the queues are free whose names whoever does one thing at a time reserves.
pub(super) async fn reserved(connection: &Connection, names: &Names) -> Vec<(String, NameState)> {
    let mut states = Vec::new();
    for queue in [names.counter(), names.dead_claim()] {
        let state = name_state(connection, &queue).await;
        states.push((queue, state));
    }
    states
}

/// Asks for a queue that is exclusive to whoever has it: RabbitMQ shows it to nobody else.
pub(super) async fn name_state(connection: &Connection, queue: &str) -> NameState {
    let asking = async {
        let channel = connection.create_channel().await?;
        ask(&channel, queue).await
    };
    match within(SURVEY_ANSWER, asking).await {
        Ok(Ok(_)) => NameState::Ordinary,
        Ok(Err(error)) if is_refused(&error, NOT_FOUND) => NameState::Free,
        Ok(Err(error)) if is_refused(&error, RESOURCE_LOCKED) => NameState::Reserved,
        Ok(Err(error)) => NameState::Unknown(error.to_string()),
        Err(late) => NameState::Unknown(late),
    }
}

pub(super) async fn intake(connection: &Connection, names: &Names) -> QueueState {
    queue(connection, names.intake(), Declaration::ours(topology::consumed(names, None))).await
}

pub(super) async fn dead_letters(connection: &Connection, names: &Names) -> QueueState {
    queue(connection, &names.dead(), Declaration::ours(topology::dead_letters())).await
}

/// The accounts' lanes, in their order.
pub(super) async fn lanes(
    connection: &Connection,
    names: &Names,
    accounts: &[AccountName],
) -> Vec<QueueState> {
    let late = tokio::time::Instant::now() + SURVEY_LANES;
    let asked = accounts.iter().map(|account| async move {
        let ours = Declaration::ours(topology::consumed(names, Some(account)));
        let lane = names.lane(account);
        let asked = queue(connection, &lane, ours);
        tokio::time::timeout_at(late, asked).await.unwrap_or_else(|_| {
            QueueState::Unknown(format!("not all lanes were looked at within {} s", SURVEY_LANES.as_secs()))
        })
    });
    let asked: Vec<_> = asked.collect();
    stream::iter(asked).buffered(SURVEY_AT_ONCE).collect().await
}

async fn queue(connection: &Connection, name: &str, ours: Declaration) -> QueueState {
    let asking = async {
        let channel = connection.create_channel().await?;
        let found = ask(&channel, name).await?;
        close(&channel).await;
        // Only a queue that is there is declared once more, which changes nothing.
        let differing = match find(connection, name, ours.clone()).await {
            Ok(found) => Some(differences(&ours, &found)),
            Err(error) if is_refused(&error, ACCESS_REFUSED) => None,
            Err(error) => return Err(error),
        };
        Ok(QueueState::There {
            waiting: found.message_count(),
            consumers: found.consumer_count(),
            differences: differing,
        })
    };
    match within(SURVEY_ANSWER, asking).await {
        Ok(Ok(state)) => state,
        Ok(Err(error)) if is_refused(&error, NOT_FOUND) => QueueState::Missing,
        Ok(Err(error)) if is_refused(&error, RESOURCE_LOCKED) => QueueState::Exclusive,
        Ok(Err(error)) => QueueState::Unknown(error.to_string()),
        Err(late) => QueueState::Unknown(late),
    }
}

async fn exchange(connection: &Connection, name: &str, kind: ExchangeKind, durable: bool) -> ExchangeState {
    let declare = async |passive| {
        let channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions { durable, passive, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(short(name), kind.clone(), options, FieldTable::default()).await?;
        close(&channel).await;
        Ok(())
    };
    let asking = async {
        declare(true).await?;
        declare(false).await
    };
    match within(SURVEY_ANSWER, asking).await {
        Ok(Ok(())) => ExchangeState::AsDeclared,
        Ok(Err(error)) if is_refused(&error, NOT_FOUND) => ExchangeState::Missing,
        // The permissions are told elsewhere.
        Ok(Err(error)) if is_refused(&error, ACCESS_REFUSED) => ExchangeState::AsDeclared,
        Ok(Err(error)) if is_refused(&error, PRECONDITION_FAILED) => {
            ExchangeState::Differs(error.to_string())
        }
        Ok(Err(error)) => ExchangeState::Unknown(error.to_string()),
        Err(late) => ExchangeState::Unknown(late),
    }
}

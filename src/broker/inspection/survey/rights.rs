//! What this user may do, tried without doing it.
//!
//! RabbitMQ looks at permissions before anything else. So each attempt asks for something that the right allows and that
//! cannot be had: to declare with arguments that no queue can have, to take away a binding that is not there, to consume
//! with a priority that is no number. A refusal for the want of the right is 403; any other answer shows the right, whether
//! the object is there or not.

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use lapin::options::{
    BasicConsumeOptions, ExchangeDeclareOptions, ExchangeUnbindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ExchangeKind};

use super::asking::{Certainty, within};
use crate::broker::amqp::channel::{close, short};
use crate::broker::amqp::refusal::{
    ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED, is_refused,
};
use crate::broker::names::Names;
use crate::broker::timing::{SURVEY_ANSWER, SURVEY_AT_ONCE, SURVEY_LANES_TRIED};
use crate::delivery::AccountName;

/// Nothing is ever bound with it.
const UNBOUND_KEY: &str = "_check";

/// What was tried, and what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RightsReport {
    /// In the order of the objects, each once.
    pub refused: Vec<RefusedRight>,
    /// Lanes that were tried.
    pub lanes: usize,
}

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRight {
    /// `configure`, `write` or `read`, as RabbitMQ's permissions are called.
    pub right: &'static str,
    /// The queue or exchange.
    pub object: String,
}

#[derive(Debug, Clone)]
enum RightAttempt {
    DeclareQueue(String),
    DeclareExchange(String),
    /// Needs to write to the queue and to read from the exchange.
    Bind {
        queue: String,
        exchange: String,
    },
    /// Tried by binding, so that nothing is published.
    Publish {
        to: String,
        readable: String,
    },
    Consume(String),
}

/// Tries what a replica does with each object.
pub(super) async fn rights(
    connection: &Connection,
    names: &Names,
    replica: &str,
    accounts: &[AccountName],
) -> Certainty<RightsReport> {
    let tried: Vec<_> = accounts.iter().take(SURVEY_LANES_TRIED).collect();
    let attempts = attempts(names, replica, &tried);
    let made = stream::iter(attempts).map(|attempt| async move {
        let refused = attempt.refused(connection).await?;
        lapin::Result::Ok(refused)
    });
    let made = made.buffered(SURVEY_AT_ONCE).collect::<Vec<_>>();
    let made = match within(SURVEY_ANSWER, made).await {
        Ok(made) => made,
        Err(late) => return Certainty::Unknown(late),
    };
    let mut report = RightsReport { lanes: tried.len(), ..RightsReport::default() };
    for refused in made {
        match refused {
            Ok(Some(refused)) if !report.refused.contains(&refused) => report.refused.push(refused),
            Ok(_) => {}
            Err(error) => return Certainty::Unknown(error.to_string()),
        }
    }
    Certainty::Known(report)
}

fn attempts(names: &Names, replica: &str, accounts: &[&AccountName]) -> Vec<RightAttempt> {
    let (intake, lanes, dead, probe, status) =
        (names.intake().to_owned(), names.lanes().to_owned(), names.dead(), names.probe(), names.status());
    let status_queue = names.status_queue(replica, Timestamp::UNIX_EPOCH);
    let mut attempts = vec![
        RightAttempt::DeclareExchange(lanes.clone()),
        RightAttempt::DeclareExchange(dead.clone()),
        RightAttempt::Publish { to: lanes.clone(), readable: lanes.clone() },
        RightAttempt::Publish { to: dead.clone(), readable: lanes.clone() },
        RightAttempt::DeclareQueue(intake.clone()),
        RightAttempt::Consume(intake),
        RightAttempt::DeclareQueue(dead.clone()),
        RightAttempt::Bind { queue: dead.clone(), exchange: dead },
        RightAttempt::DeclareQueue(probe.clone()),
        RightAttempt::Bind { queue: probe, exchange: lanes.clone() },
        RightAttempt::DeclareQueue(names.replica(replica)),
        RightAttempt::DeclareExchange(status.clone()),
        RightAttempt::Publish { to: status.clone(), readable: lanes.clone() },
        RightAttempt::DeclareQueue(status_queue.clone()),
        RightAttempt::Bind { queue: status_queue.clone(), exchange: status },
        RightAttempt::Consume(status_queue),
        RightAttempt::DeclareQueue(names.counter()),
        RightAttempt::DeclareQueue(names.dead_claim()),
    ];
    for account in accounts {
        let lane = names.lane(account);
        attempts.push(RightAttempt::DeclareQueue(lane.clone()));
        attempts.push(RightAttempt::Bind { queue: lane.clone(), exchange: lanes.clone() });
        attempts.push(RightAttempt::Consume(lane));
    }
    attempts
}

impl RightAttempt {
    /// The right that is missing, if one is.
    async fn refused(&self, connection: &Connection) -> lapin::Result<Option<RefusedRight>> {
        // A refusal closes the channel.
        let channel = connection.create_channel().await?;
        let made = match self {
            Self::DeclareQueue(queue) => {
                let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
                let impossible = one("x-message-ttl", AMQPValue::LongLongInt(-1));
                channel.queue_declare(short(queue), options, impossible).await.map(drop)
            }
            Self::DeclareExchange(exchange) => {
                let options =
                    ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
                let impossible = one("alternate-exchange", AMQPValue::LongLongInt(0));
                let kind = ExchangeKind::Topic;
                channel.exchange_declare(short(exchange), kind, options, impossible).await
            }
            Self::Bind { queue, exchange } => {
                let (queue, exchange) = (short(queue), short(exchange));
                channel.queue_unbind(queue, exchange, short(UNBOUND_KEY), FieldTable::default()).await
            }
            Self::Publish { to, readable } => {
                let (options, arguments) = (ExchangeUnbindOptions::default(), FieldTable::default());
                let (to, from) = (short(to), short(readable));
                channel.exchange_unbind(to, from, short(UNBOUND_KEY), options, arguments).await
            }
            Self::Consume(queue) => {
                let impossible = one("x-priority", AMQPValue::LongString("none".into()));
                let options = BasicConsumeOptions::default();
                channel.basic_consume(short(queue), short("check"), options, impossible).await.map(drop)
            }
        };
        match made {
            Ok(()) => {
                close(&channel).await;
                Ok(None)
            }
            Err(error) if is_refused(&error, ACCESS_REFUSED) => Ok(Some(self.missing(&error.to_string()))),
            Err(error)
                if [NOT_FOUND, RESOURCE_LOCKED, PRECONDITION_FAILED]
                    .iter()
                    .any(|code| is_refused(&error, *code)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Which right it was. Of two that are needed RabbitMQ names the one that is missing.
    fn missing(&self, refusal: &str) -> RefusedRight {
        let (right, object) = match self {
            Self::DeclareQueue(object) | Self::DeclareExchange(object) => ("configure", object),
            Self::Bind { exchange, .. } if refusal.contains("read access") => ("read", exchange),
            Self::Publish { readable, .. } if refusal.contains("read access") => ("read", readable),
            Self::Bind { queue: object, .. } | Self::Publish { to: object, .. } => ("write", object),
            Self::Consume(object) => ("read", object),
        };
        RefusedRight { right, object: object.clone() }
    }
}

fn one(name: &str, value: AMQPValue) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(name.into(), value);
    arguments
}

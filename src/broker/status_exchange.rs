//! Carries what replicas tell each other of their lanes: a fanout exchange, and for each replica a queue that ends with it.
//! Must not know what the messages say. Started once, beside the sessions.
//!
//! On a connection of its own: an alarm blocks one that publishes, anybody may publish what ends one that reads, and neither
//! may touch a lane. For the same reason nothing here waits for its reader, and nothing else waits for this.

use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer, ExchangeKind};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::amqp::address::{Address, Addresses};
use super::amqp::channel::{answered, short};
use super::amqp::connection::close;
use super::amqp::refusal::{ACCESS_REFUSED, PRECONDITION_FAILED};
use super::context::Context;
use super::error::BrokerError;
use super::facts::BrokerFacts;
use super::names;
use super::timing::{
    HELD_WELL, RECONNECT_DELAYS, STATUS_BYTES, STATUS_FRAME, STATUS_MESSAGES, STATUS_PUBLISH, STATUS_REFUSED,
};
use super::transport;
use crate::backoff::Delays;

/// A message that came.
#[derive(Debug)]
pub struct StatusMessage {
    /// What it says.
    pub body: Vec<u8>,
    /// RabbitMQ vouches that this replica's own user published it, or cannot say whose it is.
    pub own_user: bool,
}

/// Where messages come from, and where they go.
#[derive(Debug)]
pub struct StatusPort {
    /// All that is to be told now. Each new value is published once.
    pub outgoing: watch::Receiver<Arc<Vec<Vec<u8>>>>,
    /// What came. Messages that find no room are dropped: newer ones follow.
    pub incoming: mpsc::Sender<StatusMessage>,
}

/// Never returns. A refusal is logged once, and tried again after a while: replicas work without.
pub(super) async fn run(addresses: Arc<Addresses>, context: Arc<Context>, mut port: StatusPort) {
    let mut delays = Delays::new(RECONNECT_DELAYS.0, RECONNECT_DELAYS.1);
    // Where tokens or certificates name the user, RabbitMQ knows another one than the address.
    let mut user_is_known = true;
    let first = names::first_node(&context.replica, addresses.count());
    for attempt in first.. {
        let started = Instant::now();
        let broken = serve(addresses.nth(attempt), user_is_known, &context, &mut port).await;
        if started.elapsed() > HELD_WELL {
            delays.reset();
        }
        if user_is_known && is_another_user(&broken) {
            user_is_known = false;
            continue;
        }
        let refused = broken.is_refused(ACCESS_REFUSED) || broken.is_refused(PRECONDITION_FAILED);
        if refused {
            let exchange = context.names.status();
            let why = format!("RabbitMQ refuses the exchange {exchange} or its queue: {broken}");
            if context.facts.exchange().as_ref() != Some(&why) {
                tracing::warn!(%broken, exchange, "replicas cannot tell each other of their lanes");
            }
            context.facts.set_silent(Some(why));
            tokio::time::sleep(STATUS_REFUSED).await;
        } else {
            context.facts.set_silent(Some("the connection for it is lost, and made anew".to_owned()));
            tracing::debug!(%broken, "the connection to the other replicas is made anew");
            tokio::time::sleep(delays.following()).await;
        }
    }
}

/// Whether RabbitMQ refused a message because its `user_id` is not the connection's user.
fn is_another_user(broken: &BrokerError) -> bool {
    broken.is_refused(PRECONDITION_FAILED) && broken.to_string().contains("user_id")
}

/// Serves one connection, until it breaks.
async fn serve(
    address: &Address,
    user_is_known: bool,
    context: &Context,
    port: &mut StatusPort,
) -> BrokerError {
    let user = if user_is_known { address.user().map(ShortString::from) } else { None };
    let name = format!("{}, status", context.replica);
    let connection = match transport::connect(&address.with_frames_up_to(STATUS_FRAME), &name).await {
        Ok(connection) => connection,
        Err(error) => return error.into(),
    };
    context.facts.set_version(connection.properties().version);
    let exchange = context.names.status();
    let opening = async {
        let channel = connection.create_channel().await?;
        let consumer = open(&channel, context).await?;
        Ok((channel, consumer))
    };
    let broken = match answered(&exchange, opening).await {
        Ok((channel, consumer)) => {
            exchange_messages(&channel, consumer, (&exchange, user.as_ref()), &context.facts, port).await
        }
        Err(error) => error,
    };
    close(&connection).await;
    broken
}

async fn open(channel: &Channel, context: &Context) -> lapin::Result<Consumer> {
    let (exchange, queue) =
        (context.names.status(), context.names.status_queue(&context.replica, Timestamp::now()));
    let kind = ExchangeKind::Fanout;
    // Not durable: what it carries is out of date after seconds.
    channel
        .exchange_declare(short(&exchange), kind, ExchangeDeclareOptions::default(), FieldTable::default())
        .await?;
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(STATUS_MESSAGES));
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(STATUS_BYTES));
    channel.queue_declare(short(&queue), options, arguments).await?;
    let (none, options) = (FieldTable::default(), QueueBindOptions::default());
    channel.queue_bind(short(&queue), short(&exchange), short(""), options, none).await?;
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    channel.basic_consume(short(&queue), short(&context.replica), options, FieldTable::default()).await
}

async fn exchange_messages(
    channel: &Channel,
    mut consumer: Consumer,
    (exchange, user): (&str, Option<&ShortString>),
    facts: &BrokerFacts,
    port: &mut StatusPort,
) -> BrokerError {
    facts.set_silent(None);
    let mut telling = true;
    // The exchange sends back what this replica tells. With hundreds of lanes reading it costs more than all else here.
    let own = consumer.queue();
    let properties = BasicProperties::default().with_app_id(own.clone());
    // RabbitMQ refuses it from anybody else, so that others cannot tell in the replicas' name.
    let properties = match user {
        Some(user) => properties.with_user_id(user.clone()),
        None => properties,
    };
    loop {
        tokio::select! {
            message = consumer.next() => match message {
                Some(Ok(message)) if message.properties.app_id().as_ref() == Some(&own) => {}
                // A reader that is behind gets newer ones.
                Some(Ok(message)) => {
                    let own_user = user.is_none_or(|user| message.properties.user_id().as_ref() == Some(user));
                    drop(port.incoming.try_send(StatusMessage { body: message.data, own_user }));
                }
                Some(Err(error)) => return error.into(),
                None => return BrokerError::Closed,
            },
            changed = port.outgoing.changed(), if telling => {
                telling = changed.is_ok();
                let messages = port.outgoing.borrow_and_update().clone();
                for body in &*messages {
                    if let Err(error) = publish(channel, exchange, properties.clone(), body).await {
                        return error;
                    }
                }
            }
        }
    }
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    properties: BasicProperties,
    body: &[u8],
) -> Result<(), BrokerError> {
    let options = BasicPublishOptions::default();
    let publishing = channel.basic_publish(short(exchange), short(""), options, body, properties);
    match tokio::time::timeout(STATUS_PUBLISH, publishing).await {
        // Nobody waits for a confirm: the next one follows.
        Ok(published) => published.map(drop).map_err(BrokerError::from),
        Err(_) => Err(BrokerError::Unresponsive(STATUS_PUBLISH)),
    }
}

//! Warns of queues that may lose messages: queues that Freshet did not declare itself. Once at the start.
//!
//! AMQP does not show a queue's arguments. But RabbitMQ refuses to declare a queue again with others, and names the first one
//! that differs, with its value. So the queue is declared with Freshet's arguments, and each refusal corrects them, until
//! RabbitMQ agrees. Policies are not arguments, and do not show here. Nothing is changed, and only the log depends on it.
//! Started by the session.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::context::Context;
use super::error::BrokerError;
use super::topology;
use crate::broker::amqp::channel::{self, short};
use crate::broker::amqp::connection::ConnectionPool;
use crate::broker::amqp::refusal::{PRECONDITION_FAILED, is_refused};
use crate::broker::timing::ANSWER_TIMEOUT;

/// More than a queue has arguments.
const DECLARE_ATTEMPTS: usize = 24;

/// A queue as it was declared, as far as AMQP shows it.
#[derive(Debug, Clone, PartialEq)]
struct Declaration {
    arguments: FieldTable,
    durable: bool,
    auto_delete: bool,
}

/// The queues that were inspected, each once in the life of the process.
#[derive(Debug, Default)]
pub(super) struct InspectedQueues(Mutex<HashSet<String>>);

impl InspectedQueues {
    fn is_new(&self, queue: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.to_owned())
    }
}

/// Inspects the intake, the dead letters and the lanes.
pub(super) async fn inspect(
    context: Arc<Context>,
    pool: Arc<ConnectionPool>,
    inspected: Arc<InspectedQueues>,
) -> Result<(), BrokerError> {
    let pair = pool.pair(0)?;
    let names = &context.names;
    let consumed = |account| topology::consumed(names, account);
    let shared = [(names.intake().to_owned(), consumed(None)), (names.dead(), topology::dead_letters())];
    let lanes = context.lanes();
    let lanes =
        lanes.inlets.values().map(|inlet| (names.lane(&inlet.account), consumed(Some(&inlet.account))));
    for (queue, arguments) in shared.into_iter().chain(lanes) {
        if !inspected.is_new(&queue) {
            continue;
        }
        let ours = Declaration { arguments, durable: true, auto_delete: false };
        let found = tokio::time::timeout(ANSWER_TIMEOUT, find(&pair.consuming, &queue, ours)).await;
        match found {
            Ok(Ok(found)) => {
                for why in dangers(&found) {
                    tracing::warn!(queue, why, "a queue may lose messages");
                }
            }
            // Exclusive to another connection, or not permitted: what consumes the queue reports that.
            Ok(Err(error)) => tracing::debug!(queue, %error, "a queue cannot be inspected"),
            Err(_) => tracing::debug!(queue, "a queue was not inspected in time"),
        }
    }
    Ok(())
}

/// Declares a queue that is there, until RabbitMQ agrees with the arguments.
async fn find(connection: &Connection, queue: &str, ours: Declaration) -> lapin::Result<Declaration> {
    let mut guess = ours;
    for _ in 1..DECLARE_ATTEMPTS {
        match declare(connection, queue, &guess).await {
            Err(error) if is_refused(&error, PRECONDITION_FAILED) => {
                match corrected(&guess, &error.to_string()) {
                    Some(corrected) if corrected != guess => guess = corrected,
                    Some(_) | None => return Err(error),
                }
            }
            declared => return declared.map(|()| guess),
        }
    }
    declare(connection, queue, &guess).await.map(|()| guess)
}

async fn declare(connection: &Connection, queue: &str, found: &Declaration) -> lapin::Result<()> {
    // A refusal closes the channel.
    let channel = connection.create_channel().await?;
    let Declaration { durable, auto_delete, .. } = *found;
    let options = QueueDeclareOptions { durable, auto_delete, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(queue), options, found.arguments.clone()).await?;
    channel::close(&channel).await;
    Ok(())
}

/// The declaration as it should have been by RabbitMQ's refusal: `inequivalent arg 'x-expires' for queue 'q' in
/// vhost '/': received none but current is the value '1000' of type 'signedint'`.
fn corrected(declared: &Declaration, refusal: &str) -> Option<Declaration> {
    let (_, rest) = refusal.split_once("inequivalent arg '")?;
    let (name, rest) = rest.split_once('\'')?;
    // From the right: the queue's name may hold the same words.
    let (_, current) = rest.rsplit_once(" but current is ")?;
    let mut found = declared.clone();
    match (name, current.trim_end()) {
        ("durable", is) => found.durable = is == "'true'",
        ("auto_delete", is) => found.auto_delete = is == "'true'",
        (name, "none") => found.arguments = without(&found.arguments, name),
        (name, is) => _ = found.arguments.insert(ShortString::try_new(name).ok()?, value(is)?),
    }
    Some(found)
}

/// `the value 'stream' of type 'longstr'`, or `'stream'`.
fn value(text: &str) -> Option<AMQPValue> {
    let text = text.strip_prefix("the value ").unwrap_or(text);
    let (value, kind) = text.rsplit_once(" of type ").unwrap_or((text, "'longstr'"));
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(match kind {
        "'longstr'" => AMQPValue::LongString(value.into()),
        "'bool'" | "'boolean'" => AMQPValue::Boolean(value == "true"),
        _ => AMQPValue::LongLongInt(value.parse().ok()?),
    })
}

fn without(arguments: &FieldTable, name: &str) -> FieldTable {
    let mut rest = FieldTable::default();
    for (key, value) in arguments.inner().iter().filter(|(key, _)| key.as_str() != name) {
        rest.insert(key.clone(), value.clone());
    }
    rest
}

/// Why such a queue may lose messages, in words for the log.
fn dangers(found: &Declaration) -> Vec<String> {
    let argument = |name: &str| found.arguments.inner().get(name);
    let text = |name: &str| argument(name).and_then(AMQPValue::as_long_string).map(ToString::to_string);
    let mut dangers = Vec::new();
    if found.auto_delete {
        dangers.push(
            "auto-delete: RabbitMQ deletes it, with all that waits, when its last consumer leaves".to_owned(),
        );
    }
    if !found.durable {
        dangers.push("not durable: it is gone after a restart of RabbitMQ".to_owned());
    }
    if argument("x-expires").is_some() {
        dangers.push("x-expires: RabbitMQ deletes it, with all that waits, when nobody uses it".to_owned());
    }
    if argument("x-message-ttl").is_some() {
        dangers.push("x-message-ttl: RabbitMQ takes out what waits too long".to_owned());
    }
    // A queue that refuses publishes loses nothing: its publishers see the refusal.
    let refuses = text("x-overflow").is_some_and(|overflow| overflow.starts_with("reject-publish"));
    for limit in ["x-max-length", "x-max-length-bytes"].into_iter().filter(|limit| argument(limit).is_some())
    {
        if !refuses {
            dangers.push(format!("{limit}: RabbitMQ takes out the oldest messages when it is full"));
        }
    }
    if text("x-queue-type").as_deref() == Some("stream") {
        dangers.push("a stream: messages go when they are old, and cannot be taken out singly".to_owned());
    }
    dangers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Declaration {
        let mut arguments = topology::quorum();
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        Declaration { arguments, durable: true, auto_delete: false }
    }

    fn refusal(argument: &str, but: &str) -> String {
        format!(
            "protocol error: AMQP soft error: PRECONDITION-FAILED: PRECONDITION_FAILED - inequivalent arg '{argument}' \
             for queue 'its but current is none' in vhost '/': received {but}"
        )
    }

    #[test]
    fn a_refusal_says_how_the_queue_was_declared() {
        let text = [
            ("auto_delete", "'false' but current is 'true'"),
            ("durable", "'true' but current is 'false'"),
            ("x-queue-type", "'quorum' but current is 'stream'"),
            ("x-expires", "none but current is the value '1000' of type 'signedint'"),
            ("x-max-age", "none but current is the value '1D' of type 'longstr'"),
            ("x-overflow", "the value 'reject-publish' of type 'longstr' but current is none"),
        ];
        let found = text
            .iter()
            .fold(ours(), |found, (argument, but)| corrected(&found, &refusal(argument, but)).unwrap());
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        arguments.insert("x-expires".into(), AMQPValue::LongLongInt(1000));
        arguments.insert("x-max-age".into(), AMQPValue::LongString("1D".into()));
        assert_eq!(found, Declaration { arguments, durable: false, auto_delete: true });
        for other in ["PRECONDITION_FAILED - unknown delivery tag 1", "inequivalent arg 'x", ""] {
            assert_eq!(corrected(&ours(), other), None, "{other}");
        }
    }

    #[test]
    fn only_arguments_that_may_lose_messages_are_named() {
        assert!(dangers(&ours()).is_empty());
        let with = |name: &str, value: AMQPValue| {
            let mut found = ours();
            found.arguments.insert(name.into(), value);
            found
        };
        let number = AMQPValue::LongLongInt(10);
        assert!(dangers(&with("x-max-length", number.clone())).is_empty(), "publishers see the refusal");
        for name in ["x-expires", "x-message-ttl"] {
            let dangers = dangers(&with(name, number.clone()));
            assert!(dangers.len() == 1 && dangers[0].starts_with(name), "{dangers:?}");
        }
        for name in ["x-max-length", "x-max-length-bytes"] {
            let mut found = with(name, number.clone());
            found.arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
            assert!(dangers(&found)[0].starts_with(name));
            found.arguments = without(&found.arguments, "x-overflow");
            assert!(dangers(&found)[0].starts_with(name), "drop-head is the default");
        }
        assert_eq!(dangers(&Declaration { durable: false, auto_delete: true, ..ours() }).len(), 2);
    }
}

//! Puts events on the intake queue, as any sender would, with confirms.

use std::io::Read;
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio_util::sync::CancellationToken;

use super::address::Addresses;
use super::directory::ACCOUNT_HEADER;
use super::letter::{self, Letter, REPLAYS};
use super::lifeline::{is_taken, publish, publisher};
use super::lines::read_lines;
use super::names::Names;
use super::republish;
use super::session::{Broken, connect};
use super::topology;

/// Publishes in flight.
const IN_FLIGHT: usize = 500;
const PERSISTENT: u8 = 2;

/// A connection that takes events.
pub struct Publisher {
    connection: Connection,
    channel: Channel,
    queue: String,
    account: Option<String>,
}

/// Why not every event was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No connection could be made.
    #[error("cannot reach the broker: {0}")]
    Unreachable(String),
    /// The broker stopped taking events.
    #[error("the broker stopped taking events after {confirmed} were confirmed: {why}")]
    Broken {
        /// Events that are safe.
        confirmed: u64,
        /// What happened.
        why: String,
    },
    /// The events cannot be read on.
    #[error("cannot read on after {confirmed} events were confirmed: {source}")]
    Unreadable {
        /// Events that are safe.
        confirmed: u64,
        /// What the system said.
        source: std::io::Error,
    },
}

type InFlight = FuturesUnordered<Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>>;

impl Publisher {
    /// Connects, and declares the queue if it is missing. Gives up after a few seconds.
    pub async fn connect(
        addresses: &Addresses,
        names: &Names,
        account: Option<String>,
    ) -> Result<Self, PublishError> {
        crate::tls::install_provider();
        let unreachable = |broken: Broken| PublishError::Unreachable(broken.to_string());
        let mut connected = connect(addresses.turn(0), "publish").await;
        for node in 1..addresses.count() {
            if connected.is_err() {
                connected = connect(addresses.turn(node), "publish").await;
            }
        }
        let connection = connected.map_err(unreachable)?;
        let prepared = async {
            topology::declare_shared(&connection, names).await?;
            publisher(&connection).await
        };
        let channel = prepared.await.map_err(|error: lapin::Error| unreachable(error.into()))?;
        Ok(Self { connection, channel, queue: names.intake().to_owned(), account })
    }

    /// Publishes every line that is not blank; `confirmed` is told the number after each confirm.
    /// Returns the number that the broker has confirmed.
    pub async fn publish(
        self,
        input: Box<dyn Read + Send>,
        stop: &CancellationToken,
        mut confirmed: impl FnMut(u64),
    ) -> Result<u64, PublishError> {
        let mut lines = read_lines(input);
        let mut in_flight = InFlight::new();
        let mut count = 0;
        let mut reading = true;
        while reading || !in_flight.is_empty() {
            let step: Result<(), Broken> = tokio::select! {
                biased;
                Some(answer) = in_flight.next(), if !in_flight.is_empty() => {
                    taken(&self.queue, answer).map(|()| {
                        count += 1;
                        confirmed(count);
                    })
                }
                () = stop.cancelled(), if reading => {
                    reading = false;
                    Ok(())
                }
                line = lines.recv(), if reading && in_flight.len() < IN_FLIGHT => match line {
                    None => {
                        reading = false;
                        Ok(())
                    }
                    Some(Err(source)) => return Err(PublishError::Unreadable { confirmed: count, source }),
                    Some(Ok(body)) if body.iter().all(u8::is_ascii_whitespace) => Ok(()),
                    Some(Ok(body)) => self.send(&body).await.map(|confirm| {
                        in_flight.push(Box::pin(confirm));
                    }),
                },
            };
            if let Err(broken) = step {
                return Err(PublishError::Broken { confirmed: count, why: broken.to_string() });
            }
        }
        if let Err(error) = self.connection.close(200, "done".into()).await {
            tracing::debug!(%error, "closing the connection");
        }
        Ok(count)
    }

    async fn send(&self, line: &[u8]) -> Result<lapin::PublisherConfirm, Broken> {
        let letter = Letter::from_line(line);
        let body = letter.as_ref().map_or(line, |letter| &letter.body);
        let properties = match &letter {
            Some(letter) => sent_back(letter, self.account.as_deref()),
            None => new(self.account.as_deref()),
        };
        // The default exchange leads to the queue of the key's name.
        Ok(publish(&self.channel, "", &self.queue, body, properties).await?)
    }
}

/// The properties of an event that is published for the first time.
fn new(account: Option<&str>) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT);
    if let Ok(second) = u64::try_from(Timestamp::now().as_second()) {
        properties = properties.with_timestamp(second);
    }
    if let Some(account) = account {
        let mut headers = FieldTable::default();
        name_account(&mut headers, account);
        properties = properties.with_headers(headers);
    }
    properties
}

/// The properties of an event that comes from a dead letter: the sender's own, the letter's account unless another one
/// is asked for, and one replay more.
fn sent_back(letter: &Letter, account: Option<&str>) -> BasicProperties {
    let original = letter.amqp_properties().with_headers(letter::amqp_headers(&letter.headers));
    let mut headers = FieldTable::default();
    if let Some(account) = account.or_else(|| letter.account()) {
        name_account(&mut headers, account);
    }
    headers.insert(REPLAYS.into(), AMQPValue::LongLongInt(letter.replays()));
    republish::for_dead_letter(&original, &headers).with_delivery_mode(PERSISTENT)
}

fn name_account(headers: &mut FieldTable, account: &str) {
    headers.insert(ACCOUNT_HEADER.into(), AMQPValue::LongString(account.into()));
}

fn taken(queue: &str, answer: lapin::Result<Confirmation>) -> Result<(), Broken> {
    if is_taken(&answer?) {
        Ok(())
    } else {
        Err(Broken::NotConfirmed { exchange: "(default)".to_owned(), key: queue.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_sent_back_with_its_sender_s_headers_to_its_account_and_counted() {
        let line =
            br#"{"headers":{"freshet-reason":"rejected","freshet-detail":"[]","freshet-account":"acme",
            "freshet-replays":2,"tenant":"t","x-delivery-count":7,"CC":["elsewhere"]},
            "properties":{"message_id":"m-1","delivery_mode":1},"routing_key":"acme.rejected","body":{}}"#;
        let letter = Letter::from_line(line).unwrap();
        for (asked, account) in [(None, "acme"), (Some("globex"), "globex")] {
            let properties = sent_back(&letter, asked);
            let headers = properties.headers().as_ref().unwrap().inner();
            let names: Vec<&str> = headers.keys().map(lapin::types::ShortString::as_str).collect();
            assert_eq!(names, ["freshet-original-cc", REPLAYS, ACCOUNT_HEADER, "tenant"]);
            assert_eq!(headers.get(REPLAYS), Some(&AMQPValue::LongLongInt(3)));
            assert_eq!(headers.get(ACCOUNT_HEADER), Some(&AMQPValue::LongString(account.into())));
            assert_eq!(*properties.delivery_mode(), Some(PERSISTENT), "whatever the letter says");
            assert_eq!(properties.message_id().as_ref().map(lapin::types::ShortString::as_str), Some("m-1"));
        }
    }
}

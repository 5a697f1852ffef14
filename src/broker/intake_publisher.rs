//! Publishes lines: events to the intake queue, as any sender would, and dead letters back to their accounts' lanes. Called
//! by the command `publish`; knows nothing of files.

use std::collections::HashSet;
use std::pin::Pin;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio_util::sync::CancellationToken;

use super::error::BrokerError;
use super::inspection::first_node::{NoNode, first_node};
use super::names::Names;
use super::topology;
use super::transport::{Connected, connect};
use crate::broker::amqp::address::Addresses;
use crate::broker::amqp::channel::{is_taken, publish, publisher};
use crate::broker::amqp::fitting::fit;
use crate::broker::amqp::{letter_properties, republished, stored_letter};
use crate::broker::timing::COMMAND_PUBLISHES;
use crate::dead_letter::Letter;
use crate::dead_letter::header_names::REPLAYS;
use crate::delivery::AccountName;
use crate::routing::ACCOUNT_HEADER;

const PERSISTENT: u8 = 2;

/// A connection of its own, with one confirmed channel.
pub struct Publisher {
    connection: Connected,
    channel: Channel,
    names: Names,
    /// Of every event, where the command names one; outranks the letters' own.
    account: Option<AccountName>,
    /// Of the configuration. A letter of any other account goes to the intake.
    accounts: Vec<AccountName>,
    /// Accounts whose lanes were declared.
    lanes: HashSet<AccountName>,
}

/// Why not every event was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No node let this in.
    #[error("{0}")]
    Unreachable(#[from] NoNode),
    /// The queues could not be declared.
    #[error("cannot publish at the broker: {0}; `freshet check` says what is missing")]
    NotDeclared(String),
    /// The broker stopped taking events.
    #[error("the broker stopped taking events after {confirmed} were confirmed: {why}")]
    Interrupted {
        /// Events that the broker has.
        confirmed: u64,
        /// In words.
        why: String,
    },
    /// The rest of the input cannot be read.
    #[error("cannot read on after {confirmed} events were confirmed: {source}")]
    Unreadable {
        /// Events that the broker has.
        confirmed: u64,
        /// What the system reported.
        source: std::io::Error,
    },
}

/// How many events the broker has confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Published to the intake.
    pub intake: u64,
    /// Dead letters that went back to their accounts' lanes.
    pub lanes: u64,
}

/// The exchange and the routing key of a message, and what the broker answered.
type PublishAnswer = (String, String, lapin::Result<Confirmation>);
type PendingConfirm = Pin<Box<dyn Future<Output = PublishAnswer> + Send>>;

impl Publisher {
    /// Connects to the first node that takes a connection, and declares the intake and the dead letters if they are
    /// missing.
    pub async fn connect(
        addresses: &Addresses,
        names: &Names,
        account: Option<AccountName>,
        accounts: Vec<AccountName>,
    ) -> Result<Self, PublishError> {
        crate::tls::install_provider();
        let connection = first_node(addresses, |address| Box::pin(connect(address, "publish"))).await?;
        let prepared = async {
            topology::declare_shared(&connection, names).await?;
            topology::declare_intake(&connection, names).await?;
            Ok(publisher(&connection).await?)
        };
        let channel =
            prepared.await.map_err(|error: BrokerError| PublishError::NotDeclared(error.to_string()))?;
        Ok(Self { connection, channel, names: names.clone(), account, accounts, lanes: HashSet::new() })
    }

    /// Publishes every line that is not blank, until `stop`. Calls `confirmed` with the number of confirms after each.
    pub async fn publish(
        mut self,
        mut lines: impl Stream<Item = std::io::Result<Vec<u8>>> + Unpin,
        stop: &CancellationToken,
        mut confirmed: impl FnMut(u64),
    ) -> Result<Published, PublishError> {
        let mut in_flight = FuturesUnordered::<PendingConfirm>::new();
        let (mut count, mut published) = (0, Published::default());
        let mut reading = true;
        while reading || !in_flight.is_empty() {
            let step: Result<(), BrokerError> = tokio::select! {
                biased;
                Some(answer) = in_flight.next(), if !in_flight.is_empty() => {
                    let to_intake = answer.0.is_empty();
                    check(answer).map(|()| {
                        count += 1;
                        let place = if to_intake { &mut published.intake } else { &mut published.lanes };
                        *place += 1;
                        confirmed(count);
                    })
                }
                () = stop.cancelled(), if reading => {
                    reading = false;
                    Ok(())
                }
                line = lines.next(), if reading && in_flight.len() < COMMAND_PUBLISHES => match line {
                    None => {
                        reading = false;
                        Ok(())
                    }
                    Some(Err(source)) => return Err(PublishError::Unreadable { confirmed: count, source }),
                    Some(Ok(body)) if body.iter().all(u8::is_ascii_whitespace) => Ok(()),
                    Some(Ok(body)) => self.send(&body).await.map(|confirm| {
                        in_flight.push(confirm);
                    }),
                },
            };
            if let Err(broken) = step {
                return Err(PublishError::Interrupted { confirmed: count, why: broken.to_string() });
            }
        }
        if let Err(error) = self.connection.close(200, "done".into()).await {
            tracing::debug!(%error, "closing the connection");
        }
        Ok(published)
    }

    async fn send(&mut self, line: &[u8]) -> Result<PendingConfirm, BrokerError> {
        let letter = Letter::from_line(line);
        let body = letter.as_ref().map_or(line, |letter| &letter.body);
        let properties = match &letter {
            // Its headers may come from a broker that takes larger frames.
            Some(letter) => {
                let properties = sent_back(letter, self.account.as_deref());
                let properties =
                    stored_letter::without_deaths(properties, |queue| self.names.is_own_queue(queue));
                fit(properties, self.connection.frame_max())
            }
            None => first_time(self.account.as_deref()),
        };
        // By the lanes' exchange, because the count of replays is believed only of messages that came by it.
        let (exchange, key) = match letter.as_ref().and_then(|letter| self.lane_of(letter)) {
            Some(account) => {
                if !self.lanes.contains(&account) {
                    topology::declare_lane(&self.connection, &self.names, &account).await?;
                    self.lanes.insert(account.clone());
                }
                (self.names.lanes().to_owned(), account.to_string())
            }
            // The default exchange leads to the queue that the key names.
            None => (String::new(), self.names.intake().to_owned()),
        };
        let confirm = publish(&self.channel, &exchange, &key, body, properties).await?;
        Ok(Box::pin(async move { (exchange, key, confirm.await) }))
    }

    /// None if the configuration has no such account.
    fn lane_of(&self, letter: &Letter) -> Option<AccountName> {
        let named = self.account.as_deref().or_else(|| letter.account())?;
        self.accounts.iter().find(|account| ***account == *named).cloned()
    }
}

/// The properties of an event that is published for the first time.
fn first_time(account: Option<&str>) -> BasicProperties {
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

/// The properties of an event from a dead letter: the sender's own, the letter's account unless the command names another,
/// and one replay more.
fn sent_back(letter: &Letter, account: Option<&str>) -> BasicProperties {
    let original = letter_properties::without_headers(letter);
    let original = original.with_headers(letter_properties::amqp_headers(&letter.headers));
    let mut headers = FieldTable::default();
    if let Some(account) = account.or_else(|| letter.account()) {
        name_account(&mut headers, account);
    }
    headers.insert(REPLAYS.into(), AMQPValue::LongLongInt(letter.replays()));
    republished::for_dead_letter(&original, &headers).with_delivery_mode(PERSISTENT)
}

fn name_account(headers: &mut FieldTable, account: &str) {
    headers.insert(ACCOUNT_HEADER.into(), AMQPValue::LongString(account.into()));
}

fn check((exchange, key, answer): PublishAnswer) -> Result<(), BrokerError> {
    let exchange = if exchange.is_empty() { "(default)".to_owned() } else { exchange };
    if is_taken(&answer?) { Ok(()) } else { Err(BrokerError::NotConfirmed { exchange, key }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_sent_back_to_its_account_with_its_sender_s_headers_and_counted() {
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

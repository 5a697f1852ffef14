//! Puts events on the intake queue, as any sender would, with confirms.

use std::io::Read;
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio_util::sync::CancellationToken;

use super::address::Addresses;
use super::directory::ACCOUNT_HEADER;
use super::lifeline::{is_taken, publish, publisher};
use super::lines::read_lines;
use super::names::Names;
use super::session::Broken;
use super::topology;
use super::transport::{Connected, connect};

/// Publishes in flight.
const IN_FLIGHT: usize = 500;
const PERSISTENT: u8 = 2;

/// A connection that takes events.
pub struct Publisher {
    connection: Connected,
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
            topology::declare_intake(&connection, names).await?;
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

    async fn send(&self, body: &[u8]) -> Result<lapin::PublisherConfirm, Broken> {
        let mut properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT);
        if let Ok(second) = u64::try_from(Timestamp::now().as_second()) {
            properties = properties.with_timestamp(second);
        }
        if let Some(account) = &self.account {
            let mut headers = FieldTable::default();
            headers.insert(ACCOUNT_HEADER.into(), AMQPValue::LongString(account.as_str().into()));
            properties = properties.with_headers(headers);
        }
        // The default exchange leads to the queue of the key's name.
        Ok(publish(&self.channel, "", &self.queue, body, properties).await?)
    }
}

fn taken(queue: &str, answer: lapin::Result<Confirmation>) -> Result<(), Broken> {
    if is_taken(&answer?) {
        Ok(())
    } else {
        Err(Broken::NotConfirmed { exchange: "(default)".to_owned(), key: queue.to_owned() })
    }
}

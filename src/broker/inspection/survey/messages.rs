//! Whether the broker takes messages: an alarm, or most of its nodes away.

use std::pin::pin;

use futures_util::{Stream, StreamExt as _};
use lapin::{BasicProperties, Confirmation, Event};

use super::asking::{connect, within};
use crate::broker::amqp::address::Address;
use crate::broker::amqp::channel::{is_taken, publish as send, publisher};
use crate::broker::amqp::connection::close;
use crate::broker::amqp::refusal::{ACCESS_REFUSED, NOT_FOUND, is_refused};
use crate::broker::names::{Names, PROBE_KEY};
use crate::broker::timing::SURVEY_ANSWER;

/// What came of an empty message to the probe's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publishing {
    /// It was confirmed.
    Confirmed,
    /// There is no such queue before the first start. No alarm kept the message from being read.
    NoProbeQueue,
    /// An alarm, in the broker's words.
    Blocked(String),
    /// It was not confirmed in time.
    Unconfirmed,
    /// This user may not publish.
    NotPermitted,
    /// Anything else, in words.
    Unknown(String),
}

enum SentProbe {
    Answered(Box<lapin::Result<Confirmation>>),
    Blocked(String),
}

/// On a connection of its own: an alarm stops all that goes on on one that publishes.
pub(super) async fn publish(address: &Address, names: &Names) -> Publishing {
    let Ok(connection) = connect(address, "check, publishing").await else {
        return Publishing::Unknown("a second connection was not let in".to_owned());
    };
    let mut events = connection.events_listener();
    let outcome = within(SURVEY_ANSWER, async {
        let exchange = names.lanes();
        let mut confirmed = pin!(async {
            let channel = publisher(&connection).await?;
            send(&channel, exchange, PROBE_KEY, b"", BasicProperties::default()).await?.await
        });
        let answer = tokio::select! {
            why = blocked(&mut events) => return SentProbe::Blocked(why),
            answer = &mut confirmed => answer,
        };
        // In an alarm the broker may answer that one message, but reads nothing after it: what is asked now is answered only
        // where there is no alarm.
        tokio::select! {
            why = blocked(&mut events) => SentProbe::Blocked(why),
            _ = connection.create_channel() => SentProbe::Answered(Box::new(answer)),
        }
    })
    .await;
    // In an alarm nobody reads the request to close.
    if !matches!(outcome, Ok(SentProbe::Blocked(_)) | Err(_)) {
        close(&connection).await;
    }
    match outcome {
        Ok(SentProbe::Answered(answer)) => judged(*answer),
        Ok(SentProbe::Blocked(why)) => Publishing::Blocked(why),
        Err(_) => Publishing::Unconfirmed,
    }
}

/// Ends when the broker tells of an alarm, which it does as soon as it reads a message; with its words.
async fn blocked(events: &mut (impl Stream<Item = Event> + Unpin)) -> String {
    while let Some(event) = events.next().await {
        if let Event::ConnectionBlocked(why) = event {
            return why;
        }
    }
    std::future::pending().await
}

fn judged(answer: lapin::Result<Confirmation>) -> Publishing {
    match answer {
        Ok(confirmation) if is_taken(&confirmation) => Publishing::Confirmed,
        // It came back: nothing is bound with the probe's key.
        Ok(Confirmation::Ack(Some(_))) => Publishing::NoProbeQueue,
        Ok(_) => Publishing::Unconfirmed,
        Err(error) if is_refused(&error, NOT_FOUND) => Publishing::NoProbeQueue,
        Err(error) if is_refused(&error, ACCESS_REFUSED) => Publishing::NotPermitted,
        Err(error) => Publishing::Unknown(error.to_string()),
    }
}

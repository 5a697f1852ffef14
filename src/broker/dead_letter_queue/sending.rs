//! Sends letters back: to their accounts' lanes, and those without an account to the intake. A letter counts as sent when
//! RabbitMQ has confirmed it.

use std::collections::HashSet;
use std::time::Duration;

use lapin::{Channel, Confirmation};
use tokio_util::sync::CancellationToken;

use super::chosen::{ChosenLetter, LetterFate};
use super::error::LetterQueueError;
use super::orders::LetterAccounts;
use crate::broker::amqp::channel::publish;
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::amqp::{fitting, stored_letter};
use crate::broker::error::BrokerError;
use crate::broker::names::Names;
use crate::broker::publishing::publication::Route;
use crate::broker::timing::{ANSWER_TIMEOUT, LETTER_CONFIRMS, LETTER_CONFIRMS_AFTER_STOP};

pub(super) struct LetterSending<'a> {
    pair: &'a ConnectionPair,
    channel: Channel,
    names: &'a Names,
    accounts: &'a LetterAccounts,
    stop: &'a CancellationToken,
    /// Routes that led to a queue.
    proven: HashSet<Route>,
    /// Routes that led to none.
    missing: HashSet<Route>,
}

enum SendAnswer {
    Taken,
    /// The queue takes no more.
    Refused,
    /// It came back, because no queue is there.
    Returned,
}

impl<'a> LetterSending<'a> {
    pub(super) async fn open(
        pair: &'a ConnectionPair,
        names: &'a Names,
        accounts: &'a LetterAccounts,
        stop: &'a CancellationToken,
    ) -> Result<Self, LetterQueueError> {
        let channel = tokio::time::timeout(ANSWER_TIMEOUT, pair.publisher())
            .await
            .map_err(|_| stalled(ANSWER_TIMEOUT))??;
        Ok(Self { pair, channel, names, accounts, stop, proven: HashSet::new(), missing: HashSet::new() })
    }

    /// Publishes the letters in order, and waits for all confirms.
    pub(super) async fn send(
        &mut self,
        letters: &[ChosenLetter],
    ) -> Result<(Vec<LetterFate>, Option<String>), LetterQueueError> {
        let mut fates: Vec<LetterFate> = Vec::with_capacity(letters.len());
        let mut halt = None;
        let mut rest = letters;
        while let Some(first) = rest.first() {
            if let Some(why) = &halt {
                fates.extend(rest.iter().map(|_| LetterFate::Stays(String::clone(why))));
                break;
            }
            let route = match self.route(first) {
                Ok(route) => route,
                Err(why) => {
                    fates.push(LetterFate::Stays(why));
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
            };
            // The first one for a route goes alone: RabbitMQ does not say which message it gives back.
            let routes =
                if self.proven.contains(&route) { self.proven_ahead(route, rest) } else { vec![route] };
            let (now, later) = rest.split_at(routes.len());
            for (letter, answer) in now.iter().zip(self.send_together(now, routes).await?) {
                fates.push(match answer {
                    SendAnswer::Taken => LetterFate::Gone,
                    SendAnswer::Refused => {
                        let why = format!("{} takes no more messages; is it full?", self.place(letter));
                        LetterFate::Stays(halt.insert(why).clone())
                    }
                    SendAnswer::Returned => LetterFate::Stays(self.no_queue(letter)),
                });
            }
            rest = later;
        }
        Ok((fates, halt))
    }

    /// The routes of the first letters that go where letters went before. The first one's route is known already.
    fn proven_ahead(&self, first: Route, letters: &[ChosenLetter]) -> Vec<Route> {
        let others = letters.iter().skip(1).map_while(|letter| {
            let route = self.route(letter).ok()?;
            self.proven.contains(&route).then_some(route)
        });
        std::iter::once(first).chain(others).collect()
    }

    /// Where the letter goes, or why it goes nowhere.
    fn route(&self, letter: &ChosenLetter) -> Result<Route, String> {
        let Some(account) = &letter.listed.account else {
            // The default exchange leads to the queue that the key names.
            return Ok(Route { exchange: String::new(), key: self.names.intake().to_owned() });
        };
        if !(self.accounts)(account) {
            return Err(format!(
                "account {account} is not in the configuration; `freshet publish --account` sends an exported letter to \
                 another one"
            ));
        }
        let route = Route { exchange: self.names.lanes().to_owned(), key: account.clone() };
        if self.missing.contains(&route) { Err(self.no_queue(letter)) } else { Ok(route) }
    }

    fn place(&self, letter: &ChosenLetter) -> String {
        letter
            .listed
            .account
            .as_ref()
            .map_or_else(|| self.names.intake().to_owned(), |account| self.names.lane(account))
    }

    fn no_queue(&self, letter: &ChosenLetter) -> String {
        format!("there is no queue {}; `freshet run` declares it", self.place(letter))
    }

    /// The broker gives back a message that reached no queue before it confirms it. But the client library hands it out with
    /// whatever confirm comes next. So no confirm is believed before all are there, and then none for that route.
    ///
    /// One route for each letter, found once: the accounts may change meanwhile.
    async fn send_together(
        &mut self,
        letters: &[ChosenLetter],
        routes: Vec<Route>,
    ) -> Result<Vec<SendAnswer>, LetterQueueError> {
        let sending = async {
            let mut confirms = Vec::with_capacity(letters.len());
            for (letter, Route { exchange, key }) in letters.iter().zip(&routes) {
                let properties = stored_letter::sent_back(&letter.delivery.properties, |queue| {
                    self.names.is_own_queue(queue)
                });
                let properties = fitting::fit(properties, self.pair.frame_max());
                confirms
                    .push(publish(&self.channel, exchange, key, &letter.delivery.data, properties).await?);
            }
            let mut answers = Vec::with_capacity(confirms.len());
            for confirm in confirms {
                answers.push(confirm.await?);
            }
            Ok::<_, lapin::Error>(answers)
        };
        let confirmations = tokio::select! {
            biased;
            sent = sending => sent?,
            waited = self.out_of_patience() => return Err(stalled(waited)),
        };
        let mut taken = Vec::with_capacity(confirmations.len());
        let mut returned = HashSet::new();
        for confirmation in confirmations {
            let (ack, message) = match confirmation {
                Confirmation::Ack(message) => (true, message),
                Confirmation::Nack(message) => (false, message),
                Confirmation::NotRequested => (false, None),
            };
            if let Some(message) = message {
                let (exchange, key) = (message.exchange.to_string(), message.routing_key.to_string());
                returned.insert(Route { exchange, key });
            }
            taken.push(ack);
        }
        let mut answers = Vec::with_capacity(letters.len());
        for (route, taken) in routes.into_iter().zip(taken) {
            answers.push(if returned.contains(&route) {
                SendAnswer::Returned
            } else if taken {
                self.proven.insert(route);
                SendAnswer::Taken
            } else {
                SendAnswer::Refused
            });
        }
        self.proven.retain(|route| !returned.contains(route));
        self.missing.extend(returned);
        Ok(answers)
    }

    /// Ends when no confirm is waited for any longer, with how long that was at least.
    async fn out_of_patience(&self) -> Duration {
        let after_stop = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LETTER_CONFIRMS_AFTER_STOP).await;
        };
        tokio::select! {
            () = tokio::time::sleep(LETTER_CONFIRMS) => LETTER_CONFIRMS,
            () = after_stop => LETTER_CONFIRMS_AFTER_STOP,
        }
    }
}

fn stalled(waited: Duration) -> LetterQueueError {
    LetterQueueError::Interrupted(format!(
        "{}; is it in an alarm, or without its majority? The letters on their way may be in both queues",
        BrokerError::Unresponsive(waited)
    ))
}

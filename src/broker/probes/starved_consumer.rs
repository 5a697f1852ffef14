//! Finds out whether a consumer is starved: messages wait in its queue, none is held here, and none comes.
//!
//! A quorum queue may wait for acknowledgements that were sent and never reached it (rabbitmq-server pull request 13095 and
//! issue 15473), or have no active consumer although some stand by. RabbitMQ does not report it, and only another
//! subscription ends it. A consumer that merely stands by looks the same from here, and loses nothing by subscribing again.

use std::pin::Pin;

use lapin::Connection;
use tokio::time::Instant;

use crate::backoff::Delays;
use crate::broker::amqp::channel;
use crate::broker::timing::{ANSWER_TIMEOUT, BACKLOG_CHECKS, BACKLOG_RECHECK};

/// When to count a queue's backlog, and what follows from it, from one subscription to the next. Pure: the time is
/// handed in.
#[derive(Debug)]
pub(in crate::broker) struct StarvedConsumer {
    checks: Delays,
    check_at: Instant,
    /// The last count found messages, and none has come since.
    suspected: bool,
}

impl StarvedConsumer {
    pub(in crate::broker) fn new(now: Instant) -> Self {
        let mut checks = Delays::new(BACKLOG_CHECKS.0, BACKLOG_CHECKS.1);
        let check_at = now + checks.following();
        Self { checks, check_at, suspected: false }
    }

    /// When to count the backlog, if no message comes until then.
    pub(in crate::broker) fn check_at(&self) -> Instant {
        self.check_at
    }

    pub(in crate::broker) fn received(&mut self, now: Instant) {
        self.checks.reset();
        self.check_at = now + self.checks.following();
        self.suspected = false;
    }

    /// Takes whether messages wait; true if the consumer is starved.
    pub(in crate::broker) fn observed_backlog(&mut self, found: bool, now: Instant) -> bool {
        let starved = found && self.suspected;
        self.suspected = found && !starved;
        self.check_at = now + if self.suspected { BACKLOG_RECHECK } else { self.checks.following() };
        starved
    }
}

pub(in crate::broker) struct ConsumerWatchdog<'a> {
    starved: &'a mut StarvedConsumer,
    connection: &'a Connection,
    queue: &'a str,
    counting: Option<Pin<Box<dyn Future<Output = bool> + Send + 'a>>>,
}

impl<'a> ConsumerWatchdog<'a> {
    pub(in crate::broker) fn new(
        starved: &'a mut StarvedConsumer,
        connection: &'a Connection,
        queue: &'a str,
    ) -> Self {
        Self { starved, connection, queue, counting: None }
    }

    pub(in crate::broker) fn received(&mut self) {
        self.starved.received(Instant::now());
        // A count under way holds a channel for as long as nobody awaits it, and is out of date by then.
        self.counting = None;
    }

    /// Returns when the consumer is starved. To be awaited while no message is held; can be given up at any time, and
    /// awaited again.
    pub(in crate::broker) async fn until_starved(&mut self) {
        loop {
            if self.counting.is_none() {
                tokio::time::sleep_until(self.starved.check_at()).await;
            }
            let (connection, queue) = (self.connection, self.queue);
            let found = self.counting.get_or_insert_with(|| Box::pin(has_backlog(connection, queue))).await;
            self.counting = None;
            if self.starved.observed_backlog(found, Instant::now()) {
                return;
            }
        }
    }
}

/// Whether messages wait; false if that cannot be known.
async fn has_backlog(connection: &Connection, queue: &str) -> bool {
    let counted = tokio::time::timeout(ANSWER_TIMEOUT, channel::backlog(connection, queue)).await;
    matches!(counted, Ok(Ok(1..)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Counts at each time that is due, as long as nothing comes. Returns when the consumer was found to be starved.
    fn found_starved(
        starved: &mut StarvedConsumer,
        start: Instant,
        hours: u64,
        found: bool,
    ) -> Vec<Duration> {
        let mut times = Vec::new();
        while starved.check_at() < start + Duration::from_hours(hours) {
            let now = starved.check_at();
            if starved.observed_backlog(found, now) {
                times.push(now - start);
            }
        }
        times
    }

    #[test]
    fn one_that_gets_nothing_while_messages_wait_is_given_up_soon_and_then_ever_more_rarely() {
        let start = Instant::now();
        let times = found_starved(&mut StarvedConsumer::new(start), start, 10, true);
        assert!(times[0] > Duration::from_secs(30) && times[0] < Duration::from_mins(1), "{times:?}");
        let last = times[times.len() - 1].abs_diff(times[times.len() - 2]);
        assert!(last > Duration::from_mins(6) && last < Duration::from_mins(15), "{times:?}");
    }

    #[test]
    fn an_empty_queue_is_looked_at_ever_more_rarely_and_never_found_starved() {
        let start = Instant::now();
        let mut starved = StarvedConsumer::new(start);
        assert!(found_starved(&mut starved, start, 10, false).is_empty());
        assert!(starved.check_at() - start < Duration::from_hours(10) + BACKLOG_CHECKS.1 * 2);
    }

    #[test]
    fn a_message_between_two_looks_ends_the_doubt() {
        let mut now = Instant::now();
        let mut starved = StarvedConsumer::new(now);
        for _ in 0..100 {
            now = starved.check_at();
            assert!(!starved.observed_backlog(true, now));
            starved.received(now);
            assert!(starved.check_at() - now > BACKLOG_CHECKS.0 / 2, "and all the time to come again");
        }
    }
}

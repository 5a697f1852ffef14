//! Whether a subscription is forgotten: messages wait, none is on hand, and none comes.
//!
//! A quorum queue may wait for acknowledgements that were sent and never reached it (rabbitmq-server pull request 13095
//! and issue 15473); or it may have no active consumer although some stand by. Nothing tells, and nothing ends it but
//! another subscription. Whoever merely stands by looks the same from here, and loses nothing by subscribing anew.

use std::pin::Pin;

use lapin::Connection;
use tokio::time::Instant;

use crate::backoff::Delays;
use crate::broker::amqp::channel;
use crate::broker::timing::{ANSWER_TIMEOUT, BACKLOG_CHECKS, BACKLOG_RECHECK};

/// One queue's subscriptions, one after another. Pure: the time is handed in.
#[derive(Debug)]
pub(in crate::broker) struct StarvedConsumer {
    looks: Delays,
    look_at: Instant,
    /// The last look found messages, and none has come since.
    doubtful: bool,
}

impl StarvedConsumer {
    pub(in crate::broker) fn new(now: Instant) -> Self {
        let mut looks = Delays::new(BACKLOG_CHECKS.0, BACKLOG_CHECKS.1);
        let look_at = now + looks.following();
        Self { looks, look_at, doubtful: false }
    }

    /// When to look how many messages wait, if none comes until then.
    pub(in crate::broker) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// A message came.
    pub(in crate::broker) fn received(&mut self, now: Instant) {
        self.looks.reset();
        self.look_at = now + self.looks.following();
        self.doubtful = false;
    }

    /// Takes what a look found; true if the subscription is forgotten.
    pub(in crate::broker) fn observed_backlog(&mut self, found: bool, now: Instant) -> bool {
        let forgotten = found && self.doubtful;
        self.doubtful = found && !forgotten;
        self.look_at = now + if self.doubtful { BACKLOG_RECHECK } else { self.looks.following() };
        forgotten
    }
}

/// One subscription that is watched.
pub(in crate::broker) struct ConsumerWatchdog<'a> {
    starved: &'a mut StarvedConsumer,
    connection: &'a Connection,
    queue: &'a str,
    looking: Option<Pin<Box<dyn Future<Output = bool> + Send + 'a>>>,
}

impl<'a> ConsumerWatchdog<'a> {
    pub(in crate::broker) fn new(
        starved: &'a mut StarvedConsumer,
        connection: &'a Connection,
        queue: &'a str,
    ) -> Self {
        Self { starved, connection, queue, looking: None }
    }

    /// A message came.
    pub(in crate::broker) fn received(&mut self) {
        self.starved.received(Instant::now());
        // It would hold its channel for as long as nobody waits for it, and then tell of old times.
        self.looking = None;
    }

    /// Returns when the subscription is forgotten. To be awaited while no message is on hand; can be given up at any
    /// time, and awaited again.
    pub(in crate::broker) async fn until_starved(&mut self) {
        loop {
            if self.looking.is_none() {
                tokio::time::sleep_until(self.starved.look_at()).await;
            }
            let (connection, queue) = (self.connection, self.queue);
            let found = self.looking.get_or_insert_with(|| Box::pin(look(connection, queue))).await;
            self.looking = None;
            if self.starved.observed_backlog(found, Instant::now()) {
                return;
            }
        }
    }
}

/// Whether messages wait; not, if that cannot be known.
async fn look(connection: &Connection, queue: &str) -> bool {
    let counted = tokio::time::timeout(ANSWER_TIMEOUT, channel::waiting(connection, queue)).await;
    matches!(counted, Ok(Ok(1..)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Looks at each time that is due, as long as nothing comes; tells when the subscription is given up, from the start.
    fn given_up(starved: &mut StarvedConsumer, start: Instant, hours: u64, found: bool) -> Vec<Duration> {
        let mut times = Vec::new();
        while starved.look_at() < start + Duration::from_hours(hours) {
            let now = starved.look_at();
            if starved.observed_backlog(found, now) {
                times.push(now - start);
            }
        }
        times
    }

    #[test]
    fn one_that_gets_nothing_while_messages_wait_is_given_up_soon_and_then_ever_more_rarely() {
        let start = Instant::now();
        let times = given_up(&mut StarvedConsumer::new(start), start, 10, true);
        assert!(times[0] > Duration::from_secs(30) && times[0] < Duration::from_mins(1), "{times:?}");
        let last = times[times.len() - 1].abs_diff(times[times.len() - 2]);
        assert!(last > Duration::from_mins(6) && last < Duration::from_mins(15), "{times:?}");
    }

    #[test]
    fn an_empty_queue_is_looked_at_ever_more_rarely_and_never_given_up() {
        let start = Instant::now();
        let mut starved = StarvedConsumer::new(start);
        assert!(given_up(&mut starved, start, 10, false).is_empty());
        assert!(starved.look_at() - start < Duration::from_hours(10) + BACKLOG_CHECKS.1 * 2);
    }

    #[test]
    fn a_message_between_two_looks_ends_the_doubt() {
        let mut now = Instant::now();
        let mut starved = StarvedConsumer::new(now);
        for _ in 0..100 {
            now = starved.look_at();
            assert!(!starved.observed_backlog(true, now));
            starved.received(now);
            assert!(starved.look_at() - now > BACKLOG_CHECKS.0 / 2, "and all the time to come again");
        }
    }
}

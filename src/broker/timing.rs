//! Every wait, deadline and bound of the room, and beside each what it must be shorter or longer than. The orders that
//! correctness rests on are asserted where they stand, when this is compiled.

use std::time::Duration;

use crate::segment::BATCH_EVENTS;

/// A wait that grows from the first value to the second.
pub(super) type Growing = (Duration, Duration);

const fn shorter(one: Duration, other: Duration) -> bool {
    one.as_nanos() < other.as_nanos()
}

// Connections

/// For the network to let a connection in, where the address's `connection_timeout` does not say otherwise.
pub(super) const CONNECT_MILLISECONDS: u64 = 10_000;
/// Between the first attempts to connect to the hosts behind one address. Waiting for each to time out would take too long.
pub(super) const DIAL_STAGGER: Duration = Duration::from_millis(250);
const _: () = assert!(shorter(DIAL_STAGGER, Duration::from_millis(CONNECT_MILLISECONDS)));
/// Between two rounds of all nodes.
pub(super) const RECONNECT_DELAYS: Growing = (Duration::from_millis(200), Duration::from_secs(10));
/// Before the next node of the same round.
pub(super) const NEXT_NODE_DELAY: Duration = Duration::from_millis(100);
const _: () = assert!(shorter(NEXT_NODE_DELAY, RECONNECT_DELAYS.0));
/// Between two channels for the same queue. Longer in the end than a reconnect: the rest of the connection works.
pub(super) const CHANNEL_DELAYS: Growing = (Duration::from_millis(200), Duration::from_secs(30));
/// A connection or a channel that held this long was a good one: the next wait starts small again. Longer than the
/// longest of these waits, or a node that fails after each connect would be tried ever faster.
pub(super) const HELD_WELL: Duration = Duration::from_mins(1);
const _: () = assert!(shorter(RECONNECT_DELAYS.1, HELD_WELL) && shorter(CHANNEL_DELAYS.1, HELD_WELL));
/// Between two checks of the session's connections. A connection that the broker closes in good order ends without an
/// event.
pub(super) const CONNECTION_CHECK: Duration = Duration::from_secs(1);
/// The same where a queue is consumed apart: its message costs the connection again and again.
pub(super) const APART_CONNECTION_CHECK: Duration = Duration::from_millis(200);
/// The reason follows the end of a connection at once, if there is one.
pub(super) const CLOSE_REASON_WAIT: Duration = Duration::from_millis(200);
/// For a channel or a connection to close. The peer may be gone.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a channel stays open after its last acknowledgement. A quorum queue takes 32 at a time from a channel, each
/// time waiting for the disk; the rest is lost when the channel closes, and would be delivered again. Nothing tells when
/// they are through. A queue that then takes longer than [`PROMPT_ANSWER`] to answer is slow to take them, too: it gets as long
/// again, until [`CLOSE_TIMEOUT`] is over.
pub(super) const LAST_ACKNOWLEDGEMENTS: Duration = Duration::from_millis(500);
pub(super) const PROMPT_ANSWER: Duration = Duration::from_millis(50);
/// For an answer of a queue: to subscribe, declare, bind or count. A queue without a leader may keep it waiting; an
/// election takes a few seconds.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Channels of each connection that are not for lanes: declaring, routing, probing.
pub(super) const SPARE_CHANNELS: u16 = 32;
/// What one connection may need at once: the liveness check, the router, a lane, that lane's next subscription, a
/// backlog check of both queues, and one to declare on; the client library counts channel 0, too.
pub(super) const LEAST_CHANNELS: u16 = 8;
const _: () = assert!(LEAST_CHANNELS < SPARE_CHANNELS);

// Liveness. The broker gives up a client that was silent for the heartbeat, at the earliest, and then gives its lanes to
// other replicas. This replica must know before.

/// Both sides notice a silent peer within twice this long, where the address's `heartbeat` does not say otherwise.
pub(super) const HEARTBEAT_SECONDS: u16 = 20;
/// Taken for the heartbeat where the connection has none.
pub(super) const WITHOUT_HEARTBEAT: Duration = Duration::from_mins(1);

/// Between two questions to the broker.
pub(super) fn liveness_interval(heartbeat: Duration) -> Duration {
    heartbeat / 8
}

/// How long a connection may leave a question unanswered. The calls under way then need some of the rest of the
/// heartbeat. With a short heartbeat this may be too long; the lease ends in time all the same.
pub(super) fn unresponsive_after(heartbeat: Duration) -> Duration {
    (heartbeat / 2).clamp(Duration::from_secs(5), Duration::from_secs(10))
}

/// How long after the last answer a lane may begin calls.
pub(super) fn lease_term(heartbeat: Duration) -> Duration {
    heartbeat * 3 / 4
}

// Probes

/// Between two messages of the confirm probe.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// For the probe's confirm. Longer than an election, which takes a few seconds.
pub(super) const PROBE_CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);
const _: () = assert!(shorter(PROBE_INTERVAL, PROBE_CONFIRM_TIMEOUT));
/// A node that has confirmed nothing for so many of these timeouts is left, if there is another: it may be the one that
/// its peers cannot reach, while they go on.
pub(super) const PROBE_MISSES: u32 = 3;
/// How often that number doubles: to three quarters of an hour. Where no node confirms, moving on costs every lane a
/// hand-over.
pub(super) const PROBE_MISSES_DOUBLED: u32 = 6;
/// Between two attempts to reserve the replica's name.
pub(super) const NAME_RETRY: Duration = Duration::from_secs(5);
/// From the last message to the first count of a queue's backlog, and between two counts at the most: each costs the
/// broker a little, and a replica may have thousands of lanes that stand by.
pub(super) const BACKLOG_CHECKS: Growing = (Duration::from_secs(30), Duration::from_mins(10));
/// Between the count that finds messages and the one that decides. The broker's count may be some seconds old.
pub(super) const BACKLOG_RECHECK: Duration = Duration::from_secs(15);
const _: () = assert!(shorter(BACKLOG_RECHECK, BACKLOG_CHECKS.0));

// The fleet

/// Messages that wait for this replica at most, and their bytes: what comes beyond pushes out the oldest.
pub(super) const STATUS_MESSAGES: i64 = 1000;
pub(super) const STATUS_BYTES: i64 = 16 * 1024 * 1024;
/// The connection's frames: it needs no more room. A message whose headers do not fit ends it, and goes with its queue.
pub(super) const STATUS_FRAME: u32 = 32 * 1024;
/// For a message to leave. A blocked connection is given up, and made anew.
pub(super) const STATUS_PUBLISH: Duration = Duration::from_secs(10);
/// Before a refusal is tried again: somebody may have granted the right.
pub(super) const STATUS_REFUSED: Duration = Duration::from_mins(5);
/// From the end of one count of all queues to the next.
pub(super) const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// Between two queues of one count.
pub(super) const COUNT_PAUSE: Duration = Duration::from_millis(10);
/// For a queue's count. A queue without a leader may not answer at all.
pub(super) const COUNT_TIMEOUT: Duration = Duration::from_secs(2);
/// With fewer channels to a connection, none is spent on counting.
pub(super) const COUNT_CHANNELS: u16 = SPARE_CHANNELS;
const _: () = assert!(
    (500 * COUNT_PAUSE.as_millis()) + COUNT_INTERVAL.as_millis() < Duration::from_secs(30).as_millis()
);

// Publishing

/// RabbitMQ stops reading a connection with more publishes that a quorum queue has not answered
/// (`quorum_commands_soft_limit`), and then one queue holds up all others.
pub(super) const QUORUM_COMMANDS_SOFT_LIMIT: usize = 32;
/// The most publishes on their way to one queue, on a channel with others.
pub(super) const PUBLISHES_PER_QUEUE: usize = 24;
const _: () = assert!(PUBLISHES_PER_QUEUE < QUORUM_COMMANDS_SOFT_LIMIT);
/// Queues that have a channel of their own at a time.
pub(super) const OWN_PUBLISH_CHANNELS: usize = 4;
const _: () = assert!(OWN_PUBLISH_CHANNELS < SPARE_CHANNELS as usize);
/// The most publishes on their way to such a queue.
pub(super) const PUBLISHES_ON_OWN_CHANNEL: usize = 128;
/// RabbitMQ reads so many publishes of a channel ahead, and counts them in such steps (`credit_flow_default_credit`, here
/// half of its default). Beyond the soft limit a step counts only when the queue has answered.
const CHANNEL_CREDIT: (usize, usize) = (200, 100);
const _: () =
    assert!(PUBLISHES_ON_OWN_CHANNEL + CHANNEL_CREDIT.1 - 1 < CHANNEL_CREDIT.0 + QUORUM_COMMANDS_SOFT_LIMIT);
/// A confirm that takes longer costs a queue its own channel.
pub(super) const PROMPT_CONFIRM: Duration = Duration::from_secs(1);
/// Prompt confirms in a row, while more waits, before a queue gets one: a few windows of the shared channel.
pub(super) const CONFIRMS_BEFORE_OWN_CHANNEL: usize = 4 * PUBLISHES_PER_QUEUE;
/// Between two attempts with what a queue refuses.
pub(super) const REFUSED_DELAYS: Growing = (Duration::from_millis(500), Duration::from_secs(30));
/// Between two checks whether publishes get through.
pub(super) const PUBLISH_CHECK: Duration = Duration::from_secs(1);
/// A confirm that takes longer is reported.
pub(super) const LATE_CONFIRM: Duration = Duration::from_secs(15);
const _: () = assert!(shorter(PUBLISH_CHECK, LATE_CONFIRM));
/// After this long without a confirm, and each time twice as long up to the second, a message goes once more on another
/// channel: the queue may have lost it, and with it the confirm.
pub(super) const REPUBLISH_AFTER: Growing = (Duration::from_mins(2), Duration::from_hours(4));
const _: () = assert!(shorter(LATE_CONFIRM, REPUBLISH_AFTER.0));
/// Publishes on their way at once of a command that publishes events.
pub(super) const COMMAND_PUBLISHES: usize = 500;

// Consuming

/// Messages of the intake that are taken and not acknowledged.
pub(super) const INTAKE_PREFETCH: u16 = 500;
/// Messages that are taken off a channel before anything else is looked at again.
pub(super) const TAKEN_AT_ONCE: usize = 64;
/// While so many events are on their way to lanes, no further message of the intake is taken. More than one batch can
/// hold: a lane that takes nothing for a while must not keep the other accounts' events from being taken.
pub(super) const EVENTS_IN_FLIGHT: usize = 3 * BATCH_EVENTS;
/// While so many bytes are held of the intake's messages, no further one is taken.
pub(super) const BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;
/// How often a message may come back unsettled before RabbitMQ dead-letters it. RabbitMQ 4's default of 20 would take an
/// innocent message at the head of a throttled lane after twenty rolling restarts.
pub(super) const DELIVERY_LIMIT: i64 = 200;
/// A lane may hold messages for hours while it waits for quota; RabbitMQ's default is 30 minutes.
pub(super) const CONSUMER_TIMEOUT_MS: i64 = 24 * 60 * 60 * 1000;
/// Restarts and lost connections account for so many returns. From then on messages are handed over one at a time, where
/// identifies cannot share a call: so this should not be too low.
pub(super) const ORDINARY_RETURNS: u64 = 20;
/// The first message of a queue is dead-lettered after so many returns. Well below the queue's own limit: the messages
/// behind it have come back as often, and must live to see it go.
pub(super) const POISON_RETURNS: u64 = 100;
/// A message that took this long for each return is spared until [`SLOW_POISON_RETURNS`]: its account stands still for
/// weeks while replicas are restarted in good order.
pub(super) const SLOW_RETURN: Duration = Duration::from_hours(1);
/// See [`SLOW_RETURN`]. Below the queue's limit, which would dead-letter the messages behind it, too.
pub(super) const SLOW_POISON_RETURNS: u64 = 180;
const _: () = assert!(
    ORDINARY_RETURNS < POISON_RETURNS
        && POISON_RETURNS < SLOW_POISON_RETURNS
        && SLOW_POISON_RETURNS < DELIVERY_LIMIT.unsigned_abs()
);
/// Lanes that are declared at the same time. A new one waits for the broker's disk.
pub(super) const DECLARED_AT_ONCE: usize = 16;

// Dead letters, looked at and sent back

/// Letters that are handed out before the next step; all that were looked at stay handed out until the end. It bounds the
/// memory: what is read too slowly waits here. The first step is short, because nobody knows yet how large letters are, and
/// the others take what so many bytes hold.
pub(super) const LETTERS_AHEAD: u64 = 2000;
pub(super) const FIRST_LETTERS_AHEAD: u64 = 128;
const _: () = assert!(FIRST_LETTERS_AHEAD > LETTERS_IN_FLIGHT as u64);
pub(super) const LETTER_BYTES_AHEAD: u64 = 32 * 1024 * 1024;
/// The most such steps, each a consumer of its own. RabbitMQ puts back what 32 consumers of a channel held in the order of
/// the consumers, and what more of them held in any order.
pub(super) const LETTER_STEPS: u64 = 30;
/// A letter that does not come for so long is held by somebody else.
pub(super) const LETTER_WAIT: Duration = Duration::from_secs(5);
/// Letters that were read are sent on when no further one comes for so long.
pub(super) const LETTER_PAUSE: Duration = Duration::from_millis(200);
const _: () = assert!(shorter(LETTER_PAUSE, LETTER_WAIT));
/// The most letters that are on their way at once: a process that is killed leaves so many in both queues.
pub(super) const LETTERS_IN_FLIGHT: usize = 100;
/// The most bytes of them, beside the last one.
pub(super) const LETTER_BYTES_IN_FLIGHT: usize = 8 * 1024 * 1024;
/// Acknowledgements that go to the dead-letter queue at once. It takes 32 from a channel; what is beyond would be lost when
/// the channel ends.
pub(super) const LETTER_ACKNOWLEDGEMENTS: usize = 24;
const _: () = assert!(LETTER_ACKNOWLEDGEMENTS < QUORUM_COMMANDS_SOFT_LIMIT);
/// For the confirms of what is on its way. A queue without a leader takes longer, and so does an alarm.
pub(super) const LETTER_CONFIRMS: Duration = Duration::from_mins(1);
/// The same after a stop. Well below `shutdown_grace`, of which the rest of the stop needs some.
pub(super) const LETTER_CONFIRMS_AFTER_STOP: Duration = Duration::from_secs(3);
const _: () = assert!(shorter(LETTER_CONFIRMS_AFTER_STOP, LETTER_CONFIRMS));
/// For the claim to take letters out, where a page looks at them. As long as somebody waits who clicks.
pub(super) const CLAIM_WAIT: Duration = Duration::from_secs(5);
/// Between two tries. RabbitMQ logs each.
pub(super) const CLAIM_PAUSE: Duration = Duration::from_millis(500);
const _: () = assert!(shorter(CLAIM_PAUSE, CLAIM_WAIT));
/// RabbitMQ ends a channel that holds a message for its consumer timeout: 30 minutes, where nothing else is set, and it
/// advises against less than 5. So what was not chosen goes back after this time, and the rest is read anew.
pub(super) const LETTER_PASS: Duration = Duration::from_mins(4);
/// However short the consumer timeout turns out to be.
pub(super) const SHORTEST_LETTER_PASS: Duration = Duration::from_millis(500);
const _: () = assert!(shorter(LETTER_CONFIRMS, LETTER_PASS));

// Messages that connections end over

/// Nothing more is on its way when nothing came for this long.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// A queue that lets nobody subscribe for so long is not looked at.
pub(super) const LOOK_SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);
/// For one connection's look: what takes longer is done anew.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_mins(1);
const _: () = assert!(
    shorter(QUIET, LOOK_SUBSCRIBE_TIMEOUT)
        && shorter(LOOK_SUBSCRIBE_TIMEOUT, LOOK_TIMEOUT)
        && shorter(ANSWER_TIMEOUT, LOOK_TIMEOUT)
);
/// So many looks must end at a message or a queue: one may have ended by chance.
pub(super) const PROOFS: u32 = 2;
/// So many failed looks, and a queue is consumed without one: apart, it can harm no other.
pub(super) const FAILED_LOOKS: u32 = 3;
/// Between two attempts that failed.
pub(super) const LOOK_DELAYS: Growing = (Duration::from_millis(200), Duration::from_secs(10));
/// So few suspects are consumed apart without proof, where they cannot be looked at. Each takes two connections.
pub(super) const SUSPECTS_APART: usize = 8;
/// A queue in which something was found is consumed apart for so long after the last time.
pub(super) const APART_FOR: Duration = Duration::from_mins(10);
const _: () = assert!(shorter(LOOK_TIMEOUT, APART_FOR));
/// The broker failing twice within this time does not do so by chance.
pub(super) const FAILS_AGAIN_WITHIN: Duration = Duration::from_mins(1);
/// Nothing is left of what came back to a queue when nothing comes for so long.
pub(super) const NONE_LEFT_AFTER: Duration = Duration::from_secs(5);
/// Before the next try at a message that the broker cannot hand out. Each counts for its delivery limit, and there it
/// ends.
pub(super) const UNREADABLE_RETRY: Duration = Duration::from_millis(50);

// The survey that a person waits for: an answer that takes longer is reported as none

/// To connect to a node, in all.
pub(super) const SURVEY_CONNECT: Duration = Duration::from_secs(15);
/// For one question, or a few about the same thing.
pub(super) const SURVEY_ANSWER: Duration = Duration::from_secs(10);
/// For all lanes together: a thousand take a few seconds.
pub(super) const SURVEY_LANES: Duration = Duration::from_secs(30);
const _: () = assert!(shorter(SURVEY_ANSWER, SURVEY_LANES));
/// Questions that are asked at the same time.
pub(super) const SURVEY_AT_ONCE: usize = 16;
/// So many lanes' permissions are tried: their names differ by the account's only, and each attempt leaves a line in the
/// broker's log.
pub(super) const SURVEY_LANES_TRIED: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_replica_notices_silence_before_the_broker_gives_its_lanes_away() {
        for heartbeat in [20, 60, 300].map(Duration::from_secs) {
            assert!(
                unresponsive_after(heartbeat) + liveness_interval(heartbeat) < heartbeat,
                "{heartbeat:?}"
            );
        }
    }

    #[test]
    fn a_lease_ends_before_the_broker_gives_its_lane_away_however_short_the_heartbeat() {
        for heartbeat in [1, 20, 60].map(Duration::from_secs) {
            assert!(lease_term(heartbeat) < heartbeat);
            assert!(liveness_interval(heartbeat) < lease_term(heartbeat), "renewed before it ends");
        }
    }
}

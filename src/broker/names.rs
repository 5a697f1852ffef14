//! The names of RabbitMQ's objects, and the order in which replicas are preferred for a lane and nodes for a replica. Pure;
//! the same on all replicas.

use std::hash::Hasher as _;

use jiff::Timestamp;
use siphasher::sip::SipHasher13;

/// The routing key of the probe. Cannot be an account's name.
pub(super) const PROBE_KEY: &str = "_probe";

/// The names of queues and exchanges, each made from the intake queue's.
#[derive(Debug, Clone)]
pub struct Names {
    queue: String,
    /// Asked for with each message.
    lanes: String,
}

impl Names {
    /// For the intake queue `queue`.
    pub fn new(queue: &str) -> Self {
        Self { queue: queue.to_owned(), lanes: format!("{queue}.lanes") }
    }

    /// The intake queue.
    pub fn intake(&self) -> &str {
        &self.queue
    }

    /// The exchange that leads to the lanes; the routing key is the account's name.
    pub fn lanes(&self) -> &str {
        &self.lanes
    }

    /// An account's lane.
    pub fn lane(&self, account: &str) -> String {
        format!("{}.lane.{account}", self.queue)
    }

    /// The queue that shows whether the broker takes messages.
    pub fn probe(&self) -> String {
        format!("{}.probe", self.queue)
    }

    /// The queue that shows whether a replica's name is taken.
    pub fn replica(&self, replica: &str) -> String {
        let name = format!("{}.replica.{replica}", self.queue);
        // AMQP's limit for a name.
        if name.len() <= 255 { name } else { format!("{}.replica.{:016x}", self.queue, hash(&[replica])) }
    }

    /// The exchange by which replicas tell each other of their lanes.
    pub fn status(&self) -> String {
        format!("{}.status", self.queue)
    }

    /// A replica's queue behind it. Another one for each connection: the last one may not have ended yet.
    pub(super) fn status_queue(&self, replica: &str, now: Timestamp) -> String {
        let name = format!("{}.status.{replica}.{}", self.queue, now.as_millisecond());
        if name.len() <= 255 {
            return name;
        }
        format!("{}.status.{:016x}.{}", self.queue, hash(&[replica]), now.as_millisecond())
    }

    /// The queue of the replica that counts what waits.
    pub fn counter(&self) -> String {
        format!("{}.counter", self.queue)
    }

    /// The dead-letter exchange, and the queue behind it.
    pub fn dead(&self) -> String {
        format!("{}.dead", self.queue)
    }

    /// The exclusive queue of whoever replays or drops dead letters.
    pub fn dead_claim(&self) -> String {
        format!("{}.dead.claim", self.queue)
    }

    /// Whether events or dead letters wait in this queue.
    pub(super) fn is_own_queue(&self, name: &str) -> bool {
        name == self.queue || name == self.dead() || name.starts_with(&self.lane(""))
    }
}

/// A replica's consumer priority for a lane, by rendezvous hashing. Every replica subscribes to every lane, and the broker
/// delivers to the highest priority. 31 bits, because AMQP's integers are signed.
pub fn priority(replica: &str, account: &str) -> i32 {
    i32::try_from(hash(&[replica, account]) >> 33).unwrap_or(i32::MAX)
}

/// The node that a replica connects to first.
pub(super) fn first_node(replica: &str, nodes: usize) -> usize {
    usize::try_from(hash(&[replica]) >> 33).unwrap_or_default() % nodes.max(1)
}

/// With keys that never change: replicas of all versions must agree.
fn hash(parts: &[&str]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x6672_6573_6865_7400, 0x6c61_6e65_7300_0000);
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            hasher.write_u8(0xff);
        }
        hasher.write(part.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_spread_evenly_and_only_those_of_a_replica_that_leaves_move() {
        let replicas = ["worker-0", "worker-1", "worker-2"];
        let best = |replicas: &[&str], lane: usize| {
            let lane = format!("account-{lane}");
            (*replicas.iter().max_by_key(|replica| priority(replica, &lane)).unwrap()).to_owned()
        };
        for replica in replicas {
            let share = (0..3000).filter(|lane| best(&replicas, *lane) == replica).count();
            assert!((900..1100).contains(&share), "{replica}: {share} of 3000");
        }
        for lane in 0..3000 {
            let before = best(&replicas, lane);
            let after = best(&replicas[..2], lane);
            assert!(before == after || before == "worker-2");
        }
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(
            [priority("worker-0", "acme"), priority("worker-1", "acme")],
            [1_359_677_396, 558_696_664]
        );
    }

    #[test]
    fn the_end_of_the_replica_is_not_mistaken_for_the_start_of_the_account() {
        assert_ne!(priority("a", "bc"), priority("ab", "c"));
    }
}

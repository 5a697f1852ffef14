//! What can break, and for how long.

use std::fmt;
use std::time::Duration;

use crate::dice::Dice;

/// A kind of fault; [`Kind::ALL`] is the deck that a schedule is dealt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL, and a new process of the same name.
    ReplicaKilled,
    /// SIGTERM, and a new process of the same name.
    ReplicaStopped,
    /// SIGSTOP and SIGCONT: short of what the broker notices, and longer.
    ReplicaFrozen,
    /// Every connection of one replica to the cluster goes silent.
    ReplicaSilenced,
    /// One replica finds no node: connections are closed and refused.
    ReplicaCutOff,
    /// A power cut of one broker node.
    NodeKilled,
    /// An orderly stop of one broker node.
    NodeStopped,
    /// SIGSTOP and SIGCONT for a broker node.
    NodeFrozen,
    /// One node loses its peers (Erlang's distribution is closed and refused); its clients still reach it.
    NodePartitioned,
    /// One node goes silent for all replicas.
    NodeSilenced,
    /// All connections of the replicas to one node end, by a close or a reset, and again.
    NodeLinksBroken,
    /// One node refuses the replicas.
    NodeRefusing,
    /// A power cut of all nodes but one, which then takes no clients.
    MajorityKilled,
    /// SIGSTOP and SIGCONT for all nodes but one, which keeps its clients and confirms nothing.
    MajorityFrozen,
    /// The leaders of all queues move to one node.
    LeadersMoved,
    /// A memory alarm: the cluster takes no messages.
    MemoryAlarm,
    /// A disk alarm: the same.
    DiskAlarm,
    /// An account answers nothing, sometimes after the call took its effect.
    ApiHanging,
    /// An account breaks connections, sometimes after the call took its effect.
    ApiResetting,
    /// Nine of ten calls get 503.
    ApiFailing,
    /// Each answer comes late.
    ApiSlow,
    /// An account answers 429 for long.
    ApiThrottling,
    /// Connections to an account break, also in the middle of an answer.
    ApiLinkBroken,
    /// The network to an account drops everything.
    ApiLinkSilenced,
    /// Messages with unusual or forged properties and headers, to intake and lanes.
    MessagesHostile,
    /// A delivery that is handed out twice, and then the end of the replica that has it.
    MessageDoubled,
    /// Deliveries made unreadable for the client library on their way.
    MessagesUnreadable,
    /// Events as large as can be, with as many wrong traits as they have room for.
    MessagesHuge,
    /// An account answers everything with web pages, of various statuses.
    ApiMarkup,
    /// 403 to every call about one contact.
    ApiForbidsRecord,
    /// 403 to every call about deals.
    ApiForbidsDeals,
    /// 405 to bulk upserts: too many jobs of the account run.
    ApiJobsFull,
    /// 400 that says 429 inside.
    ApiInnerThrottle,
    /// A gateway's 429 with a longer `Retry-After`: minutes, scaled.
    ApiGatewayWaits,
    /// The fields of deals cannot be read when a replica starts.
    ApiDealFields,
    /// 500 to every call about one contact.
    ApiRecordFails,
}

impl Kind {
    pub const ALL: [Self; 36] = [
        Self::ReplicaKilled,
        Self::ReplicaStopped,
        Self::ReplicaFrozen,
        Self::ReplicaSilenced,
        Self::ReplicaCutOff,
        Self::NodeKilled,
        Self::NodeStopped,
        Self::NodeFrozen,
        Self::NodePartitioned,
        Self::NodeSilenced,
        Self::NodeLinksBroken,
        Self::NodeRefusing,
        Self::MajorityKilled,
        Self::MajorityFrozen,
        Self::LeadersMoved,
        Self::MemoryAlarm,
        Self::DiskAlarm,
        Self::ApiHanging,
        Self::ApiResetting,
        Self::ApiFailing,
        Self::ApiSlow,
        Self::ApiThrottling,
        Self::ApiLinkBroken,
        Self::ApiLinkSilenced,
        Self::MessagesHostile,
        Self::MessageDoubled,
        Self::MessagesUnreadable,
        Self::MessagesHuge,
        Self::ApiMarkup,
        Self::ApiForbidsRecord,
        Self::ApiForbidsDeals,
        Self::ApiJobsFull,
        Self::ApiInnerThrottle,
        Self::ApiGatewayWaits,
        Self::ApiDealFields,
        Self::ApiRecordFails,
    ];

    /// What can happen to an account at the same time as something else.
    pub const API: [Self; 7] = [
        Self::ApiHanging,
        Self::ApiResetting,
        Self::ApiFailing,
        Self::ApiSlow,
        Self::ApiThrottling,
        Self::ApiLinkBroken,
        Self::ApiLinkSilenced,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReplicaKilled => "replica killed",
            Self::ReplicaStopped => "replica stopped",
            Self::ReplicaFrozen => "replica frozen",
            Self::ReplicaSilenced => "replica silenced",
            Self::ReplicaCutOff => "replica cut off",
            Self::NodeKilled => "node killed",
            Self::NodeStopped => "node stopped",
            Self::NodeFrozen => "node frozen",
            Self::NodePartitioned => "node partitioned",
            Self::NodeSilenced => "node silenced",
            Self::NodeLinksBroken => "node's links broken",
            Self::NodeRefusing => "node refusing",
            Self::MajorityKilled => "majority killed",
            Self::MajorityFrozen => "majority frozen",
            Self::LeadersMoved => "leaders moved",
            Self::MemoryAlarm => "memory alarm",
            Self::DiskAlarm => "disk alarm",
            Self::ApiHanging => "API hanging",
            Self::ApiResetting => "API resetting",
            Self::ApiFailing => "API failing",
            Self::ApiSlow => "API slow",
            Self::ApiThrottling => "API throttling",
            Self::ApiLinkBroken => "API link broken",
            Self::ApiLinkSilenced => "API link silenced",
            Self::MessagesHostile => "messages hostile",
            Self::MessageDoubled => "message doubled",
            Self::MessagesUnreadable => "messages unreadable",
            Self::MessagesHuge => "messages huge",
            Self::ApiMarkup => "API markup",
            Self::ApiForbidsRecord => "API forbids a record",
            Self::ApiForbidsDeals => "API forbids deals",
            Self::ApiJobsFull => "API jobs full",
            Self::ApiInnerThrottle => "API inner throttle",
            Self::ApiGatewayWaits => "API gateway waits",
            Self::ApiDealFields => "API deal fields",
            Self::ApiRecordFails => "API record fails",
        }
    }

    /// What it breaks.
    pub const fn target(self) -> Target {
        match self {
            Self::ReplicaKilled
            | Self::ReplicaStopped
            | Self::ReplicaFrozen
            | Self::ReplicaSilenced
            | Self::ReplicaCutOff => Target::Replica,
            Self::NodeKilled
            | Self::NodeStopped
            | Self::NodeFrozen
            | Self::NodePartitioned
            | Self::NodeSilenced
            | Self::NodeLinksBroken
            | Self::NodeRefusing
            | Self::MajorityKilled
            | Self::MajorityFrozen
            | Self::LeadersMoved
            | Self::MemoryAlarm
            | Self::DiskAlarm => Target::Node,
            Self::ApiHanging
            | Self::ApiResetting
            | Self::ApiFailing
            | Self::ApiSlow
            | Self::ApiThrottling
            | Self::ApiLinkBroken
            | Self::ApiLinkSilenced
            | Self::MessagesHostile
            | Self::MessageDoubled
            | Self::MessagesUnreadable
            | Self::MessagesHuge
            | Self::ApiMarkup
            | Self::ApiForbidsRecord
            | Self::ApiForbidsDeals
            | Self::ApiJobsFull
            | Self::ApiInnerThrottle
            | Self::ApiGatewayWaits
            | Self::ApiDealFields
            | Self::ApiRecordFails => Target::Account,
        }
    }

    /// Nothing but one account or one message is bad: the other accounts' deliveries must not pause.
    pub const fn concerns_one(self) -> bool {
        match self {
            // All accounts on the host hear the gateway; a replica starts anew, or dies.
            Self::ApiGatewayWaits | Self::ApiDealFields | Self::MessageDoubled => false,
            _ => matches!(self.target(), Target::Account),
        }
    }

    /// For how long the other accounts may pause, in seconds.
    pub const fn pause(self) -> f64 {
        match self {
            // The connection ends, and a new one looks for the message that ended it.
            Self::MessagesUnreadable => 15.0,
            _ => 1.0,
        }
    }

    /// The account itself goes on, too, except for what is bad.
    pub const fn spares_the_account(self) -> bool {
        matches!(
            self,
            Self::MessagesHostile
                | Self::MessagesHuge
                | Self::ApiForbidsRecord
                | Self::ApiForbidsDeals
                | Self::ApiDealFields
                | Self::ApiRecordFails
        )
    }

    /// How long it may last, in milliseconds. With a heartbeat of 4 s a silent peer is given up after 8 to 12 s.
    const fn lasts(self) -> (u64, u64) {
        match self {
            Self::ReplicaFrozen
            | Self::ReplicaSilenced
            | Self::NodeFrozen
            | Self::NodeSilenced
            | Self::MajorityFrozen => (1500, 14_000),
            Self::ReplicaKilled | Self::ReplicaStopped | Self::ReplicaCutOff | Self::NodeRefusing => {
                (0, 4000)
            }
            Self::NodeKilled | Self::NodeStopped | Self::NodePartitioned | Self::MajorityKilled => {
                (500, 6000)
            }
            Self::MemoryAlarm | Self::DiskAlarm => (1000, 5000),
            Self::NodeLinksBroken | Self::ApiLinkBroken => (500, 2000),
            Self::LeadersMoved => (0, 0),
            Self::ApiHanging
            | Self::ApiResetting
            | Self::ApiFailing
            | Self::ApiSlow
            | Self::ApiLinkSilenced
            | Self::ApiMarkup
            | Self::ApiJobsFull
            | Self::ApiInnerThrottle
            | Self::ApiRecordFails => (2000, 6000),
            Self::MessagesHostile
            | Self::MessageDoubled
            | Self::MessagesUnreadable
            | Self::MessagesHuge
            | Self::ApiForbidsRecord
            | Self::ApiForbidsDeals
            | Self::ApiGatewayWaits
            | Self::ApiDealFields => (1000, 3000),
            Self::ApiThrottling => (6000, 12_000),
        }
    }
}

/// What a fault breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Replica,
    Node,
    Account,
}

/// One fault as it was drawn.
#[derive(Debug, Clone)]
pub struct Fault {
    pub kind: Kind,
    /// The number of the replica, node or account.
    pub whom: usize,
    pub lasts: Duration,
    /// For further draws while it is staged.
    pub dice: Dice,
}

impl Fault {
    pub fn draw(kind: Kind, whom: usize, dice: &mut Dice) -> Self {
        let (from, to) = kind.lasts();
        Self { kind, whom, lasts: dice.millis(from, to), dice: Dice::new(dice.roll()) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({}) for {} ms", self.kind.as_str(), self.whom, self.lasts.as_millis())
    }
}

//! What a replica tells of itself and of queues. Keys that are not known here are ignored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A replica, as it describes itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// `broker.replica`.
    pub name: String,
    /// Freshet's version.
    #[serde(default)]
    pub version: String,
    /// The commit that it was built from, or `unknown`.
    #[serde(default)]
    pub revision: String,
    /// When its process started. Tells two replicas of one name apart.
    pub since: Timestamp,
    /// Connected to RabbitMQ.
    #[serde(default)]
    pub connected: bool,
    /// RabbitMQ's version, once known.
    #[serde(default)]
    pub broker_version: Option<String>,
    /// Bytes of memory that the process has in use.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// The configuration that it runs with.
    #[serde(default)]
    pub config: ConfigMark,
    /// Lanes that it works.
    #[serde(default)]
    pub lanes: u64,
    /// It moves events from the intake to the lanes, and counts what waits in queues.
    #[serde(default)]
    pub routes: bool,
    /// Another connection goes by its name.
    #[serde(default)]
    pub name_taken: bool,
}

/// Which configuration a replica runs with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMark {
    /// Twelve hexadecimal digits; the same for the same text of the file. Empty if not known.
    #[serde(default)]
    pub hash: String,
    /// When it was loaded.
    #[serde(default)]
    pub loaded_at: Option<Timestamp>,
}

/// What a replica counted in queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuesTold {
    /// When the last count ended.
    pub at: Timestamp,
    /// Messages on the intake.
    #[serde(default)]
    pub intake: Option<u64>,
    /// Dead letters.
    #[serde(default)]
    pub dead_letters: Option<u64>,
    /// Messages in lanes, by account.
    #[serde(default)]
    pub lanes: BTreeMap<String, u64>,
}

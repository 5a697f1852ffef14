//! Looks at a broker without changing anything: who answers, what is declared, what this user may do, whether messages are
//! taken. Facts only; what they mean is said elsewhere. Called by the command `check`.
//!
//! Every question has a deadline, and a broker that does not answer is one of the facts. Nothing is declared, nothing is
//! taken out of a queue; one empty message goes to the probe's queue, as each replica sends one every few seconds.

mod asking;
mod messages;
mod queues;
mod rights;

use futures_util::future::join_all;
use lapin::Connection;

use crate::broker::amqp::address::{Address, Addresses};
use crate::broker::amqp::connection::close;
use crate::broker::names::Names;
use crate::broker::timing::LEAST_CHANNELS;
use crate::broker::transport::Connected;
use crate::delivery::AccountName;
use asking::connect;
pub use asking::{Certainty, NodeFailure};
pub use messages::Publishing;
pub use queues::{ExchangeState, ExchangesReport, NameState, QueueState};
pub use rights::{RefusedRight, RightsReport};

/// What was found of a broker.
#[derive(Debug)]
pub struct BrokerSurvey {
    /// In the order of the configuration.
    pub nodes: Vec<SurveyedNode>,
    /// As the first node that let this in shows it; none if no node did.
    pub objects: Option<ObjectsReport>,
}

/// One address of the configuration.
#[derive(Debug)]
pub struct SurveyedNode {
    /// Host and port.
    pub address: String,
    /// What it says of itself, or why it let nobody in.
    pub found: Result<NodeFacts, NodeFailure>,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// `RabbitMQ`
    pub product: Option<String>,
    /// `4.1.2`
    pub version: Option<String>,
    /// The cluster's name.
    pub cluster: Option<String>,
    /// In DER, where there is TLS.
    pub certificate: Option<Vec<u8>>,
    /// Channels that a connection may have.
    pub channels: u16,
}

impl NodeFacts {
    /// Whether a replica can work with so few channels on a connection.
    pub fn has_enough_channels(&self) -> bool {
        self.channels >= LEAST_CHANNELS
    }
}

/// The objects of the virtual host, and what this user may do with them.
#[derive(Debug)]
pub struct ObjectsReport {
    #[expect(missing_docs, reason = "described at its type")]
    pub publishing: Publishing,
    #[expect(missing_docs, reason = "described at its type")]
    pub rights: Certainty<RightsReport>,
    #[expect(missing_docs, reason = "described at its type")]
    pub exchanges: ExchangesReport,
    /// The queues that whoever counts, and whoever replays or drops letters, reserves.
    pub reserved: Vec<(String, NameState)>,
    /// The intake.
    pub intake: QueueState,
    /// The queue of dead letters.
    pub dead: QueueState,
    /// The lane of each account, in their order.
    pub lanes: Vec<QueueState>,
    /// Whether another connection goes by this replica's name.
    pub name_taken: Certainty<bool>,
}

/// Looks at all nodes, and at the objects that a replica of this name with these accounts would use.
///
/// Ends within the time to connect and that for the lanes, 45 seconds, and the few that closing takes.
pub async fn survey(
    addresses: &Addresses,
    names: &Names,
    replica: &str,
    accounts: &[AccountName],
) -> BrokerSurvey {
    crate::tls::install_provider();
    let nodes: Vec<&Address> = (0..addresses.count()).map(|number| addresses.nth(number)).collect();
    let connected = join_all(nodes.iter().map(|address| connect(address, "check"))).await;
    let first =
        nodes.iter().zip(&connected).find_map(|(address, node)| Some((*address, node.as_ref().ok()?)));
    let objects = match first {
        Some((address, connection)) => Some(look(address, connection, names, replica, accounts).await),
        None => None,
    };
    let found = nodes.iter().zip(&connected).map(|(address, node)| SurveyedNode {
        address: address.shown(),
        found: match node {
            Ok(connection) => Ok(facts(connection)),
            Err(failure) => Err(failure.clone()),
        },
    });
    let survey = BrokerSurvey { nodes: found.collect(), objects };
    join_all(connected.iter().flatten().map(|connection| close(connection))).await;
    survey
}

fn facts(connection: &Connected) -> NodeFacts {
    let said = connection.properties();
    NodeFacts {
        product: said.product,
        version: said.version,
        cluster: said.cluster,
        certificate: connection.certificate().map(<[u8]>::to_vec),
        channels: connection.configuration().channel_max(),
    }
}

async fn look(
    address: &Address,
    connection: &Connected,
    names: &Names,
    replica: &str,
    accounts: &[AccountName],
) -> ObjectsReport {
    let (publishing, rights, exchanges, reserved, intake, dead, lanes, name_taken) = tokio::join!(
        messages::publish(address, names),
        rights::rights(connection, names, replica, accounts),
        queues::exchanges(connection, names),
        queues::reserved(connection, names),
        queues::intake(connection, names),
        queues::dead_letters(connection, names),
        queues::lanes(connection, names, accounts),
        name_taken(connection, names, replica),
    );
    ObjectsReport { publishing, rights, exchanges, reserved, intake, dead, lanes, name_taken }
}

/// Whether another connection has reserved the name.
async fn name_taken(connection: &Connection, names: &Names, replica: &str) -> Certainty<bool> {
    match queues::name_state(connection, &names.replica(replica)).await {
        NameState::Ordinary | NameState::Reserved => Certainty::Known(true),
        NameState::Free => Certainty::Known(false),
        NameState::Unknown(why) => Certainty::Unknown(why),
    }
}

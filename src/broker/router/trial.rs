//! The router's part for a message without RabbitMQ: from what came to what is published. Only benches and tests of cost
//! ask for it.

use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;
use tokio::sync::watch;

use super::sorting::{IntakeMessage, sort};
use super::targets::LaneTargets;
use crate::broker::context::{Context, RoutedAccounts};
use crate::broker::health::BrokerHealth;
use crate::broker::names::Names;
use crate::delivery::HeldBytes;
use crate::metrics::Metrics;
use crate::routing::{AccountIndex, AccountKeys};
use crate::segment::Opener;

/// A router of these accounts' messages.
#[derive(Debug)]
pub struct RouterTrial {
    context: Context,
    targets: LaneTargets,
}

/// A message as RabbitMQ hands it over.
#[derive(Debug, Clone)]
pub struct TrialMessage {
    properties: BasicProperties,
    body: Bytes,
}

impl TrialMessage {
    /// With the properties that publishers usually set.
    pub fn new(message_id: &str, body: Bytes) -> Self {
        let properties = BasicProperties::default()
            .with_message_id(message_id.into())
            .with_content_type("application/json".into())
            .with_delivery_mode(2);
        Self { properties, body }
    }
}

impl RouterTrial {
    /// A router that has seen no message yet.
    pub fn new(accounts: &[AccountKeys]) -> Result<Self, prometheus::Error> {
        Ok(Self { context: context(accounts)?, targets: LaneTargets::default() })
    }

    /// Finds where the message's events belong, and makes what is published; says how many messages that is.
    pub fn route(&mut self, message: TrialMessage) -> usize {
        let TrialMessage { properties, body } = message;
        let message = IntakeMessage::new(&self.context, properties, "", body, false);
        sort(&self.context, &mut self.targets, message).publications.len()
    }
}

/// What a session with these accounts would be given.
pub(super) fn context(accounts: &[AccountKeys]) -> Result<Context, prometheus::Error> {
    let metrics = Arc::new(Metrics::new()?);
    let routed = RoutedAccounts::default();
    routed.set(Arc::new(AccountIndex::new(accounts)));
    Ok(Context {
        names: Names::new("events"),
        replica: "one".to_owned(),
        prefetch: 400,
        held_bytes: Arc::new(HeldBytes::new(1024)),
        lanes: watch::channel(Arc::default()).1,
        routed,
        opener: Opener::default(),
        health: Arc::new(BrokerHealth::new(&metrics)),
        metrics,
        facts: Arc::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::allocated;
    use crate::runtime::others_run_during;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;
    use std::io::Write as _;

    fn track(key: &str, bytes: usize) -> Vec<u8> {
        let properties = json!({"filling": vec![0; bytes / 2]});
        let event = json!({"type": "track", "userId": "u", "event": "Came", "writeKey": key, "properties": properties});
        event.to_string().into_bytes()
    }

    fn keys(account: &str) -> AccountKeys {
        AccountKeys { name: account.into(), write_keys: vec![account.to_owned()], project_ids: Vec::new() }
    }

    fn packed(body: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::none());
        packer.write_all(body).unwrap();
        packer.finish().unwrap()
    }

    fn lanes_go_on_during(body: Vec<u8>) -> bool {
        let mut router = RouterTrial::new(&[keys("acme")]).unwrap();
        let message = TrialMessage::new("message-1", body.into());
        others_run_during(move || assert_eq!(router.route(message.clone()), 1))
    }

    #[test]
    fn lanes_go_on_while_a_large_message_is_routed() {
        assert!(lanes_go_on_during(track("acme", 800_000)));
        assert!(lanes_go_on_during(packed(&track("acme", 5_000))), "what is packed may hold much");
    }

    #[test]
    fn an_event_costs_the_router_as_much_with_500_accounts_as_with_one() {
        let cost = |accounts: usize| {
            let names: Vec<String> = (0..accounts).map(|number| format!("account-{number:03}")).collect();
            let known: Vec<AccountKeys> = names.iter().map(|name| keys(name)).collect();
            let mut router = RouterTrial::new(&known).unwrap();
            let message = |name: &String| TrialMessage::new("message-1", track(name, 100).into());
            let messages: Vec<TrialMessage> = names.iter().cycle().take(1000).map(message).collect();
            // The names of the lanes are made at the first event of each.
            let mut route = |messages: Vec<TrialMessage>| {
                for message in messages {
                    assert_eq!(router.route(message), 1);
                }
            };
            route(messages.clone());
            allocated(|| route(messages)).count_total
        };
        assert_eq!(cost(500), cost(1));
    }

    /// Handing a small one over would cost more than it saves.
    #[test]
    fn a_small_message_is_not_handed_to_another_thread() {
        assert!(!lanes_go_on_during(track("acme", 5_000)));
        assert!(!lanes_go_on_during(packed(&track("acme", 100))));
    }
}

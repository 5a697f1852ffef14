//! The whole fleet in one sentence, and the numbers below it.

use super::snapshot::Snapshot;
use super::words::{span, state};
use crate::lane::LaneState;
use crate::words::{counted, grouped};

/// States in the order in which the sentence names them.
const ORDER: [LaneState; 6] = [
    LaneState::Flowing,
    LaneState::Standby,
    LaneState::Unauthorized,
    LaneState::Retrying,
    LaneState::WaitingForSchema,
    LaneState::Throttled,
];

/// The sentence: it changes only when a lane's state or the broker's does.
pub(in crate::status) fn sentence(snapshot: &Snapshot) -> String {
    let accounts = &snapshot.fleet.accounts;
    let mut parts = Vec::new();
    let stuck =
        accounts.iter().filter(|one| one.report.as_ref().is_some_and(|report| report.stuck.is_some()));
    let stuck = stuck.count();
    for lane_state in ORDER {
        let lanes = accounts.iter().filter(|account| account.state() == lane_state).count();
        if lanes > 0 {
            parts.push(format!("{lanes} {}", state(lane_state).word));
        }
    }
    if stuck > 0 {
        parts.push(format!("{stuck} of them stuck"));
    }
    if parts.is_empty() {
        parts.push("no accounts".to_owned());
    }
    let lanes = format!("{}: {}", counted(count(accounts.len()), "account", "accounts"), parts.join(", "));
    match &snapshot.broker {
        Some(broker) if !broker.connected => format!("Not connected to RabbitMQ. {lanes}."),
        Some(broker) if !broker.ready => format!("RabbitMQ takes no messages. {lanes}."),
        Some(_) | None => format!("{lanes}."),
    }
}

/// What waits, and who works.
pub(in crate::status) fn numbers(snapshot: &Snapshot) -> Vec<String> {
    let fleet = &snapshot.fleet;
    let mut numbers = Vec::new();
    let there = fleet.replicas.iter().filter(|replica| !replica.gone).count().max(1);
    numbers.push(counted(count(there), "replica", "replicas"));
    if let Some(version) = fleet.replicas.iter().find_map(|replica| replica.report.broker_version.as_ref()) {
        numbers.push(format!("RabbitMQ {version}"));
    }
    if snapshot.broker.is_none() {
        numbers.push("events come from a file".to_owned());
    }
    let counted_lanes = fleet.accounts.iter().filter_map(|account| account.waiting);
    let known = counted_lanes.clone().next().is_some() || fleet.queues.intake_waiting.is_some();
    if known {
        let waiting = counted_lanes.fold(0, u64::saturating_add);
        let mut words = format!("{} waiting", counted(waiting, "event", "events"));
        // What a lane holds is no longer in its queue, and is not through.
        let in_flight = fleet.accounts.iter().filter_map(|one| Some(one.report.as_ref()?.in_flight)).sum();
        if in_flight > 0 {
            words.extend([", ", &grouped(in_flight), " in flight"]);
        }
        let oldest = fleet.accounts.iter().filter_map(|one| one.report.as_ref()?.oldest).min();
        if let Some(oldest) = oldest {
            let age = span(snapshot.at.as_second() - oldest.as_second());
            words.extend([", oldest ", &age]);
        }
        numbers.push(words);
    }
    if let Some(intake) = fleet.queues.intake_waiting.filter(|waiting| *waiting > 0) {
        numbers.push(format!("{} on the intake", counted(intake, "message", "messages")));
    }
    if let Some(letters) = fleet.queues.dead_letters_waiting {
        numbers.push(counted(letters, "dead letter", "dead letters"));
    }
    let delivered = fleet.accounts.iter().filter_map(|one| Some(one.report.as_ref()?.hour.delivered));
    numbers.push(format!(
        "{} delivered in the last hour",
        counted(delivered.fold(0, u64::saturating_add), "event", "events")
    ));
    numbers
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::view::snapshot::tests::{flowing, snapshot};

    #[test]
    fn the_fleet_is_told_in_one_sentence() {
        let mut shown = snapshot(vec![flowing("acme"), flowing("globex"), flowing("initech")]);
        shown.fleet.accounts[1].report.as_mut().unwrap().state = LaneState::Unauthorized;
        shown.fleet.accounts[2].report = None;
        assert_eq!(sentence(&shown), "3 accounts: 1 flowing, 1 standby, 1 unauthorized.");
        shown.fleet.accounts[0].waiting = Some(12_345);
        shown.fleet.queues.dead_letters_waiting = Some(83);
        assert_eq!(
            numbers(&shown).join("; "),
            "1 replica; RabbitMQ 4.1.2; 12,345 events waiting, 4 in flight, oldest 58 min; 83 dead letters; 24 events delivered in the last hour"
        );
        let broker = shown.broker.as_mut().unwrap();
        (broker.connected, broker.ready) = (false, false);
        assert!(sentence(&shown).starts_with("Not connected to RabbitMQ. 3 accounts"));
    }
}

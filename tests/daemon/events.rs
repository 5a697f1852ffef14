//! Streams of events in which nothing can be lost, repeated or overtaken unseen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::world::FENCE;

/// A track whose properties say which one it is, so that a sandbox shows what arrived, how often and when.
pub fn track(contact: usize, number: usize) -> Value {
    let id = format!("track {contact} {number}");
    json!({
        "type": "track", "userId": email(contact), "messageId": id, "event": "Numbered",
        "properties": {"id": id, "number": number}
    })
}

/// An identify that puts its number into a field, so that the last one's number must be there in the end.
pub fn identify(contact: usize, number: usize) -> Value {
    json!({
        "type": "identify", "userId": email(contact), "messageId": format!("identify {contact} {number}"),
        "traits": {"cfSeats": number}
    })
}

pub fn email(contact: usize) -> String {
    format!("contact.{contact}@example.com")
}

/// An event of the source with this write key, as it is published.
pub fn addressed(mut event: Value, key: &str) -> String {
    event["writeKey"] = json!(key);
    event.to_string()
}

/// For each contact in turn an identify and a track, so many rounds; numbered from `from` on.
pub fn stream(contacts: usize, from: usize, rounds: usize) -> impl Iterator<Item = Value> {
    let round = move |number| (0..contacts).flat_map(move |c| [identify(c, number), track(c, number)]);
    (from..from + rounds).flat_map(round)
}

/// The numbers that arrived for each contact, in the order of arrival.
pub fn arrived(state: &Value) -> BTreeMap<String, Vec<u64>> {
    let mut arrived: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for activity in state["activities"].as_array().unwrap().iter().filter(|one| one["identifier"] != FENCE) {
        let identifier = activity["identifier"].as_str().unwrap().to_owned();
        arrived.entry(identifier).or_default().push(activity["properties"]["number"].as_u64().unwrap());
    }
    arrived
}

/// Every track of a [`stream`] arrived once and in order, and every contact shows the last identify's number.
pub fn assert_exact(state: &Value, contacts: usize, rounds: usize) {
    let wanted: Vec<u64> = (0..rounds as u64).collect();
    let arrived = arrived(state);
    assert_eq!(arrived.len(), contacts);
    for (contact, numbers) in arrived {
        assert_eq!(numbers, wanted, "{contact}");
    }
    assert_last(state, contacts, rounds);
}

/// Every track of a [`stream`] arrived and none overtook another; returns how many came more than once.
/// A repeat may only follow what it repeats: after 1 2 3 comes 3 4, or 2 3 4, but never 4 3.
pub fn repeats(state: &Value, contacts: usize, rounds: usize) -> usize {
    let arrived = arrived(state);
    assert_eq!(arrived.len(), contacts);
    let mut repeats = 0;
    for (contact, numbers) in arrived {
        let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(distinct, (0..rounds as u64).collect(), "{contact}");
        let mut first_seen = BTreeSet::new();
        for number in &numbers {
            if first_seen.insert(*number) {
                assert_eq!(Some(number), first_seen.last(), "{contact}: {numbers:?}");
            }
        }
        repeats += numbers.len() - distinct.len();
    }
    assert_last(state, contacts, rounds);
    repeats
}

fn assert_last(state: &Value, contacts: usize, rounds: usize) {
    let found = state["contacts"].as_array().unwrap();
    assert_eq!(found.len(), contacts);
    for contact in found {
        assert_eq!(contact["custom_field"]["cf_seats"], rounds - 1, "{}", contact["email"]);
    }
}

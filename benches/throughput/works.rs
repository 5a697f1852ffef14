//! What is measured, and beside whom.

use crate::Size;
use crate::contest::{Contestant, LATENCY, Work};
use crate::events::Kind;

const RELAYS: &[Contestant] = &[Contestant::Relay, Contestant::TwoRelays];
/// Events a second, where not all of them wait from the start: less than all that is measured here can carry.
const PACE: Option<u32> = Some(2000);

pub fn works(size: &Size) -> Vec<(Work, &'static [Contestant])> {
    let &Size { events, calls, slow_events, .. } = size;
    let skipped = |name, accounts, events| Work::new(name, Kind::Skipped, accounts, events);
    // Several accounts, because jobs or the limit of one account would be the limit.
    let identifies = Work::new("two hops, identifies, 20 accounts", Kind::Identify, 20, events);
    let window = Work::new("one hop, identifies, 20 accounts, window of 10,000", Kind::Identify, 20, events);
    let tracks = Work::new("one hop, tracks, 20 accounts", Kind::Track, 20, calls);
    let slow = Work::new("identifies, calls of 100 ms, 10 accounts", Kind::Identify, 10, slow_events);
    vec![
        (skipped("two hops, skipped, 1 account", 1, events), RELAYS),
        (skipped("two hops, skipped, 20 accounts", 20, events), RELAYS),
        // More of them, because each account reads its fields once.
        (skipped("two hops, skipped, 500 accounts", 500, 2 * events), &[]),
        (Work { pace: PACE, ..skipped("two hops, skipped, steady, 1 account", 1, events) }, &[]),
        (Work { pace: PACE, ..skipped("two hops, skipped, steady, 500 accounts", 500, events) }, &[]),
        (identifies, RELAYS),
        (Work { one_hop: true, prefetch: Some(10_000), ..window }, &[Contestant::Relay]),
        (Work { one_hop: true, ..tracks }, &[Contestant::Calls]),
        (Work { latency: LATENCY, ..slow }, &[Contestant::Worker]),
    ]
}

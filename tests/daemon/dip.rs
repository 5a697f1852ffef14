//! What a rolling restart costs: how much less is delivered while one of three replicas is away.
//!
//! A replica is *away* from its SIGTERM until its new process has delivered an event of each of its lanes. It is
//! started at once when the old one has ended. That is the hardest case: a hand-over costs its lanes the same few
//! seconds however long the replica stays away, so in a longer absence they are a smaller part.
//!
//! The promise: meanwhile all lanes together deliver at least two thirds of what they did before and after, and the
//! lanes that the replica does not have deliver as much as ever.
//!
//! What bounds the throughput is how long the accounts take to answer, and how many requests a lane may have open: not
//! the machine. What is compared is of the same run. And a machine that is busy just then slows down all that runs on
//! it: so a daemon stands by that has nothing to do with the restarts, and what its lanes lose is no dip. Where a machine
//! is too busy for as many calls as the accounts answer, an absence is not judged: `spread.rs` and `replicas.rs` assert
//! without a measure that lanes that stay are not touched, and that those that move go on.

use freshet::sandbox::Options;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::{arrived, track};
use crate::feed::Feed;
use crate::replicas::preferred;
use crate::support::{Freshet, delete, soon};
use crate::throughput::{Calls, Dip, LATENCY, Stretch};
use crate::world::{World, sum};

const NAMES: [&str; 3] = ["worker-0", "worker-1", "worker-2"];
/// Lanes that each replica prefers.
const SHARE: usize = 4;
/// Lanes of the daemon that stands by.
const BYSTANDERS: usize = 3;
/// As many as a lane holds, so that no event waits for another one of its contact.
const CONTACTS: usize = 16;
/// Rounds published at once to a lane that has less than [`LOW`] events waiting.
const ROUNDS: usize = 8;
const LOW: u32 = 64;
/// Calls that each lane makes in a stretch without a restart: four times eight at once.
const STRETCH: u64 = 32;
/// What the replicas that are left must keep up of the whole.
const LEFT: f64 = 2.0 / 3.0;
/// What the lanes that stay must keep up, together and each by itself: all but noise. One that waited for as long as
/// those that move would keep two thirds.
const KEPT: f64 = 0.9;
const KEPT_BY_EACH: f64 = 0.8;

/// A world of accounts that take their time to answer.
async fn world(accounts: impl Iterator<Item = String>) -> World {
    let mut world = World::shared().await;
    world.prefetch = u16::try_from(CONTACTS).unwrap();
    for account in accounts {
        let settings = format!("write_keys = [\"{account}\"]");
        world = world.account_with(&account, &settings, Options::default()).await;
        // By a fault, because it can be taken back when all is measured.
        let slow = json!({"endpoint": "*", "action": {"delay_ms": LATENCY.subsec_millis()}});
        world.fault(&account, slow).await;
    }
    world
}

fn round(number: usize) -> Vec<Value> {
    (0..CONTACTS).map(|contact| track(contact, number)).collect()
}

/// Lets the accounts answer at once, until all that was published has gone through; returns when each call was.
async fn calls<'a>(world: &'a World, replicas: &[Freshet], began: Timestamp) -> Vec<Calls<'a>> {
    for account in &world.accounts {
        delete(account.address, "/_sandbox/faults").await.unwrap();
    }
    world.fenced(&replicas.iter().collect::<Vec<_>>()).await;
    world.accounts.iter().map(|account| Calls::of(account, began)).collect()
}

/// Every event arrived once and in order.
fn assert_exact(world: &World, rounds: impl Iterator<Item = usize>) {
    for (account, rounds) in world.accounts.iter().zip(rounds) {
        let wanted: Vec<u64> = (0..rounds as u64).collect();
        let arrived = arrived(&account.sandbox.state());
        assert_eq!(arrived.len(), CONTACTS);
        for (contact, numbers) in arrived {
            assert_eq!(numbers, wanted, "{} {contact}", account.name);
        }
    }
}

/// Waits until these replicas together have delivered so many more events of each account.
async fn delivered(accounts: &[&str], by: &[Freshet], more: u64) {
    let count = async || {
        let mut counts = vec![0; accounts.len()];
        for replica in by {
            let (_, metrics) = replica.get("/metrics").await;
            for (count, account) in counts.iter_mut().zip(accounts) {
                *count += sum(&metrics, "freshet_events_delivered_total", &[("account", account)]);
            }
        }
        counts
    };
    let before = count().await;
    soon("every lane goes on", async || {
        let gained: Vec<u64> = count().await.iter().zip(&before).map(|(now, before)| now - before).collect();
        if gained.iter().all(|gained| *gained >= more) { Ok(()) } else { Err(format!("{gained:?}")) }
    })
    .await;
}

#[tokio::test]
async fn while_a_replica_is_away_the_others_keep_up_their_share_and_their_lanes_do_not_dip() {
    let preferring = |name| {
        let accounts = (0..).map(|number| format!("account-{number}"));
        accounts.filter(move |account| preferred(&NAMES, account) == name).take(SHARE)
    };
    let world_apart = world((0..BYSTANDERS).map(|number| format!("bystander-{number}"))).await;
    let world = world(NAMES.into_iter().flat_map(preferring)).await;
    let apart = [world_apart.start("bystander").await];
    let mut replicas = Vec::new();
    for name in NAMES {
        replicas.push(world.start(name).await);
    }
    world.subscribed(NAMES.len()).await;
    let began = Timestamp::now();
    let clock = || Timestamp::now().duration_since(began).as_secs_f64();
    let accounts: Vec<&str> = world.accounts.iter().map(|account| &*account.name).collect();

    // Events wait in every lane.
    let [fed, fed_apart] = [&world, &world_apart].map(|world| Feed::new(world, round, ROUNDS, LOW));
    let restarts = async {
        let (mut steady, mut away) = (Vec::new(), Vec::new());
        delivered(&accounts, &replicas, STRETCH / 2).await;
        let mut from = clock();
        delivered(&accounts, &replicas, STRETCH).await;
        steady.push(Stretch { from, until: clock() });
        for (number, name) in NAMES.into_iter().enumerate() {
            from = clock();
            replicas[number].signal("TERM");
            assert!(replicas[number].exit().await.success(), "{}", replicas[number].log());
            replicas[number] = world.start(name).await;
            let its_own: Vec<&str> =
                accounts.iter().copied().filter(|account| preferred(&NAMES, account) == name).collect();
            delivered(&its_own, &replicas[number..=number], 1).await;
            let back = clock();
            away.push(Stretch { from, until: back });
            delivered(&accounts, &replicas, STRETCH).await;
            steady.push(Stretch { from: back, until: clock() });
        }
        // The last stretch ends amid calls, and these, too, take their time.
        delivered(&accounts, &replicas, STRETCH / 2).await;
        (steady, away)
    };
    let (steady, away) = fed_apart.during(Box::pin(fed.during(restarts))).await;
    let ended = calls(&world, &replicas, began).await;
    let ended_apart = calls(&world_apart, &apart, began).await;

    let around = steady.windows(2).map(|pair| [pair[0], pair[1]]);
    let absences = NAMES.into_iter().zip(away).zip(around);
    let dips: Vec<Dip> = absences
        .map(|((name, away), around)| {
            let moves = |account: &str| preferred(&NAMES, account) == name;
            Dip::measure(&ended, moves, &ended_apart, away, around)
        })
        .collect();
    println!("{}", Dip::HEAD);
    for (name, dip) in NAMES.iter().zip(&dips) {
        println!("| {name} {dip}");
    }
    for dip in dips.iter().filter(|dip| dip.tells_of_freshet()) {
        let usual = dip.bystanders.min(1.0);
        assert!(dip.whole >= LEFT * usual, "the whole dips by more than one replica of three: {dip:?}");
        assert!(dip.staying >= KEPT * usual, "lanes that stay dip: {dip:?}");
        assert!(dip.least >= KEPT_BY_EACH * usual, "a lane that stays dips: {dip:?}");
    }
    assert_exact(&world, fed.published());
    assert_exact(&world_apart, fed_apart.published());
    world.finish(replicas).await;
    world_apart.finish(apart).await;
}

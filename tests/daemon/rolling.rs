//! All replicas are restarted, one after another, while events keep coming: the same program, or another version of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use freshet::sandbox::Options;

use crate::events::{assert_exact, stream};
use crate::feed::Feed;
use crate::replicas::preferred;
use crate::spread::spread;
use crate::support::{Freshet, PROGRAM, soon};
use crate::world::{World, sum};

const NAMES: [&str; 3] = ["worker-0", "worker-1", "worker-2"];
const CONTACTS: usize = 4;

async fn delivered(replica: &Freshet) -> u64 {
    sum(&replica.get("/metrics").await.1, "freshet_events_delivered_total", &[])
}

/// With `FRESHET_TEST_PREVIOUS`, the program of another version, from that to this one and back.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests themselves")]
#[tokio::test]
async fn a_rolling_restart_under_load_loses_repeats_and_reorders_nothing() {
    const ACCOUNTS: usize = 12;
    const ROUNDS: usize = 5;
    const ROOM: u32 = 50;
    let previous = std::env::var_os("FRESHET_TEST_PREVIOUS").map(PathBuf::from);
    let this = Path::new(PROGRAM);
    let programs = previous.as_deref().map_or_else(|| vec![this, this], |other| vec![other, this, other]);
    println!("{programs:?}");
    let mut world = World::shared().await;
    (world.prefetch, world.request_timeout) = (32, "2m");
    for number in 0..ACCOUNTS {
        let name = format!("account-{number}");
        let options = Options { latency: Duration::from_millis(50), ..Options::default() };
        world = world.account_with(&name, &format!("write_keys = [\"{name}\"]"), options).await;
    }
    for name in NAMES {
        let share = world.accounts.iter().filter(|account| preferred(&NAMES, &account.name) == name);
        assert!(share.count() > 0, "names for which the lanes are shared");
    }
    let mut replicas = Vec::new();
    for name in NAMES {
        replicas.push(world.start_program(programs[0], name).await);
    }

    let feed = Feed::new(&world, |round| stream(CONTACTS, round, 1), ROUNDS, ROOM);
    let restarts = async {
        for (program, number) in
            programs[1..].iter().flat_map(|program| (0..NAMES.len()).map(move |one| (program, one)))
        {
            soon("it works", async || delivered(&replicas[number]).await > 0).await;
            let replica = &mut replicas[number];
            let dropped = sum(&replica.get("/metrics").await.1, "freshet_receipts_dropped_total", &[]);
            assert_eq!(dropped, 0, "receipts dropped before the stop");
            replica.stop().await;
            // During the stop, only the log tells of it.
            assert!(!replica.log().contains("dropped without being settled"), "{}", replica.log());
            let others: Vec<&Freshet> = replicas
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != number)
                .map(|(_, one)| one)
                .collect();
            for other in others {
                let before = delivered(other).await;
                soon("the others go on meanwhile", async || delivered(other).await > before + 50).await;
            }
            replicas[number] = world.start_program(program, NAMES[number]).await;
        }
    };
    feed.during(restarts).await;
    let all: Vec<&Freshet> = replicas.iter().collect();
    world.fenced(&all).await;
    for (account, rounds) in world.accounts.iter().zip(feed.published()) {
        assert_exact(&account.sandbox.state(), CONTACTS, rounds);
    }
    world.finish(replicas).await;
}

/// Replicas that come and go one at a time, and how often a lane went from one to another since the first ones had them.
struct Rollout<'a> {
    world: &'a World,
    running: Vec<(&'a str, Freshet)>,
    /// Who works each lane: its consumer's tag, and the channel that it is on.
    lanes: BTreeMap<String, (String, String)>,
    moves: usize,
}

impl<'a> Rollout<'a> {
    async fn of(world: &'a World, names: &[&'a str]) -> Self {
        let mut rollout = Self { world, running: Vec::new(), lanes: BTreeMap::new(), moves: 0 };
        for name in names {
            rollout.start(name).await;
        }
        rollout.moves = 0;
        rollout
    }

    async fn start(&mut self, name: &'a str) {
        self.running.push((name, self.world.start(name).await));
        self.count().await;
    }

    async fn stop(&mut self, name: &str) {
        let at = self.running.iter().position(|(running, _)| *running == name).unwrap();
        self.running.swap_remove(at).1.stop().await;
        self.count().await;
    }

    async fn count(&mut self) {
        let names: Vec<&str> = self.running.iter().map(|(name, _)| *name).collect();
        let lanes = spread(self.world, &names).await;
        self.moves += lanes.iter().filter(|(lane, now)| self.lanes.get(*lane) != Some(now)).count();
        self.lanes = lanes;
    }

    async fn end(mut self) -> usize {
        for (_, replica) in &mut self.running {
            replica.stop().await;
        }
        self.moves
    }
}

/// Why `deploy/kubernetes` has a Deployment that starts all new replicas before the old ones leave.
#[tokio::test]
async fn lanes_move_less_if_new_replicas_come_before_the_old_ones_leave_than_if_names_stay() {
    const ACCOUNTS: usize = 40;
    const NEW: [&str; 3] = ["new-0", "new-1", "new-2"];
    let mut world = World::shared().await;
    for number in 0..ACCOUNTS {
        let name = format!("account-{number}");
        world = world.account(&name, &format!("write_keys = [\"{name}\"]")).await;
    }

    // A StatefulSet.
    let mut rollout = Rollout::of(&world, &NAMES).await;
    for name in NAMES {
        rollout.stop(name).await;
        rollout.start(name).await;
    }
    let names_stay = rollout.end().await;

    let mut rollout = Rollout::of(&world, &NAMES).await;
    for (new, old) in NEW.into_iter().zip(NAMES) {
        rollout.start(new).await;
        rollout.stop(old).await;
    }
    let one_more = rollout.end().await;

    // The most it can be: all at once, lanes cannot stop over at another that comes or leaves, too.
    let mut rollout = Rollout::of(&world, &NAMES).await;
    for new in NEW {
        rollout.start(new).await;
    }
    for old in NAMES {
        rollout.stop(old).await;
    }
    let all_new_first = rollout.end().await;

    println!(
        "{ACCOUNTS} lanes: names stay {names_stay} moves, one more {one_more}, all new ones first {all_new_first}"
    );
    // Each leaves the replica that stops, and comes back.
    assert_eq!(names_stay, 2 * ACCOUNTS);
    // By more than the hash's chances: new names without one replica more would give some lanes less than two moves.
    assert!(all_new_first < one_more && 4 * one_more < 3 * names_stay);
    world.finish([]).await;
}

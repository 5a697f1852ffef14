//! How each fault is staged and ended, and how long it takes until all goes on.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::dice::Dice;
use crate::fault::{Fault, Kind};
use crate::outside;
use crate::pauses::{Pauses, Stretch};
use crate::producers::Producers;
use crate::schedule::Step;
use crate::support::{Proxy, eventually, soon};
use crate::world::{NODES, World};

/// What one step cost.
#[derive(Debug)]
pub struct Toll {
    /// How often each lane may have lost its session.
    pub sessions_lost: usize,
    /// From the end of the faults until every account's events flow again.
    pub recovery: Duration,
    /// For how long the other accounts got nothing, where nothing but one account or one message was bad.
    pub pauses: Option<Pauses>,
}

/// How long the step without faults lasts: as long as most faults do.
const WITHOUT_FAULTS: Duration = Duration::from_secs(5);

/// Stages a step's faults amid its events, ends them, and waits until every account's events flow again.
pub async fn step(world: &mut World, producers: &Producers, step: &Step) -> Toll {
    for (site, time) in world.sites.iter().zip(&step.job_times) {
        site.options(&json!({"job_time_ms": time.as_millis()})).await;
    }
    // A third before, so that there is work; a third while it lasts; a third right afterwards.
    let third = step.events / 3;
    let confirmed = producers.ledger().confirmed;
    producers.allow(third);
    soon("the events before the fault are published", async || {
        producers.ledger().confirmed >= confirmed + third / 2
    })
    .await;

    let concerns_one = step.faults.iter().all(|fault| fault.kind.concerns_one());
    if concerns_one {
        worked_off(world).await;
    }
    let trickle = concerns_one.then(|| producers.trickle());
    if concerns_one {
        flows(world, producers, 0..world.sites.len()).await;
    }
    let from = Timestamp::now();
    let started = Instant::now();
    let mut sessions_lost = 0;
    for fault in &step.faults {
        sessions_lost += strike(world, producers, fault).await;
    }
    let mut healing: Vec<&Fault> = step.faults.iter().collect();
    healing.sort_by_key(|fault| fault.lasts);
    let mut allowed = 0;
    if step.faults.is_empty() {
        hold(started + WITHOUT_FAULTS, || {
            let due = share(third, started.elapsed().as_secs_f64() / WITHOUT_FAULTS.as_secs_f64());
            producers.allow(due.saturating_sub(allowed));
            allowed = allowed.max(due);
        })
        .await;
    }
    for fault in &healing {
        let until = started + fault.lasts;
        // Evenly, up to the last one's end.
        let whole = healing.last().map_or(fault.lasts, |last| last.lasts).as_secs_f64().max(0.001);
        hold(until, || {
            let due = share(third, started.elapsed().as_secs_f64() / whole);
            producers.allow(due.saturating_sub(allowed));
            allowed = allowed.max(due);
        })
        .await;
        // Before it ends: what was bad must not have stopped the others.
        let spared = fault.kind.spares_the_account();
        if concerns_one || spared {
            let others = (0..world.sites.len()).filter(|account| spared || *account != fault.whom);
            flows(world, producers, others).await;
        }
        heal(world, fault).await;
    }
    let until = Timestamp::now();
    producers.allow(step.events - third - allowed);
    let healed = Instant::now();
    flows(world, producers, 0..world.sites.len()).await;
    let recovery = healed.elapsed();
    let mut pauses = None;
    if let Some(trickle) = trickle {
        trickle.stop().await;
        let bad: Vec<usize> = step.faults.iter().map(|fault| fault.whom).collect();
        let others = world.sites.iter().enumerate().filter(|(account, _)| !bad.contains(account));
        let states: Vec<Value> = others.map(|(_, site)| site.sandbox.state()).collect();
        pauses = Some(Pauses::of(&states, &world.bystander.sandbox.state(), Stretch { from, until }));
    }
    world.replicas.iter_mut().for_each(crate::replica::Replica::check_alive);
    Toll { sessions_lost, recovery, pauses }
}

/// Lets a fault last: the only thing here that takes a time and not an event.
async fn hold(until: Instant, mut meanwhile: impl FnMut()) {
    let longest = until.saturating_duration_since(Instant::now()) + Duration::from_mins(1);
    eventually(longest, "the fault has lasted", async || {
        meanwhile();
        Instant::now() >= until
    })
    .await;
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of events"
)]
fn share(whole: usize, part: f64) -> usize {
    (whole as f64 * part.min(1.0)) as usize
}

/// Stages a fault; returns how often each lane may lose its session by it, and waits for the events that it condemns.
async fn strike(world: &mut World, producers: &Producers, fault: &Fault) -> usize {
    let (whom, mut dice) = (fault.whom, fault.dice.clone());
    match fault.kind {
        Kind::ReplicaKilled => world.replicas[whom].kill().await,
        Kind::ReplicaStopped => {
            world.replicas[whom].stop().await;
            return 0;
        }
        Kind::ReplicaFrozen => world.replicas[whom].process().signal("STOP"),
        Kind::ReplicaSilenced => {
            for line in &world.replicas[whom].lines {
                line.hang().await;
            }
        }
        Kind::ReplicaCutOff => {
            for line in &world.replicas[whom].lines {
                line.down().await;
            }
        }
        Kind::NodeKilled => tokio::task::block_in_place(|| world.broker.node(whom).kill_now()),
        Kind::NodeStopped => world.broker.node(whom).stop().await,
        Kind::NodeFrozen => world.broker.node(whom).freeze(),
        Kind::NodePartitioned => {
            // With another cookie, its peers refuse it and it refuses them.
            let part = "[begin erlang:set_cookie(P, apart), erlang:disconnect_node(P) end || P <- nodes()].";
            world.broker.node(whom).control(&["eval", part]).await;
        }
        Kind::NodeSilenced => {
            for replica in &world.replicas {
                replica.lines[whom].hang().await;
            }
        }
        Kind::NodeLinksBroken => {
            let breaks = 1 + dice.below(3);
            for _ in 0..breaks {
                for replica in &world.replicas {
                    end_connections(&replica.lines[whom], &mut dice);
                }
                hold(Instant::now() + dice.millis(50, 800), || ()).await;
            }
            return breaks;
        }
        Kind::NodeRefusing => {
            for replica in &world.replicas {
                replica.lines[whom].down().await;
            }
        }
        Kind::LeadersMoved => {
            let list = format!("rabbit_amqqueue:list(<<\"{}\">>)", world.vhost.name);
            let moved = format!("[catch rabbit_quorum_queue:transfer_leadership(Q, node()) || Q <- {list}].");
            world.broker.node(whom).control(&["eval", &moved]).await;
        }
        Kind::MajorityKilled => {
            for node in all_but(whom) {
                tokio::task::block_in_place(|| world.broker.node(node).kill_now());
            }
        }
        Kind::MajorityFrozen => all_but(whom).for_each(|node| world.broker.node(node).freeze()),
        Kind::MemoryAlarm => {
            alarm(world, whom, "set_alarm({{resource_limit, memory, node()}, []})").await;
            return 0;
        }
        Kind::DiskAlarm => {
            alarm(world, whom, "set_alarm({{resource_limit, disk, node()}, []})").await;
            return 0;
        }
        Kind::ApiHanging
        | Kind::ApiResetting
        | Kind::ApiFailing
        | Kind::ApiSlow
        | Kind::ApiThrottling
        | Kind::ApiLinkBroken
        | Kind::ApiLinkSilenced => {
            strike_account(world, fault, &mut dice).await;
            return 0;
        }
        Kind::ApiMarkup | Kind::ApiJobsFull | Kind::ApiInnerThrottle | Kind::ApiGatewayWaits => {
            world.sites[whom].fault(outside::answers(fault.kind, &mut dice)).await;
            return 0;
        }
        Kind::ApiForbidsRecord | Kind::ApiForbidsDeals | Kind::ApiRecordFails => {
            outside::records(world, producers, fault.kind, whom, &mut dice).await;
            return 0;
        }
        Kind::ApiDealFields => {
            let unreadable = json!({"endpoint": "deals_fields", "action": {"status": 500, "body": "no"}});
            world.sites[whom].fault(unreadable).await;
            // Fields are read at the start.
            for replica in &mut world.replicas {
                replica.stop().await;
                replica.launch();
                replica.ready().await;
            }
            return 0;
        }
        Kind::MessagesHostile => {
            outside::hostile_messages(world, producers, whom, &mut dice).await;
            return 0;
        }
        Kind::MessageDoubled => {
            if let Some(killed) = outside::doubled(world, producers, whom).await {
                world.replicas[killed].launch();
            }
        }
        Kind::MessagesUnreadable => {
            outside::unreadable_messages(world, producers, whom, &mut dice).await;
            // Each of its returns may cost every session.
            return 10;
        }
        Kind::MessagesHuge => {
            outside::huge_messages(producers, whom, &mut dice).await;
            return 0;
        }
    }
    // A silent or paused node may cost a session at its beginning and another one at its end.
    2
}

async fn strike_account(world: &World, fault: &Fault, dice: &mut Dice) {
    let site = &world.sites[fault.whom];
    let after_effect = dice.percent(50);
    let seed = dice.below(1000);
    let fault = match fault.kind {
        Kind::ApiHanging => {
            json!({"endpoint": "*", "action": {"hang": true}, "share": 0.4, "seed": seed, "after_effect": after_effect})
        }
        Kind::ApiResetting => {
            json!({"endpoint": "*", "action": {"reset": true}, "share": 0.4, "seed": seed, "after_effect": after_effect})
        }
        Kind::ApiFailing => {
            json!({"endpoint": "*", "action": {"status": 503, "body": "no"}, "share": 0.9, "seed": seed})
        }
        // Short of `request_timeout`, and of the wait with which a lane is taken over: a call that is late by more
        // may land behind its successor's, which no client can prevent.
        Kind::ApiSlow => json!({"endpoint": "*", "action": {"delay_ms": 300 + dice.below(900)}}),
        Kind::ApiThrottling => {
            json!({"endpoint": "*", "action": {"status": 429, "headers": {"retry-after": "2"}}})
        }
        Kind::ApiLinkBroken => {
            for _ in 0..=dice.below(4) {
                end_connections(&site.proxy, dice);
                hold(Instant::now() + dice.millis(50, 500), || ()).await;
            }
            return;
        }
        // The others befall no account.
        _ => return site.proxy.hang().await,
    };
    site.fault(fault).await;
}

fn all_but(whom: usize) -> impl Iterator<Item = usize> {
    (0..NODES).filter(move |node| *node != whom)
}

async fn alarm(world: &World, node: usize, call: &str) {
    world.broker.node(node).control(&["eval", &format!("rabbit_alarm:{call}.")]).await;
}

fn end_connections(proxy: &Proxy, dice: &mut Dice) {
    if dice.percent(50) {
        proxy.cut();
    } else {
        proxy.reset();
    }
}

/// Ends a fault, and waits until what was down is up.
async fn heal(world: &mut World, fault: &Fault) {
    let whom = fault.whom;
    match fault.kind {
        Kind::ReplicaKilled | Kind::ReplicaStopped => world.replicas[whom].launch(),
        Kind::ReplicaFrozen => world.replicas[whom].process().signal("CONT"),
        Kind::ReplicaSilenced | Kind::ReplicaCutOff => {
            for line in &world.replicas[whom].lines {
                line.pass().await;
            }
        }
        Kind::NodeKilled | Kind::NodeStopped => {
            let node = world.broker.node(whom);
            node.launch();
            node.ready().await;
        }
        Kind::NodeFrozen => world.broker.node(whom).thaw(),
        Kind::NodePartitioned => {
            let peers: Vec<_> =
                all_but(whom).map(|peer| format!("'{}'", world.broker.node(peer).name)).collect();
            let join = format!("[erlang:set_cookie(P, erlang:get_cookie()) || P <- [{}]].", peers.join(", "));
            world.broker.node(whom).control(&["eval", &join]).await;
            world.broker.node(whom).ready().await;
        }
        Kind::NodeSilenced | Kind::NodeRefusing => {
            for replica in &world.replicas {
                replica.lines[whom].pass().await;
            }
        }
        Kind::NodeLinksBroken
        | Kind::LeadersMoved
        | Kind::ApiLinkBroken
        | Kind::MessagesHostile
        | Kind::MessagesUnreadable
        | Kind::MessagesHuge => {}
        Kind::MajorityKilled => {
            // They wait for each other.
            for node in all_but(whom) {
                world.broker.node(node).launch();
            }
            for node in 0..NODES {
                world.broker.node(node).ready().await;
            }
        }
        Kind::MajorityFrozen => all_but(whom).for_each(|node| world.broker.node(node).thaw()),
        Kind::MemoryAlarm => alarm(world, whom, "clear_alarm({resource_limit, memory, node()})").await,
        Kind::DiskAlarm => alarm(world, whom, "clear_alarm({resource_limit, disk, node()})").await,
        Kind::ApiHanging
        | Kind::ApiResetting
        | Kind::ApiFailing
        | Kind::ApiSlow
        | Kind::ApiThrottling
        | Kind::ApiMarkup
        | Kind::ApiForbidsRecord
        | Kind::ApiForbidsDeals
        | Kind::ApiJobsFull
        | Kind::ApiInnerThrottle
        | Kind::ApiGatewayWaits
        | Kind::ApiDealFields
        | Kind::ApiRecordFails
        | Kind::MessageDoubled => {
            world.sites[whom].calm().await;
        }
        Kind::ApiLinkSilenced => {
            // What it held back is gone for good: a call that was given up long ago must not take effect now.
            let proxy = &world.sites[whom].proxy;
            proxy.down().await;
            soon("connections end", async || proxy.open() == 0).await;
            proxy.pass().await;
        }
    }
}

/// Waits until nothing is left of what was there before: an account with a backlog pauses by itself.
async fn worked_off(world: &World) {
    let amqp = world.vhost.connect().await;
    soon("what was there before is worked off", async || {
        let busy = world.busy(&amqp).await;
        if busy.is_empty() { Ok(()) } else { Err(busy.join(", ")) }
    })
    .await;
}

/// Waits until an event of each of these accounts is delivered.
pub async fn flows(world: &World, producers: &Producers, accounts: impl IntoIterator<Item = usize>) {
    let accounts: Vec<usize> = accounts.into_iter().collect();
    let mut before = Vec::new();
    for replica in &world.replicas {
        before.push(replica.delivered().await);
    }
    // There may be no other work.
    for account in &accounts {
        producers.probe(*account).await;
    }
    soon("these accounts' events flow", async || {
        let mut waiting: Vec<&str> = accounts.iter().map(|account| world.sites[*account].name).collect();
        for (replica, before) in world.replicas.iter().zip(&before) {
            let now = replica.delivered().await;
            waiting.retain(|account| now.get(*account).copied() <= before.get(*account).copied());
        }
        if waiting.is_empty() { Ok(()) } else { Err(format!("{waiting:?}")) }
    })
    .await;
}

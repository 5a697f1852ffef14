//! Replicas, a cluster and accounts that break at random, from a seed; and whether the promises hold all the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "in a test, a panic is the verdict; this one reads the environment and shows its progress"
)]
#![allow(clippy::needless_pass_by_value, reason = "`json!` where it is used reads best without a reference")]

#[path = "../support/mod.rs"]
mod support;

mod dice;
mod fault;
mod model;
mod outside;
mod pauses;
mod person;
mod producers;
mod related;
mod replica;
mod report;
mod schedule;
mod settings;
mod staging;
mod verdict;
mod world;

use tokio::time::Instant;

use model::{Account, Ledger};
use producers::Producers;
use report::Report;
use settings::Settings;
use support::{Amqp, soon};
use verdict::Verdict;
use world::{APART, PREFETCH, QUEUE, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_reordered_whatever_breaks() {
    let settings = Settings::read();
    println!("seed {}, frames of at most {} bytes", settings.seed, settings.frame_max);
    let _print = PrintOnFailure(settings.command());
    let started = Instant::now();
    let mut world = World::build(&settings).await;
    println!("[{:>4}] the world stands", started.elapsed().as_secs());

    let accounts = world.sites.iter().map(|site| Account {
        name: site.name.into(),
        takes_pages: site.takes_pages,
        deals: site.deals,
    });
    let mut ledger = Ledger::new(accounts.collect());
    person::work(&world, &mut ledger, &settings).await;
    world.delay_searches().await;
    let urls: Vec<String> = (0..world::NODES).map(|node| world.vhost.url_on(node).to_owned()).collect();
    let mut producers = Producers::start(&settings, ledger, &urls, QUEUE, APART);
    let mut report = Report::default();
    let steps = schedule::draw(&settings);
    for (number, step) in steps.iter().enumerate() {
        let planned: Vec<String> = step.faults.iter().map(ToString::to_string).collect();
        println!(
            "[{:>4}] {:.0} {}/{} {}",
            started.elapsed().as_secs(),
            jiff::Timestamp::now(),
            number,
            steps.len() - 1,
            if planned.is_empty() { "no fault".to_owned() } else { planned.join(" + ") }
        );
        let toll = staging::step(&mut world, &producers, step).await;
        report.note(step.faults.iter().map(|fault| fault.kind), &toll);
        let confirmed = producers.ledger().confirmed;
        println!(
            "[{:>4}]      flows again after {:.1} s; {confirmed} events published",
            started.elapsed().as_secs(),
            toll.recovery.as_secs_f64()
        );
        if let Some(pauses) = toll.pauses {
            println!("            others pause, a bystander, less that: {pauses}");
        }
    }
    producers.finish().await;
    let amqp = quiet(&world, &producers).await;
    println!("[{:>4}] quiet", started.elapsed().as_secs());
    for replica in &mut world.replicas {
        replica.stop().await;
    }
    world.bystander.process.stop().await;
    for queue in world.queues() {
        assert_eq!(amqp.depth(&queue).await, Some(0), "left on {queue}");
    }
    let letters = amqp.drain(&format!("{QUEUE}.dead")).await;

    let ledger = producers.ledger();
    let verdict = Verdict::of(&ledger, &world, &letters);
    let lost_answers: u64 = world.replicas.iter().map(|replica| replica.lost_answers).sum();
    let bound = report.sessions_lost * settings.accounts * PREFETCH
        + usize::try_from(lost_answers).unwrap()
        + ledger.uncertain;
    println!("{}", report.markdown(settings.seed, ledger.events.len(), bound, started.elapsed(), &verdict));
    println!("{lost_answers} calls without an answer, {} events published again", ledger.uncertain);
    let complaints: Vec<&String> = world.replicas.iter().flat_map(|replica| &replica.complaints).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(verdict.holds(), "{verdict:#?}");
    let too_long = report.too_long();
    assert!(too_long.is_empty(), "other accounts paused for what befell one: {too_long:?}");
    assert!(
        verdict.repeated <= bound,
        "{} activities repeated, at most {bound} are allowed",
        verdict.repeated
    );
}

/// Waits until every event has gone through: one more for each account, nothing queued, nothing in flight.
async fn quiet(world: &World, producers: &Producers) -> Amqp {
    for account in 0..world.sites.len() {
        producers.probe(account).await;
    }
    let amqp = world.vhost.connect().await;
    let mut calm = 0;
    soon("everything has gone through", async || {
        let busy = world.busy(&amqp).await;
        // Between a queue and a lane an event is counted nowhere.
        calm = if busy.is_empty() { calm + 1 } else { 0 };
        if calm >= 5 { Ok(()) } else { Err(busy.join(", ")) }
    })
    .await;
    amqp
}

/// Says how to do it again if the test fails.
struct PrintOnFailure(String);

impl Drop for PrintOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the same faults again: {}", self.0);
        }
    }
}

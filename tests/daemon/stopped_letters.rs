//! Commands for dead letters that are stopped, or lose the broker, at any step: the letters stay in their order.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Duration;

use tempfile::TempDir;

use crate::letters::{fill_alike, folder, numbers, printed, quiet, runs};
use crate::support::{Broker, Freshet, Proxy, Settings, soon};
use crate::unanswered::at_leader;
use crate::world::World;

/// More than two steps of reading.
const LETTERS: usize = 5000;

/// Letters that were all handed out before: only then does it show whether a look goes on to the end.
async fn handed_out_before(world: &World) {
    fill_alike(world, "acme", LETTERS).await;
    printed(folder(world).path(), &["list"]).await;
}

/// Waits until nobody looks at the letters, and so many are there.
async fn all_back(world: &World, letters: usize) {
    let dead = world.dead();
    soon("the letters are back", async || {
        let consumers = world.amqp.consumers(&dead).await;
        let there = world.amqp.depth(&dead).await;
        if consumers == Some(0) && there == u32::try_from(letters).ok() {
            Ok(())
        } else {
            Err(format!("{there:?} letters, {consumers:?} consumers"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_look_that_is_stopped_while_it_subscribes_leaves_every_letter_in_its_place() {
    let world = quiet().await;
    handed_out_before(&world).await;
    let (config, dead) = (world.config_at(world.vhost.url(), "desk"), world.dead());
    for (lines, signal) in [(1000, "INT"), (3000, "TERM")] {
        let folder = TempDir::new().unwrap();
        let pipe = folder.path().join("lines");
        let script = format!("mkfifo {0} && exec $FRESHET dead-letters list --all > {0}", pipe.display());
        let mut look = Freshet::start_script(&script, &config, &[]);
        soon("there is a pipe", async || pipe.exists()).await;
        // As long as nobody reads on, it writes and reads no further letter.
        let reading = tokio::task::spawn_blocking(move || {
            let mut read = BufReader::new(File::open(pipe).unwrap());
            (0..lines).for_each(|_| assert!(read.read_line(&mut String::new()).unwrap() > 0));
            read
        });
        let mut read = reading.await.unwrap();
        at_leader(&world, &dead, "sys:suspend(element(1, Leader))").await;
        let reading = tokio::task::spawn_blocking(move || read.read_to_end(&mut Vec::new()).unwrap());
        let unread = "{_, N} = erlang:process_info(whereis(element(1, Leader)), message_queue_len), N";
        soon("the queue is asked for the next letters", async || {
            let unread = at_leader(&world, &dead, unread).await;
            if unread.trim() == "0" { Err(unread) } else { Ok(()) }
        })
        .await;
        look.signal(signal);
        at_leader(&world, &dead, "sys:resume(element(1, Leader))").await;
        assert_eq!(look.exit().await.code(), Some(1), "{}", look.log());
        assert!(look.log().contains("stopped by a signal"), "{}", look.log());
        reading.await.unwrap();
        all_back(&world, LETTERS).await;
    }
    assert_eq!(runs(&world.dead_letters(LETTERS).await), "0-4999");
    world.finish([]).await;
}

#[tokio::test]
async fn a_look_that_is_stopped_while_it_reads_leaves_every_letter_in_its_place() {
    let world = quiet().await;
    handed_out_before(&world).await;
    let config = world.config_at(world.vhost.url(), "desk");
    // Within a step, at its end, in the next one, in the last one.
    for (last_line, signal) in
        [(0, "INT"), (700, "TERM"), (1999, "INT"), (2000, "TERM"), (3999, "INT"), (4500, "TERM")]
    {
        let mut look = Freshet::start_command(&["dead-letters", "list", "--all"], &config, &[]);
        look.line(&format!(" m-{last_line} ")).await;
        look.signal(signal);
        look.exit().await;
        all_back(&world, LETTERS).await;
    }
    assert_eq!(runs(&world.dead_letters(LETTERS).await), "0-4999");
    world.finish([]).await;
}

#[tokio::test]
async fn a_look_that_loses_the_broker_puts_what_it_had_read_behind_the_rest_and_loses_nothing() {
    let world = quiet().await;
    handed_out_before(&world).await;
    let proxy = Proxy::to(&world.vhost.addr()).await;
    let config = world.config_at(&proxy.url(world.vhost.url()), "desk");
    for last_line in [10, 1999, 2500, 4100] {
        let mut look = Freshet::start_command(&["dead-letters", "list", "--all"], &config, &[]);
        soon("it reads", async || look.log().lines().count() > last_line).await;
        proxy.cut();
        // It may have been through already.
        look.exit().await;
        all_back(&world, LETTERS).await;
    }
    let found = world.dead_letters(LETTERS).await;
    let mut sorted = numbers(&found);
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(0..LETTERS), "nothing is lost, nothing is doubled");
    // Each loss puts one part behind the other: seen as a ring, the order is the same.
    let runs = runs(&found);
    let parts: Vec<&str> = runs.split(' ').collect();
    assert!(parts.len() <= 2 && (parts.len() == 1 || parts[0].ends_with("-4999")), "{runs}");
    world.finish([]).await;
}

#[tokio::test]
async fn letters_that_were_not_chosen_are_held_for_longer_than_rabbitmq_s_consumer_timeout() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let settings = Settings { config: "consumer_timeout = 3000\n".to_owned(), ..Settings::default() };
    let broker = Broker::private_with(settings).await;
    // How often a channel looks at its timeouts; the default is a minute.
    broker.control(&["eval", "application:set_env(rabbit, channel_tick_interval, 500)."]).await;
    let world = World::on(broker.vhost().await).await.account("acme", "").await;
    world.retire(world.start("declares").await).await;
    crate::letters::fill(&world, "acme", 0..40).await;
    let config = world.config_at(world.vhost.url(), "desk");
    let (began, lane) = (tokio::time::Instant::now(), world.lane("acme"));
    let arguments = ["dead-letters", "replay", "--reason", "rejected", "--rate", "2/s"];
    let mut replay = Freshet::start_command(&arguments, &config, &[]);
    let status = replay.exit().await;
    assert!(status.success(), "{}", replay.log());
    assert!(began.elapsed() > 2 * TIMEOUT, "long enough to show it");
    assert_eq!(numbers(&world.amqp.drain(&lane).await), (0..40).filter(|n| n % 2 == 1).collect::<Vec<_>>());
    assert_eq!(numbers(&world.dead_letters(20).await), (0..40).filter(|n| n % 2 == 0).collect::<Vec<_>>());
    world.finish([]).await;
}

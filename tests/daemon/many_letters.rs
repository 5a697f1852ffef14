//! Very many letters: what commands hold of them does not grow with their number.

use std::path::Path;

use lapin::BasicProperties;
use tempfile::TempDir;

use crate::letters::{letter, numbers, quiet};
use crate::support::{Freshet, soon};
use crate::world::World;

/// As many as a first step of reading takes, and many times that.
const FEW: usize = 2000;
const MANY: usize = 16_000;
/// With this much in each letter, all of them together are many times the room for growth.
const PADDING: usize = 4 * 1024;
const ROOM: u64 = 16 * 1024;

async fn fill(world: &World, numbers: std::ops::Range<usize>) {
    let padded = numbers.map(|number| {
        let (body, properties): (String, BasicProperties) = letter("acme", "rejected", "cfPlan", number);
        let padded = format!("{},\"pad\":\"{}\"}}", body.trim_end_matches('}'), "x".repeat(PADDING));
        (padded, properties)
    });
    world.amqp.publish_all(&world.dead(), "acme.rejected", padded).await;
}

/// Runs a command to its end; the most memory it had in use, in KiB.
async fn peak(world: &World, at: &Path, arguments: &[&str]) -> u64 {
    let mut all = vec!["dead-letters"];
    all.extend(arguments);
    let file = at.join("letters.ndjson");
    if file.exists() {
        std::fs::remove_file(&file).unwrap();
    }
    let file = file.display().to_string();
    let all: Vec<&str> = all.into_iter().map(|one| if one == "FILE" { file.as_str() } else { one }).collect();
    let mut peak = 0;
    let mut command = Freshet::start_command(&all, &world.config_at(world.vhost.url(), "desk"), &[]);
    let status = soon("the command ends", async || {
        peak = command.peak_resident().map_or(peak, |now| now.max(peak));
        command.exited()
    })
    .await;
    assert!(status.success(), "{arguments:?}: {}", command.log());
    peak
}

#[tokio::test]
async fn what_a_command_holds_does_not_grow_with_the_number_of_letters() {
    let world = quiet().await;
    let at = TempDir::new().unwrap();
    let looks: [&[&str]; 4] =
        [&["list"], &["list", "--reason", "rejected"], &["export", "FILE"], &["replay", "--dry-run"]];
    let replay: &[&str] = &["replay"];
    let mut of_few = Vec::new();
    fill(&world, 0..FEW).await;
    for command in looks.iter().chain([&replay]) {
        of_few.push(peak(&world, at.path(), command).await);
    }
    let lane = world.lane("acme");
    assert_eq!(world.amqp.drain(&lane).await.len(), FEW);
    fill(&world, 0..MANY).await;
    for (command, few) in looks.iter().chain([&replay]).zip(of_few) {
        let many = peak(&world, at.path(), command).await;
        assert!(many <= few + ROOM, "{command:?}: {few} KiB for {FEW} letters, {many} KiB for {MANY}");
    }
    assert!(numbers(&world.amqp.drain(&lane).await).into_iter().eq(0..MANY), "in order, each once");
    world.finish([]).await;
}

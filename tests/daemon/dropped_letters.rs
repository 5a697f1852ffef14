//! `dead-letters drop` asks a person: what it asked about may go, and nothing else.

use std::fs::OpenOptions;
use std::io::Write as _;

use tempfile::TempDir;

use crate::letters::{fill, fill_alike, printed, quiet, runs};
use crate::support::Freshet;
use crate::world::World;

/// A drop at a terminal, which waits for the answer.
struct Asked {
    command: Freshet,
    folder: TempDir,
}

impl Asked {
    fn new(world: &World, arguments: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let at = folder.path().display();
        // `script` gives it a terminal, and passes on what comes through the pipe.
        let script = format!(
            "cd {at} && mkfifo answer && \
             exec script -qec \"$FRESHET dead-letters drop {arguments}\" /dev/null < answer"
        );
        let command = Freshet::start_script(&script, &world.config_at(world.vhost.url(), "desk"), &[]);
        Self { command, folder }
    }

    /// Returns what it printed.
    async fn answer(
        mut self,
        world: &World,
        between: impl Future<Output = ()>,
    ) -> (Option<i32>, String, TempDir) {
        let pipe = self.folder.path().join("answer");
        crate::support::soon("there is a pipe", async || pipe.exists()).await;
        let opened = tokio::task::spawn_blocking(move || OpenOptions::new().write(true).open(pipe).unwrap());
        let mut answer = opened.await.unwrap();
        self.command.line("will be removed from").await;
        between.await;
        writeln!(answer, "{}", world.dead()).unwrap();
        let status = self.command.exit().await;
        (status.code(), self.command.log(), self.folder)
    }
}

#[tokio::test]
async fn letters_that_come_in_while_a_person_thinks_stay() {
    let world = quiet().await;
    fill(&world, "acme", 0..10).await;
    let (code, log, folder) = Asked::new(&world, "--reason rejected --to gone.ndjson")
        .answer(&world, async {
            // Of both kinds, and one that is the same to the last byte.
            fill(&world, "acme", (10..20).chain([1])).await;
        })
        .await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("5 letters will be removed from"), "{log}");
    assert!(log.contains("5 letters dropped, 6 letters left in"), "{log}");
    assert!(log.contains("6 letters: came in after the others were counted"), "{log}");
    let saved = std::fs::read_to_string(folder.path().join("gone.ndjson")).unwrap();
    assert_eq!(saved.lines().count(), 5);
    assert_eq!(runs(&world.dead_letters(16).await), "0-0 2-2 4-4 6-6 8-8 10-19 1-1");
    world.finish([]).await;
}

#[tokio::test]
async fn letters_that_take_the_places_of_those_that_were_counted_stay() {
    let world = quiet().await;
    let at = crate::letters::folder(&world);
    fill_alike(&world, "acme", 6).await;
    let (code, log, _folder) = Asked::new(&world, "--all --discard --limit 4")
        .answer(&world, async {
            // Somebody sends the first ones back, and others come in.
            printed(at.path(), &["replay", "--limit", "3"]).await;
            fill(&world, "acme", 10..14).await;
        })
        .await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("4 letters will be removed from"), "{log}");
    assert!(log.contains("1 letter dropped, 6 letters left in"), "{log}");
    world.amqp.drain(&world.lane("acme")).await;
    assert_eq!(runs(&world.dead_letters(6).await), "4-5 10-13");
    world.finish([]).await;
}

//! Dead letters that leave by standard output: whoever reads on the other side, none is lost.

use std::path::Path;

use crate::letters::{fill, fill_alike, folder, numbers, objects, quiet, runs, said};
use crate::support::{freshet, script, soon};
use crate::world::World;

/// More than a pipe holds.
const LETTERS: usize = 300;

/// Runs a shell script beside the test, and returns its status and what it wrote.
async fn ran(text: &str, folder: &Path) -> (Option<i32>, String, String) {
    let (text, folder) = (text.to_owned(), folder.to_owned());
    let output = tokio::task::spawn_blocking(move || script(&text, &folder, &[])).await.unwrap();
    let (out, err) = said(&output);
    (output.status.code(), out, err)
}

/// All of them are in the queue, once those that were looked at are back.
async fn stay(world: &World, letters: u32, after: &str) {
    let dead = world.dead();
    soon(&format!("{letters} letters stay after: {after}"), async || {
        let depth = world.amqp.depth(&dead).await;
        if depth == Some(letters) { Ok(()) } else { Err(format!("{depth:?}")) }
    })
    .await;
}

#[tokio::test]
async fn standard_output_holds_the_letters_alone_and_can_be_published_again() {
    let world = quiet().await;
    let folder = folder(&world);
    fill(&world, "acme", 0..20).await;
    let (status, out, err) = ran("$FRESHET dead-letters export - --reason rejected", folder.path()).await;
    assert_eq!(status, Some(0), "{err}");
    assert_eq!(objects(&out).len(), 10, "{out}");
    assert!(err.contains("10 letters saved to standard output, and left in"), "{err}");
    stay(&world, 20, "export").await;
    let at = folder.path().to_owned();
    let published = tokio::task::spawn_blocking(move || freshet(&["publish", "-"], &at, &[], out.as_bytes()))
        .await
        .unwrap();
    assert!(published.status.success(), "{:?}", said(&published));
    let lane = world.amqp.drain(&world.lane("acme")).await;
    assert_eq!(numbers(&lane), (0..20).filter(|n| n % 2 == 1).collect::<Vec<_>>());
    world.dead_letters(20).await;
    world.finish([]).await;
}

#[tokio::test]
async fn an_output_that_does_not_take_every_letter_is_no_success_and_no_letter_is_lost() {
    let world = quiet().await;
    let folder = folder(&world);
    fill_alike(&world, "acme", LETTERS).await;
    let (unwritten, no_file) = ("cannot write the letters", "is no file on a disk");
    for (command, status, says) in [
        ("$FRESHET dead-letters export - > /dev/full", 1, unwritten),
        // Readers that are gone: before the first letter, and after some.
        ("{ $FRESHET dead-letters export -; echo $? > status; } | true; exit $(cat status)", 1, unwritten),
        (
            "{ $FRESHET dead-letters export -; echo $? > status; } | head -n 1; exit $(cat status)",
            1,
            unwritten,
        ),
        ("ulimit -f 0; trap '' XFSZ; $FRESHET dead-letters export - > new", 1, unwritten),
        // What is dropped is gone from the queue: it goes to a disk or not at all.
        ("$FRESHET dead-letters drop --all --yes --to /dev/stdout | cat", 0, no_file),
        ("$FRESHET dead-letters drop --all --yes --to -", 64, no_file),
        ("mkfifo pipe; $FRESHET dead-letters drop --all --yes --to pipe", 64, no_file),
        ("$FRESHET dead-letters drop --all --yes --to /dev/null", 64, no_file),
    ] {
        let (ended, out, err) = ran(command, folder.path()).await;
        assert_eq!(ended, Some(status), "{command}: {err}");
        assert!(err.contains(says), "{command}: {err}");
        assert!(out.lines().count() <= 1, "{command}: {out}");
        stay(&world, u32::try_from(LETTERS).unwrap(), command).await;
    }
    let (status, _, err) = ran("$FRESHET dead-letters export - > all.ndjson", folder.path()).await;
    assert_eq!(status, Some(0), "{err}");
    let saved = std::fs::read_to_string(folder.path().join("all.ndjson")).unwrap();
    assert_eq!(objects(&saved).len(), LETTERS);
    assert_eq!(runs(&world.dead_letters(LETTERS).await), "0-299");
    world.finish([]).await;
}

//! `docs/TUTORIAL.md` as its reader goes through it: the blocks in order, in one shell and one empty folder, against the
//! broker of these tests. What the document shows is what comes.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Broker, Process, prepare, reserve_port, soon};

/// Addresses in the document, which are other ones here.
const BROKER: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";
const QUEUE: &str = "segment.events";
const SANDBOX: &str = "127.0.0.1:8090";
const PAGES: &str = "127.0.0.1:9464";

/// What the reader pastes, and what is shown as its output.
#[derive(Debug, PartialEq)]
struct Step<'a> {
    commands: &'a str,
    shown: Option<&'a str>,
}

/// The blocks of a document: `sh` is pasted, a `text` that follows is its output.
fn steps(document: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut rest = document;
    while let Some((_, block)) = rest.split_once("\n```") {
        let (kind, block) = block.split_once('\n').unwrap();
        let (text, after) = block.split_once("```").expect("the block's end");
        rest = after;
        match kind {
            "sh" => steps.push(Step { commands: text, shown: None }),
            "text" => {
                let step = steps.last_mut().expect("commands before their output");
                assert_eq!(step.shown.replace(text), None, "two outputs of {:?}", step.commands);
            }
            other => panic!("a block of the kind {other:?} is neither pasted nor compared"),
        }
    }
    steps
}

/// A line without what is another at each run: times, how long ago, how much of the quota is left, and how wide the
/// columns are.
fn redacted(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let seen = |place: usize| {
        let word = words[place].trim_start_matches('(');
        let before = place.checked_sub(1).map_or("", |before| words[before].trim_start_matches('('));
        let next = words.get(place + 1).copied().unwrap_or_default();
        if word.starts_with("20") && word.ends_with('Z') {
            "TIME"
        } else if is_number(word) && ["s", "min"].contains(&next) {
            "SOME"
        } else if is_number(before) && ["s", "min"].contains(&word) {
            "TIME"
        } else if is_number(word) && ["of", "ok,", "skipped"].contains(&next) {
            "SOME"
        } else {
            words[place]
        }
    };
    (0..words.len()).map(seen).collect::<Vec<_>>().join(" ")
}

/// Whether `shown` is what came; a line of `...` stands for any lines.
fn is_like(shown: &[String], came: &[String]) -> bool {
    match shown.split_first() {
        None => came.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=came.len()).any(|skipped| is_like(rest, &came[skipped..]))
        }
        Some((line, rest)) => {
            came.split_first().is_some_and(|(first, came)| line == first && is_like(rest, came))
        }
    }
}

fn lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(redacted).collect()
}

/// Runs all steps in one shell, and returns exit status and output of each.
async fn run(steps: &[String], folder: &Path, environment: &[(&str, &str)]) -> Vec<(String, String)> {
    // What a step starts in the background is ended with the shell, in whichever step that stops.
    let mut script = "PATH=\"$FOLDER_OF_FRESHET:$PATH\"\n\
         trap 'for job in $sandbox $daemon; do kill \"$job\" 2> /dev/null; done; wait' EXIT\n"
        .to_owned();
    for (number, commands) in steps.iter().enumerate() {
        std::fs::write(folder.join(format!(".step-{number}")), commands).unwrap();
        writeln!(script, ". ./.step-{number} > .out-{number} 2>&1; echo $? > .status-{number}").unwrap();
    }
    let argv = ["sh", "-c", &script].map(OsString::from);
    let mut shell = Process::spawn(&argv, |command| {
        prepare(command, environment);
        command.current_dir(folder);
    });
    let read = |what: &str, number: usize| {
        std::fs::read_to_string(folder.join(format!(".{what}-{number}"))).unwrap_or_default()
    };
    soon("the tutorial ends", async || {
        let outputs = || (0..steps.len()).map(|number| read("out", number)).collect::<String>();
        shell.exited().ok_or_else(outputs)
    })
    .await;
    (0..steps.len()).map(|number| (read("status", number).trim().to_owned(), read("out", number))).collect()
}

#[tokio::test]
async fn the_tutorial_does_what_it_says() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/TUTORIAL.md")).unwrap();
    let steps = steps(&document);
    assert!(steps.len() > 8 && steps.iter().filter(|step| step.shown.is_some()).count() > 5, "{steps:#?}");
    let vhost = Broker::shared().await.vhost().await;
    let queue = vhost.queue(QUEUE);
    let (sandbox_port, pages_port) = (reserve_port(), reserve_port());
    let [sandbox, pages] = [&sandbox_port, &pages_port].map(|port| format!("127.0.0.1:{}", port.number));
    let here = |commands: &str| {
        assert!(!commands.contains(PAGES), "the pages' address is not replaced in commands");
        let listening = format!("freshet sandbox --listen {sandbox} >");
        commands
            .replace("freshet sandbox >", &listening)
            .replace(BROKER, vhost.url())
            .replace(SANDBOX, &sandbox)
    };
    let there = |came: &str| came.replace(&sandbox, SANDBOX).replace(&pages, PAGES).replace(&queue, QUEUE);
    let program = Path::new(env!("CARGO_BIN_EXE_freshet")).parent().unwrap().display().to_string();
    let environment = [
        ("FOLDER_OF_FRESHET", program.as_str()),
        ("FRESHET_HTTP_LISTEN", &pages),
        ("FRESHET_BROKER_QUEUE", &queue),
        ("FRESHET_BROKER_REPLICA", "my-machine"),
    ];
    let folder = TempDir::new().unwrap();
    let pasted: Vec<String> = steps.iter().map(|step| here(step.commands)).collect();
    let came = run(&pasted, folder.path(), &environment).await;
    let mut wrong = String::new();
    for (step, (status, output)) in steps.iter().zip(&came) {
        let output = there(output);
        let as_shown = step.shown.is_none_or(|shown| is_like(&lines(shown), &lines(&output)));
        if !as_shown || status != "0" {
            write!(wrong, "\n{}ends with {status} and prints\n{output}", step.commands).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_varies_is_left_out_of_the_comparison_and_nothing_else() {
    for (shown, came, like) in [
        ("1 letter, 5 s ago", "1 letter, 12 s ago", true),
        ("1 letter, 5 s ago", "2 letters, 5 s ago", false),
        ("failed  2026-01-01T00:00:00Z (1 s ago)", "failed  2027-01-01T00:00:00.5Z (3 min ago)", true),
        ("a\n...\nz", "a\nz", true),
        ("a\n...\nz", "a\nb\nc\nz", true),
        ("a\n...\nz", "a\nb", false),
        ("a", "a\nb", false),
        ("a  b", "a      b", true),
        ("900 of 900 left", "12 of 900 left", true),
    ] {
        assert_eq!(is_like(&lines(shown), &lines(came)), like, "{shown:?} {came:?}");
    }
    let read = steps("# T\n\n```sh\na\n```\n\ntext\n\n```text\nb\n```\n\n```sh\nc\n```\n");
    let expected = [Step { commands: "a\n", shown: Some("b\n") }, Step { commands: "c\n", shown: None }];
    assert_eq!(read, expected);
}

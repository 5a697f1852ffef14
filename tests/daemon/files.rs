//! What `run --events` does to an operator's files: it destroys none, takes its own dead letters back, and never says
//! that something is done that is not.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::events::{arrived, track};
use crate::support::{Freshet, script, soon};
use crate::world::World;

/// A world with an account, and a folder with its configuration.
async fn stage() -> (World, TempDir) {
    let world = World::with_acme().await;
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("freshet.toml"), world.config_at(world.vhost.url(), "feed")).unwrap();
    (world, folder)
}

/// Runs a script in the folder beside the test, which serves the sandboxes meanwhile.
async fn run(folder: &TempDir, text: &str) -> (Option<i32>, String, String) {
    let (path, text) = (folder.path().to_owned(), text.to_owned());
    let ran = tokio::task::spawn_blocking(move || script(&text, &path, &World::environment()));
    let Output { status, stdout, stderr } = ran.await.unwrap();
    let read = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), read(stdout), read(stderr))
}

fn tracks(numbers: impl Iterator<Item = usize>) -> String {
    numbers.flat_map(|number| [track(0, number).to_string(), "\n".to_owned()]).collect()
}

/// A track that becomes a dead letter: it has no name.
fn nameless(number: usize) -> Value {
    let mut event = track(0, number);
    event.as_object_mut().unwrap().remove("event");
    event
}

fn letters(folder: &TempDir, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn dead_letters_are_never_written_over_the_events() {
    let (world, folder) = stage().await;
    let at = |name: &str| folder.path().join(name);
    let events = tracks(0..1) + &format!("{}\n", nameless(1));
    std::fs::write(at("events.ndjson"), &events).unwrap();
    std::fs::create_dir(at("sub")).unwrap();
    symlink("events.ndjson", at("link")).unwrap();
    symlink(folder.path(), at("sub/up")).unwrap();
    std::fs::hard_link(at("events.ndjson"), at("hard")).unwrap();
    let absolute = at("events.ndjson").display().to_string();
    for (read, written) in [
        ("events.ndjson", "events.ndjson"),
        ("events.ndjson", "./events.ndjson"),
        ("events.ndjson", "sub/../events.ndjson"),
        ("events.ndjson", "sub/up/events.ndjson"),
        ("events.ndjson", "link"),
        ("link", "events.ndjson"),
        ("events.ndjson", "hard"),
        ("hard", "link"),
        ("events.ndjson", &absolute),
        ("- < events.ndjson", "hard"),
        ("/dev/stdin < events.ndjson", "link"),
        ("/dev/fd/0 < events.ndjson", "events.ndjson"),
        ("- < events.ndjson", "/dev/stdin"),
        ("events.ndjson < events.ndjson", "/proc/self/fd/0"),
        ("events.ndjson 3>> hard", "/dev/fd/3"),
    ] {
        let command = format!("$FRESHET run --dead-letters {written} --events {read}");
        let (status, out, err) = run(&folder, &command).await;
        assert_eq!(status, Some(64), "{command}: {out}{err}");
        assert!(err.contains("--dead-letters") && err.contains("name another file"), "{command}: {err}");
        assert_eq!(std::fs::read_to_string(at("events.ndjson")).unwrap(), events, "{command}");
    }
    assert_eq!(world.state("acme")["total_requests"], 0, "nothing was begun");
}

#[tokio::test]
async fn what_a_file_holds_already_stays() {
    let (world, folder) = stage().await;
    let at = |name: &str| folder.path().join(name);
    for number in 0..2 {
        std::fs::write(at(&format!("{number}.ndjson")), format!("{}\n", nameless(number))).unwrap();
    }
    // Letters are added to letters, also behind a line that was torn off when a machine went down.
    assert_eq!(run(&folder, "$FRESHET run --events 0.ndjson --dead-letters dead").await.0, Some(0));
    OpenOptions::new().append(true).open(at("dead")).unwrap().write_all(b"{\"headers\":{").unwrap();
    let (status, out, err) = run(&folder, "$FRESHET run --events 1.ndjson --dead-letters dead").await;
    assert_eq!(status, Some(0), "{out}{err}");
    let text = std::fs::read_to_string(at("dead")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, number) in [(0, 0), (2, 1)] {
        let letter: Value = serde_json::from_str(lines[line]).unwrap();
        assert_eq!(letter["body"]["properties"]["number"], number);
    }
    // What is no file of letters is left alone.
    let config = std::fs::read_to_string(at("freshet.toml")).unwrap();
    for other in ["freshet.toml", "1.ndjson", "new.ndjson.gz"] {
        let (status, out, err) =
            run(&folder, &format!("$FRESHET run --events 0.ndjson --dead-letters {other}")).await;
        assert_eq!(status, Some(64), "{other}: {out}{err}");
    }
    assert_eq!(std::fs::read_to_string(at("freshet.toml")).unwrap(), config);
    assert!(!at("new.ndjson.gz").exists());
    assert_eq!(world.state("acme")["activities"], json!([]));
}

#[tokio::test]
async fn dead_letters_are_taken_back_as_they_are() {
    let world = World::of_two().await;
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("freshet.toml"), world.config_at(world.vhost.url(), "feed")).unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut keyed = nameless(0);
    keyed["writeKey"] = json!("a");
    // Letters as `dead-letters export` and other programs may write them: the account stands in the headers, or in the
    // routing key of one that RabbitMQ made. And events that only look like letters.
    let exported = [
        json!({"headers": {"freshet-account": "acme", "freshet-replays": 2, "tenant": "t"},
               "properties": {"message_id": "p-1"}, "routing_key": "acme.rejected", "body": nameless(1)}),
        json!({"headers": {"freshsales-account": "globex"}, "body": track(0, 2)}),
        json!({"headers": {"x-death": []}, "routing_key": "globex.delivery_limit", "body": track(0, 3)}),
        json!({"headers": {"freshet-account": "nobody"}, "body": track(0, 4)}),
    ];
    let mut like_a_letter = track(0, 5);
    like_a_letter["writeKey"] = json!("g");
    like_a_letter["headers"] = json!({"freshet-account": "acme"});
    like_a_letter["body"] = json!({"type": "track"});
    let lines: Vec<String> = exported.iter().chain([&keyed, &like_a_letter]).map(Value::to_string).collect();
    std::fs::write(at("mixed.ndjson"), lines.join("\r\n")).unwrap();
    let (status, out, err) =
        run(&folder, "$FRESHET run --events mixed.ndjson --dead-letters first.ndjson").await;
    assert_eq!(status, Some(0), "{out}{err}");
    assert_eq!(arrived(&world.state("globex"))["contact.0@example.com"], [2, 3, 5]);
    assert_eq!(world.state("acme")["activities"], json!([]));

    let (status, out, err) =
        run(&folder, "$FRESHET run --events first.ndjson --dead-letters second.ndjson").await;
    assert_eq!(status, Some(0), "{out}{err}");
    for (file, ahead) in [("first.ndjson", 0), ("second.ndjson", 1)] {
        let mut found = letters(&folder, file);
        found.sort_by_key(|letter| letter["body"]["properties"]["number"].as_u64());
        let shown: Vec<_> = found
            .iter()
            .map(|letter| {
                let headers = &letter["headers"];
                (&letter["body"], &headers["freshet-account"], headers["freshet-replays"].as_i64().unwrap())
            })
            .collect();
        let null = Value::Null;
        let acme = json!("acme");
        assert_eq!(
            shown,
            [
                (&keyed, &acme, ahead),
                (&exported[0]["body"], &acme, 3 + ahead),
                (&exported[3]["body"], &null, 1 + ahead)
            ],
            "{file}"
        );
        assert_eq!(found[1]["headers"]["tenant"], "t", "what the sender said stays");
        assert_eq!(found[1]["headers"]["freshet-reason"], "invalid_event");
        assert_eq!(found[1]["properties"]["message_id"], "p-1");
        assert_eq!(found[1]["routing_key"], "acme.invalid_event");
        assert_eq!(found[2]["routing_key"], "_unrouted.unknown_account");
    }
}

#[tokio::test]
async fn a_file_of_dead_letters_can_be_published() {
    let (world, folder) = stage().await;
    let letter = |number: usize, event: Value| {
        json!({"headers": {"freshet-account": "acme", "freshet-replays": 1, "freshet-reason": "rejected",
               "tenant": format!("t-{number}")}, "properties": {}, "routing_key": "acme.rejected", "body": event})
    };
    let lines = format!("{}\n{}\n{}\n", letter(0, track(0, 0)), letter(1, nameless(1)), track(0, 2));
    std::fs::write(folder.path().join("dead.ndjson"), lines).unwrap();
    let (status, out, err) = run(&folder, "$FRESHET publish dead.ndjson").await;
    assert_eq!(status, Some(0), "{out}{err}");
    let says = format!("1 event on {} and 2 back in the accounts' lanes", world.queue());
    assert!(out.contains(&says), "{out}");
    world.expect(3);
    let replica = world.start("one").await;
    world.settled(&[&replica]).await;
    assert_eq!(arrived(&world.state("acme"))["contact.0@example.com"], [0, 2]);
    let dead = world.dead_letters(1).await;
    assert_eq!(crate::support::header(&dead[0], "tenant").as_deref(), Some("t-1"));
    assert_eq!(crate::support::header(&dead[0], "freshet-reason").as_deref(), Some("invalid_event"));
    let replays = dead[0].properties.headers().as_ref().unwrap().inner().get("freshet-replays").cloned();
    assert_eq!(replays, Some(lapin::types::AMQPValue::LongLongInt(2)));
    world.finish([replica]).await;
}

#[tokio::test]
async fn lines_that_are_no_json_are_published_and_told_of() {
    let (world, folder) = stage().await;
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("mixed.ndjson", format!("{}\nno event\n\n", track(0, 0)));
    write("spread.json", "{\n  \"type\": \"track\",\n  \"event\": \"Ordered\"\n}\n".to_owned());
    let mut told = String::new();
    for file in ["mixed.ndjson", "spread.json"] {
        let (status, out, err) = run(&folder, &format!("$FRESHET publish {file}")).await;
        told += &format!("$ freshet publish {file}\n{out}{err}exit status {status:?}\n")
            .replace(&format!("on {}", world.queue()), "on Q");
    }
    insta::assert_snapshot!("told_of_malformed_lines", told);
    world.expect(6);
    let replica = world.start("one").await;
    world.settled(&[&replica]).await;
    let dead = world.dead_letters(5).await;
    for letter in &dead {
        assert_eq!(crate::support::header(letter, "freshet-reason").as_deref(), Some("malformed_json"));
    }
    world.finish([replica]).await;
}

#[tokio::test]
async fn standard_input_that_is_cut_off_by_a_stop_is_no_success() {
    let (world, folder) = stage().await;
    let pipe = folder.path().join("pipe");
    assert_eq!(run(&folder, "mkfifo pipe").await.0, Some(0));
    // Both ends, so that neither the opening nor the reading waits for the other or comes to an end.
    let mut writer = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    writer.write_all(tracks(0..3).as_bytes()).unwrap();
    let script = format!("exec \"$FRESHET\" run --events - < '{}'", pipe.display());
    let config = world.config_at(world.vhost.url(), "feed");
    let mut feed = Freshet::start_script(&script, &config, &World::environment());
    soon("what was written is delivered", async || {
        arrived(&world.state("acme")).get("contact.0@example.com").is_some_and(|numbers| numbers.len() == 3)
    })
    .await;
    feed.signal("TERM");
    let status = feed.exit().await;
    assert_eq!(status.code(), Some(1), "{}", feed.log());
    assert!(
        feed.log().contains("the 3 events read are settled, and what comes after them was not read"),
        "{}",
        feed.log()
    );
    assert!(feed.log().contains("3 events read"), "{}", feed.log());
}

#[tokio::test]
async fn a_packed_file_that_is_cut_off_anywhere_is_no_success() {
    let (world, folder) = stage().await;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(tracks(0..3).as_bytes()).unwrap();
    let whole = packed.finish().unwrap();
    let cut = |length: usize| {
        std::fs::write(folder.path().join("cut.ndjson.gz"), &whole[..length]).unwrap();
    };
    for length in [0, 1, 9, 10, 11, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        cut(length);
        let (status, out, err) = run(&folder, "$FRESHET run --events cut.ndjson.gz").await;
        assert_eq!(status, Some(1), "{length} of {}: {out}{err}", whole.len());
        assert!(err.contains("cannot read on after line"), "{length}: {err}");
        assert!(err.contains(" events read ") || err.contains("no event was read"), "{length}: {err}");
        assert!(out.contains("read\n"), "{length}: it says what became of the others: {out}");
    }
    cut(whole.len());
    assert_eq!(run(&folder, "$FRESHET run --events cut.ndjson.gz").await.0, Some(0));
    // The second part of a file that was made of two, cut off.
    let mut twice = whole.clone();
    twice.extend_from_slice(&whole[..whole.len() / 2]);
    std::fs::write(folder.path().join("cut.ndjson.gz"), &twice).unwrap();
    assert_eq!(run(&folder, "$FRESHET run --events cut.ndjson.gz").await.0, Some(1));
    assert!(arrived(&world.state("acme"))["contact.0@example.com"].contains(&2));
}

#[tokio::test]
async fn that_no_dead_letters_are_kept_is_said_before_the_start() {
    let (_world, folder) = stage().await;
    std::fs::write(folder.path().join("events.ndjson"), tracks(0..1)).unwrap();
    for (option, said) in [("", true), (" --dead-letters new.ndjson", false)] {
        let (status, out, err) = run(&folder, &format!("$FRESHET run --events events.ndjson{option}")).await;
        assert_eq!(status, Some(0), "{out}{err}");
        assert_eq!(err.contains("will be counted and not kept"), said, "{err}");
    }
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_written_is_no_success() {
    let (world, folder) = stage().await;
    let text = tracks(0..1) + &format!("{}\n", nameless(1));
    std::fs::write(folder.path().join("events.ndjson"), text).unwrap();
    let missing = "cannot write dead letters to no/such/folder";
    let full = "1 of the 2 events read were not settled";
    for (command, status, says) in [
        ("$FRESHET run --events events.ndjson --dead-letters /dev/full", 1, full),
        ("$FRESHET run --events events.ndjson --dead-letters /dev/stdout > /dev/full", 1, full),
        // A reader that is gone.
        (
            "{ $FRESHET run --events events.ndjson --dead-letters /dev/stdout; echo $? > status; } | true; exit $(cat status)",
            1,
            full,
        ),
        ("ulimit -f 0; trap '' XFSZ; $FRESHET run --events events.ndjson --dead-letters new", 1, full),
        ("$FRESHET run --events events.ndjson --dead-letters no/such/folder", 1, missing),
        ("$FRESHET run --events events.ndjson --dead-letters .", 1, "cannot write dead letters to ."),
    ] {
        let (ended, out, err) = run(&folder, command).await;
        assert_eq!(ended, Some(status), "{command}: {out}{err}");
        assert!(err.contains(says), "{command}: {err}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("new")).unwrap(), "");
    assert!(arrived(&world.state("acme")).contains_key("contact.0@example.com"), "the others go on");
}

#[tokio::test]
async fn a_summary_that_cannot_be_written_is_told_on_standard_error() {
    let (world, folder) = stage().await;
    std::fs::write(folder.path().join("events.ndjson"), tracks(0..1)).unwrap();
    let (status, out, err) = run(&folder, "$FRESHET run --events events.ndjson > /dev/full").await;
    assert_eq!(status, Some(1), "{out}{err}");
    assert!(err.contains("every event is settled") && !err.contains("panicked"), "{err}");
    // A reader that closes the pipe has read enough.
    let gone = "{ $FRESHET run --events events.ndjson; echo $? > status; } | true; exit $(cat status)";
    let (status, out, err) = run(&folder, gone).await;
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    let closed = "$FRESHET run --events missing.ndjson 2>&-";
    assert_eq!(run(&folder, closed).await.0, Some(1), "a failure that cannot be printed is one all the same");
    assert!(arrived(&world.state("acme")).contains_key("contact.0@example.com"));
}

#[tokio::test]
async fn no_command_panics_where_nobody_reads_what_it_says() {
    let (_world, folder) = stage().await;
    for command in ["demo", "completions bash"] {
        let gone = format!("{{ $FRESHET {command}; echo $? > status; }} | true; exit $(cat status)");
        let (status, out, err) = run(&folder, &gone).await;
        assert_eq!(status, Some(0), "{command}: {out}{err}");
        assert!(!err.contains("panicked"), "{command}: {err}");
    }
    for command in ["demo", "completions bash", "sandbox --listen 127.0.0.1:0"] {
        let (status, out, err) = run(&folder, &format!("$FRESHET {command} > /dev/full")).await;
        assert_eq!(status, Some(1), "{command}: {out}{err}");
        assert!(err.contains("cannot write to standard output"), "{command}: {err}");
    }
}

#[tokio::test]
async fn events_that_cannot_be_read_on_are_no_success() {
    let (_world, folder) = stage().await;
    for (command, says) in [
        ("$FRESHET run --events .", "cannot read the events in .: is a directory"),
        ("$FRESHET publish .", "cannot read the events in .: is a directory"),
        ("$FRESHET run --events - < .", "cannot read the events in -: is a directory"),
        ("$FRESHET run --events - 0> new", "cannot read"),
    ] {
        let (status, out, err) = run(&folder, command).await;
        assert_eq!(status, Some(1), "{command}: {out}{err}");
        assert!(err.contains(says), "{command}: {err}");
    }
    assert!(File::open(Path::new(folder.path()).join("new")).is_ok());
}

#[tokio::test]
async fn a_line_may_hold_a_batch_an_envelope_or_a_packed_letter() {
    let (world, folder) = stage().await;
    let at = |name: &str| folder.path().join(name);
    let numbered =
        |numbers: std::ops::Range<usize>| numbers.map(|number| track(0, number)).collect::<Vec<_>>();
    // More than are ever on their way together.
    let array = json!(numbered(0..1000)).to_string();
    let mut batch = json!({"batch": numbered(1000..1002), "context": {"ip": "127.0.0.1"}});
    batch["batch"].as_array_mut().unwrap().extend([nameless(7), json!(8)]);
    let wrapped = json!({"payload": track(0, 1002)});
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(json!([track(0, 1003), nameless(9)]).to_string().as_bytes()).unwrap();
    let body = STANDARD.encode(packer.finish().unwrap());
    let letter = json!({"headers": {}, "properties": {"content_encoding": "gzip"}, "body_base64": body});
    let empty = r#"{"batch":[]}"#;
    let text = format!("{array}\n{batch}\n{wrapped}\n{letter}\n{empty}\n[{array}]\n");
    std::fs::write(at("events.ndjson"), text).unwrap();
    let command =
        "FRESHET_BROKER_UNWRAP=payload $FRESHET run --events events.ndjson --dead-letters dead.ndjson";
    let (status, out, err) = run(&folder, command).await;
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(out.contains("1009 events read"), "{out}");
    let wanted: Vec<u64> = (0..1004).collect();
    assert_eq!(arrived(&world.state("acme"))["contact.0@example.com"], wanted, "in order");

    let dead = letters(&folder, "dead.ndjson");
    let mut merged = nameless(7);
    merged["context"] = json!({"ip": "127.0.0.1"});
    let mut bodies = HashMap::new();
    for letter in &dead {
        let body = letter.get("body").cloned().unwrap_or_else(|| {
            let bytes = STANDARD.decode(letter["body_base64"].as_str().unwrap()).unwrap();
            serde_json::from_slice(&bytes).unwrap()
        });
        bodies.insert(body.to_string(), letter["headers"]["freshet-reason"].as_str().unwrap().to_owned());
        assert_eq!(letter["properties"], json!({}), "what is taken out of a packed batch is not packed");
    }
    let expected = [
        (merged, "invalid_event"),
        (json!(8), "malformed_json"),
        (nameless(9), "invalid_event"),
        (json!({"batch": []}), "invalid_event"),
        (serde_json::from_str(&array).unwrap(), "malformed_json"),
    ];
    for (body, reason) in &expected {
        assert_eq!(bodies.get(&body.to_string()).map(String::as_str), Some(*reason));
    }
    assert_eq!(dead.len(), expected.len());
}

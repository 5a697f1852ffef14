use proptest::prelude::*;

use super::*;
use crate::fleet::samples::{lane, replica};

fn lanes(count: usize) -> Vec<LaneReport> {
    (0..count).map(|number| lane(&format!("account-{number}"))).collect()
}

#[test]
fn every_message_is_small_enough_however_many_lanes_there_are_and_together_they_tell_all() {
    for count in [0, 1, 7, 500, 3000] {
        let told = lanes(count);
        let messages = write(&replica("one"), None, &told, false);
        assert!(messages.iter().all(|body| body.len() <= LARGEST), "{count}");
        let read: Vec<LaneReport> =
            messages.iter().flat_map(|body| read(body).unwrap().lanes).map(|(report, _)| report).collect();
        assert_eq!(read, told);
    }
}

#[test]
fn what_a_newer_version_adds_is_ignored_and_a_line_that_cannot_be_read_costs_only_itself() {
    let body = br#"{"schema_version": 1, "new": [1], "replica": {"name": "two", "since": "2026-01-01T00:00:00Z", "x": 1},
        "lanes": [{"account": "acme", "state": "flowing", "since": "2026-01-01T00:00:00Z", "more": {}},
                  {"account": "globex", "state": "levitating", "since": "2026-01-01T00:00:00Z"},
                  {"account": "<script>", "state": "flowing", "since": "2026-01-01T00:00:00Z"}, 7, null]}"#;
    let message = read(body).unwrap();
    assert_eq!(message.replica.name, "two");
    let accounts: Vec<&str> = message.lanes.iter().map(|(report, _)| report.account.as_str()).collect();
    assert_eq!(accounts, ["acme"]);
}

#[test]
fn hostile_messages_are_refused_or_cut() {
    let bomb = packed(vec![b' '; 50 * 1024 * 1024]);
    assert!(bomb.len() > LARGEST || matches!(read(&bomb), Err(MessageError::TooLarge)));
    let bomb = packed(vec![b' '; 3 * 1024 * 1024]);
    assert!(bomb.len() < LARGEST && matches!(read(&bomb), Err(MessageError::TooLarge)));
    assert!(matches!(read(&vec![b' '; LARGEST + 1]), Err(MessageError::TooLarge)));
    assert!(matches!(read(&[0x1f, 0x8b, 1, 2, 3]), Err(MessageError::Malformed(_))));
    for nonsense in [&b""[..], b"7", b"[]", b"{}", b"null", b"\xff\xfe", &b"[".repeat(100_000)] {
        assert!(matches!(read(nonsense), Err(MessageError::Malformed(_))), "{nonsense:?}");
    }
    let named = |name: &str| {
        let name = serde_json::to_string(name).unwrap();
        read(
            format!(r#"{{"schema_version":1,"replica":{{"name":{name},"since":"2026-01-01T00:00:00Z"}}}}"#)
                .as_bytes(),
        )
    };
    assert!(named("worker-0").is_ok());
    for name in ["", "a\nb", "\u{1b}[31m", &"x".repeat(256)] {
        assert!(matches!(named(name), Err(MessageError::Name)), "{name:?}");
    }
    let other = br#"{"schema_version":2,"replica":{"name":"a","since":"2026-01-01T00:00:00Z"}}"#;
    assert!(matches!(read(other), Err(MessageError::Version(2))));
    let mut long = lane("acme");
    long.why = "ä".repeat(5000);
    long.total.dead_lettered = (0..5000).map(|number| (format!("reason-{number}"), 1)).collect();
    let details = long.details.as_mut().unwrap();
    details.history = vec![details.history[0].clone(); 500];
    details.failures = vec![details.failures[0].clone(); 500];
    details.failures[0].problem = "x".repeat(5000);
    let (read, _) = write(&replica("one"), None, &[long], false)
        .iter()
        .flat_map(|body| read(body).unwrap().lanes)
        .next()
        .unwrap();
    assert_eq!(read.why.chars().count(), TEXT);
    assert_eq!(read.total.dead_lettered.len(), ENTRIES);
    let details = read.details.unwrap();
    assert_eq!((details.history.len(), details.failures.len()), (HISTORY, FAILURES));
    assert_eq!(details.failures[0].problem.len(), TEXT);
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&body).ok();
        let mut zipped = GZIP.to_vec();
        zipped.extend(&body);
        read(&zipped).ok();
        read(&packed(body)).ok();
    }

    #[test]
    fn a_message_with_one_byte_changed_is_read_or_refused(at in 0..10_000_usize, byte in any::<u8>()) {
        let wire = WireOut {
            schema_version: SCHEMA_VERSION,
            replica: &replica("one"),
            queues: None,
            lanes: &[serde_json::value::to_raw_value(&lane("acme")).unwrap()],
            leaves: false,
        };
        let mut body = serde_json::to_vec(&wire).unwrap();
        let at = at % body.len();
        body[at] = byte;
        read(&body).ok();
    }
}

//! Being told to slow down, and the lane's own limits.

use std::time::Duration;

use freshet::freshsales::HttpTransport;
use freshet::lane::{BackoffSettings, LaneState};
use freshet::outcome::Outcome;
use jiff::Timestamp;
use serde_json::json;

use crate::front::{Front, Odd};
use crate::rig::{Account, Rig, Setup, Source, called, identify, track};
use crate::support::soon;

/// The gap in the log after the first call that was answered so, in milliseconds.
fn gap_after(log: &[(u64, String)], status: &str) -> u64 {
    let at = log.iter().position(|(_, answered)| answered == status).unwrap();
    log[at + 1].0 - log[at].0
}

#[tokio::test]
async fn retry_after_in_seconds_is_waited_out() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    let action = json!({"status": 429, "headers": {"retry-after": "2"}});
    rig.faults(json!({"endpoint": "contacts_upsert", "action": action, "next": 1})).await;
    source.send(identify("m", "ada@example.com", json!({}))).await;
    assert_eq!(source.outcomes().await, [Outcome::Delivered]);
    let log = rig.log("contacts_upsert");
    assert!(gap_after(&log, "429") >= 1990, "{log:?}");
    rig.finish(source).await;
}

#[tokio::test]
async fn retry_after_as_a_date_is_waited_out() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    source.send(identify("warm", "zoe@example.com", json!({}))).await;
    source.settled().await;
    let date = Timestamp::from_second(Timestamp::now().as_second() + 4).unwrap();
    let text = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let action = json!({"status": 429, "headers": {"retry-after": text}});
    rig.faults(json!({"endpoint": "contacts_upsert", "action": action, "next": 1})).await;
    source.send(identify("m", "ada@example.com", json!({}))).await;
    source.settled().await;
    assert!(Timestamp::now() >= date);
    rig.finish(source).await;
}

#[tokio::test]
async fn an_answer_that_was_under_way_does_not_cut_a_wait_short() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    source.send(identify("warm", "zoe@example.com", json!({}))).await;
    source.settled().await;
    // Two calls go together: one is told to stay away for two seconds, the other succeeds a little later.
    rig.faults(json!([
        {"endpoint": "contacts_upsert", "action": {"status": 429, "headers": {"retry-after": "2"}}, "next": 1},
        {"endpoint": "contacts_upsert", "action": {"delay_ms": 300}, "next": 1}
    ]))
    .await;
    for number in 0..2 {
        source.send(identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({}))).await;
    }
    for _ in 0..2 {
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    }
    let log = rig.log("contacts_upsert");
    let throttled = log.iter().find(|(_, status)| status == "429").unwrap().0;
    let last = log.last().unwrap().0;
    assert!(last - throttled >= 1990, "{log:?}");
    rig.finish(source).await;
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it_from_every_call() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    source.send(identify("warm", "zoe@example.com", json!({}))).await;
    source.settled().await;
    let action = json!({"status": 503, "headers": {"retry-after": "2"}});
    rig.faults(json!({"endpoint": "contacts_upsert", "action": action, "next": 1})).await;
    source.send(identify("m0", "c0@example.com", json!({}))).await;
    called(&rig, "contacts_upsert", 2).await;
    soon("the state", async || rig.board.view().why.contains("503")).await;
    source.send(identify("m1", "c1@example.com", json!({}))).await;
    for _ in 0..2 {
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    }
    let log = rig.log("contacts_upsert");
    assert!(gap_after(&log, "503") >= 1990, "{log:?}");
    rig.finish(source).await;
}

#[tokio::test]
async fn a_wait_of_nothing_is_no_licence_to_hammer() {
    for headers in [
        json!({"retry-after": "0"}),
        json!({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}),
        json!({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}),
    ] {
        let wait = (Duration::from_millis(300), Duration::from_millis(300));
        let patience = BackoffSettings { throttled: wait, ..Setup::default().patience };
        let rig = Rig::with(Setup { patience, ..Setup::default() }).await;
        let mut source = rig.session().await;
        let action = json!({"status": 429, "headers": headers});
        rig.faults(json!({"endpoint": "contacts_upsert", "action": action, "next": 4})).await;
        source.send(identify("m", "ada@example.com", json!({}))).await;
        assert_eq!(source.outcomes().await, [Outcome::Delivered]);
        let log = rig.log("contacts_upsert");
        for pair in log.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= 190, "{headers}: {log:?}");
        }
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn calls_refused_together_count_as_one_refusal() {
    // Were each of the eight to double the wait, the last would wait for a minute and more.
    let wait = (Duration::from_millis(500), Duration::from_hours(1));
    for status in [429, 401] {
        let patience = BackoffSettings { throttled: wait, unauthorized: wait, ..Setup::default().patience };
        let rig = Rig::with(Setup { patience, ..Setup::default() }).await;
        let mut source = rig.session().await;
        source.send(identify("warm", "zoe@example.com", json!({}))).await;
        source.settled().await;
        rig.faults(json!({"endpoint": "contacts_upsert", "action": {"status": status}, "next": 8})).await;
        for number in 0..8 {
            source.send(identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({}))).await;
        }
        for _ in 0..8 {
            let settled = tokio::time::timeout(Duration::from_secs(25), source.settled()).await;
            assert_eq!(settled.expect("the wait grew with every answer").outcome, Outcome::Delivered);
        }
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn waiting_for_quota_is_counted_while_it_lasts() {
    let wait = (Duration::from_mins(2), Duration::from_mins(2));
    let patience = BackoffSettings { throttled: wait, ..Setup::default().patience };
    let mut rig = Rig::with(Setup { patience, ..Setup::default() }).await;
    let mut source = rig.session().await;
    rig.faults(json!({"endpoint": "contacts_upsert", "action": {"status": 429}, "next": 1})).await;
    source.send(identify("m", "ada@example.com", json!({}))).await;
    called(&rig, "contacts_upsert", 1).await;
    // Others join and leave the wait; it never ends as a whole.
    let mut number = 0;
    soon("the count", async || {
        number += 1;
        source.send(identify(&format!("n{number}"), &format!("c{number}@example.com"), json!({}))).await;
        rig.sum("freshet_quota_wait_seconds_total", &[]) > 0.0
    })
    .await;
    rig.stopped().await;
}

#[tokio::test]
async fn a_used_up_hour_is_reported() {
    let account = Account::start(1_000_000).await;
    let front = Front::before(account.address).await;
    let url = Some(format!("http://{}", front.address));
    let mut rig = Rig::before(account, Setup { concurrency: 2, url, ..Setup::default() });
    let mut source = rig.session().await;
    let body = r#"{"contact":{"id":1}}"#;
    let last = format!(
        "HTTP/1.1 200 OK\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 900\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    front.odd("/api/contacts/upsert", Odd::Bytes(last.into_bytes()));
    source.send(identify("m0", "c0@example.com", json!({}))).await;
    source.settled().await;
    source.send(identify("m1", "c1@example.com", json!({}))).await;
    soon("the state", async || rig.board.view().state == LaneState::Throttled).await;
    assert!(rig.board.view().why.contains("no calls are left"), "{}", rig.board.view().why);
    rig.stopped().await;
}

#[tokio::test]
async fn no_hour_sees_more_calls_than_the_quota() {
    // A burst of a quarter, and one call every two minutes.
    let rig = Rig::with(Setup { requests_per_hour: 40, ..Setup::default() }).await;
    let started = tokio::time::Instant::now();
    let mut source = rig.session().await;
    for number in 0..60 {
        let company = json!({"company": {"name": format!("Company {number}")}});
        source.send(identify(&format!("m{number}"), &format!("c{number}@example.com"), company)).await;
    }
    let total = || rig.state()["total_requests"].as_u64().unwrap();
    soon("the burst", async || total() >= 11).await;
    let (total, elapsed) = (f64::from(u32::try_from(total()).unwrap()), started.elapsed().as_secs_f64());
    assert!(total <= 11.0 + (elapsed / 120.0).ceil(), "{total} calls in {elapsed} s");
    source.lost.cancel();
    for _ in 0..60 {
        source.settled().await;
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn no_more_calls_are_in_flight_than_allowed() {
    const DELAY_MS: u64 = 120;
    for concurrency in [1, 3] {
        let rig = Rig::with(Setup { concurrency, ..Setup::default() }).await;
        let mut source = rig.session().await;
        rig.faults(json!({"endpoint": "*", "action": {"delay_ms": DELAY_MS}})).await;
        for number in 0..12 {
            source.send(identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({}))).await;
            source.send(track(&format!("t{number}"), &format!("d{number}@example.com"), "Came")).await;
        }
        for outcome in source.outcomes().await {
            assert_eq!(outcome, Outcome::Delivered);
        }
        // The log notes when calls ended. Each lasted for the delay at least, so that many that end within it overlapped.
        let state = rig.state();
        let ends: Vec<u64> =
            state["log"].as_array().unwrap().iter().map(|entry| entry["at_ms"].as_u64().unwrap()).collect();
        for (index, end) in ends.iter().enumerate() {
            let overlapping = ends[..index].iter().filter(|other| end - **other < DELAY_MS - 10).count();
            assert!(overlapping < concurrency, "{} calls at once", overlapping + 1);
        }
        rig.finish(source).await;
    }
}

/// Two accounts on one host, both of which have delivered.
async fn on_one_host() -> [(Rig, Source); 2] {
    let transport = HttpTransport::new(Duration::from_secs(10)).unwrap();
    let one = Rig::with(Setup { transport: Some(transport.clone()), ..Setup::default() }).await;
    let url = Some(format!("http://{}", one.account.address));
    let other = Rig::with(Setup { transport: Some(transport), url, ..Setup::default() }).await;
    let mut both = Vec::new();
    for rig in [one, other] {
        let mut source = rig.session().await;
        source.send(identify("warm", "zoe@example.com", json!({}))).await;
        source.send(track("warm-t", "zoe@example.com", "Seen")).await;
        assert_eq!(source.outcomes().await, [Outcome::Delivered, Outcome::Delivered]);
        both.push((rig, source));
    }
    both.try_into().unwrap_or_else(|_| panic!("two rigs"))
}

#[tokio::test]
async fn a_gateway_s_wait_of_minutes_is_heard_by_all_accounts_on_its_host() {
    let [(one, mut source), (other, mut other_source)] = on_one_host().await;
    let action = json!({"status": 429, "headers": {"retry-after": "300"}, "body": "<html>slow down</html>"});
    one.faults(json!({"endpoint": "contacts_upsert", "containing": "ada@", "action": action, "next": 1}))
        .await;
    source.send(identify("m", "ada@example.com", json!({}))).await;
    soon("the wait", async || one.board.view().state == LaneState::Throttled).await;
    let asked = || one.state()["total_requests"].as_u64().unwrap();
    let before = asked();
    source.send(track("t", "bob@example.com", "Seen")).await;
    other_source.send(identify("m", "carl@example.com", json!({}))).await;
    other_source.send(track("t", "dora@example.com", "Seen")).await;
    soon("the other one waits, too", async || other.board.view().why.contains("gateway")).await;
    soon("all is taken", async || other.sum("freshet_events_received_total", &[]) == 4.0).await;
    // Just before it is over.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(290)).await;
    tokio::time::resume();
    assert_eq!(asked(), before, "a call went to the host");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    for source in [&mut source, &mut other_source] {
        for _ in 0..2 {
            assert_eq!(source.settled().await.outcome, Outcome::Delivered);
        }
    }
    assert_eq!(other.board.view().state, LaneState::Flowing);
    one.finish(source).await;
    other.finish(other_source).await;
}

#[tokio::test]
async fn an_account_s_own_limit_is_its_own_also_where_others_are_on_its_host() {
    let [(mut one, mut source), (other, mut other_source)] = on_one_host().await;
    let headers = json!({"retry-after": "300", "x-ratelimit-remaining": "0", "x-ratelimit-limit": "1000"});
    let action = json!({"status": 429, "headers": headers});
    one.faults(json!({"endpoint": "contacts_upsert", "containing": "ada@", "action": action, "next": 1}))
        .await;
    source.send(identify("m", "ada@example.com", json!({}))).await;
    soon("the wait", async || one.board.view().state == LaneState::Throttled).await;
    source.send(track("t", "bob@example.com", "Seen")).await;
    other_source.send(identify("m", "carl@example.com", json!({}))).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    assert_eq!(other_source.settled().await.outcome, Outcome::Delivered);
    other.finish(other_source).await;
    one.stopped().await;
}

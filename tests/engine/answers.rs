//! Answers that are one record's fault or everybody's: firewalls, proxies, renamed accounts, missing rights.

use std::time::Duration;

use freshet::lane::{BackoffSettings, LaneState};
use freshet::outcome::{Outcome, Refusal};
use serde_json::{Value, json};

use crate::rig::{Rig, Setup, Source, called, identify, reason, track};
use crate::support::soon;

const PAGE: &str = "<!DOCTYPE html><html><title>Nothing to see here</title></html>";

fn refusal(outcome: &Outcome) -> &Refusal {
    match outcome {
        Outcome::DeadLetter(refusal) => refusal,
        other @ (Outcome::Delivered | Outcome::Skipped(_) | Outcome::Returned) => panic!("{other:?}"),
    }
}

/// Hands over an event and waits until it is delivered.
async fn delivered(source: &mut Source, event: Value) {
    source.send(event).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
}

/// How many calls wrote records.
fn records_sent(rig: &Rig) -> usize {
    let endpoints = ["contacts_upsert", "contacts_bulk_upsert", "sales_accounts_upsert", "deals_create"];
    endpoints.iter().map(|endpoint| rig.calls(endpoint)).sum()
}

/// Calls that are sent before the lane knows that none gets through: those in flight then, and those sent when the first
/// were answered.
const ON_THEIR_WAY: usize = 30;

#[tokio::test]
async fn a_web_page_to_every_call_dead_letters_nothing_and_is_reported() {
    for (status, told) in [
        (404, "a web page with status 404: was the account renamed?"),
        (410, "a web page with status 410: was the account renamed?"),
        (400, "a web page with status 400: does a proxy stand in the way?"),
        (403, "a web page with status 403: does a firewall or a proxy stand in the way?"),
        (200, "a web page with status 200: is it a sign-in or maintenance page?"),
    ] {
        for warm in [false, true] {
            let rig = Rig::start().await;
            let mut source = rig.session().await;
            if warm {
                delivered(&mut source, identify("warm", "zoe@example.com", json!({}))).await;
            }
            rig.faults(json!({"endpoint": "*", "action": {"status": status, "body": PAGE}})).await;
            for number in 0..100 {
                let company = json!({"company": {"name": format!("Company {number}")}});
                source
                    .send(identify(&format!("m{number}"), &format!("c{number}@example.com"), company))
                    .await;
            }
            soon("the words", async || rig.board.view().why.contains(told)).await;
            called(&rig, "deals_fields", 8).await;
            assert!(records_sent(&rig) <= ON_THEIR_WAY, "{status}: {} records", records_sent(&rig));
            assert!(source.try_settled().is_none(), "{status}");
            if warm {
                assert_eq!(rig.board.view().state, LaneState::Retrying);
            }
            rig.mend().await;
            for _ in 0..100 {
                assert_eq!(source.settled().await.outcome, Outcome::Delivered, "{status}");
            }
            soon("the state", async || rig.board.view().state == LaneState::Flowing).await;
            rig.finish(source).await;
        }
    }
}

#[tokio::test]
async fn a_firewall_that_blocks_one_record_stops_no_other() {
    for action in [
        json!({"status": 403, "body": PAGE}),
        json!({"status": 404, "body": PAGE}),
        json!({"status": 406, "body": "Not Acceptable"}),
        json!({"status": 400}),
        json!({"status": 302, "headers": {"location": "/blocked"}}),
        json!({"status": 403, "body": {"errors": {"message": "x"}}, "headers": {"content-type": "text/html"}}),
        json!({"status": 200, "body": PAGE}),
    ] {
        let rig = Rig::start().await;
        let mut source = rig.session().await;
        delivered(&mut source, identify("warm", "zoe@example.com", json!({}))).await;
        rig.faults(json!({"endpoint": "*", "containing": "<script>", "action": action})).await;
        let hostile = source.send(identify("bad", "ada@example.com", json!({"firstName": "<script>"}))).await;
        let behind = source.send(identify("behind", "ada@example.com", json!({"lastName": "L"}))).await;
        let mut held = vec![hostile, behind];
        for number in 0..40 {
            let event = match number % 2 {
                0 => identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({})),
                _ => track(&format!("m{number}"), &format!("c{number}@example.com"), "Came"),
            };
            source.send(event).await;
        }
        for _ in 0..42 {
            let settled = source.settled().await;
            if settled.tag == hostile {
                let refusal = refusal(&settled.outcome);
                assert_eq!(refusal.reason.as_str(), "rejected", "{action}");
                assert_eq!(refusal.http_status, action["status"].as_u64().and_then(|s| s.try_into().ok()));
                let problem = &refusal.problems[0].problem;
                assert!(problem.contains("each time, while others got through"), "{problem}");
                assert!(settled.attempts >= 4, "{action}: {}", settled.attempts);
                held.retain(|tag| *tag != hostile);
            } else {
                assert_eq!(settled.outcome, Outcome::Delivered, "{action}");
                assert!(settled.tag != behind || !held.contains(&hostile), "{action}: overtaken");
            }
        }
        assert_eq!(rig.contact("ada@example.com")["last_name"], "L", "{action}");
        assert_eq!(rig.board.view().state, LaneState::Flowing, "{action}");
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn an_activity_that_a_firewall_blocks_stops_no_other() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    rig.faults(json!({"endpoint": "*", "containing": "<script>", "action": {"status": 403, "body": PAGE}}))
        .await;
    let hostile = source.send(track("bad", "ada@example.com", "<script>")).await;
    for number in 0..20 {
        source.send(track(&format!("m{number}"), &format!("c{number}@example.com"), "Came")).await;
    }
    let outcomes = source.outcomes().await;
    for (tag, outcome) in outcomes.iter().enumerate() {
        let expected = if tag as u64 == hostile { "rejected" } else { "(delivered)" };
        assert_eq!(reason(outcome), expected);
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn a_sign_in_page_with_a_byte_order_mark_does_not_count_as_an_accepted_activity() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    let page = format!("\u{feff}\r\n{PAGE}");
    rig.faults(json!({"endpoint": "track_events", "action": {"status": 200, "body": page}, "next": 2})).await;
    source.send(track("m", "ada@example.com", "Came")).await;
    soon("the words", async || rig.board.view().why.contains("sign-in") || !rig.activities().is_empty())
        .await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    assert_eq!(rig.activities(), [("ada@example.com".to_owned(), "Came".to_owned())]);
    rig.finish(source).await;
}

fn not_authorized() -> Value {
    json!({"status": 403, "body": {"errors": {"code": 403, "message": ["You are not authorized to do this."]}}})
}

fn with_deal(message: &str, email: &str) -> Value {
    identify(message, email, json!({"firstName": "Ada", "deal": {"name": "Big", "amount": 5}}))
}

#[tokio::test]
async fn a_key_without_rights_to_deals_still_delivers_contacts() {
    for fields in [false, true] {
        let rig = Rig::start().await;
        let mut source = rig.session().await;
        let mut faults = vec![json!({"endpoint": "/api/deals", "action": not_authorized()})];
        if fields {
            faults.push(json!({"endpoint": "deals_fields", "action": not_authorized()}));
        }
        rig.faults(json!(faults)).await;
        for number in 0..10 {
            source.send(identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({}))).await;
        }
        let deal = source.send(with_deal("deal", "ada@example.com")).await;
        let outcomes = source.outcomes().await;
        for (tag, outcome) in outcomes.iter().enumerate() {
            if tag as u64 == deal {
                let problem = &refusal(outcome).problems[0];
                assert_eq!(reason(outcome), "rejected");
                let expected = problem.expected.as_deref().unwrap_or_default();
                assert!(expected.contains("deal"), "{problem:?}");
            } else {
                assert_eq!(*outcome, Outcome::Delivered);
            }
        }
        assert_eq!(rig.board.view().state, LaneState::Flowing);
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn a_deal_without_rights_is_left_out_where_the_account_says_so() {
    for fields in [false, true] {
        let rig = Rig::with(Setup { settings: "invalid_value = \"omit\"", ..Setup::default() }).await;
        let mut source = rig.session().await;
        let mut faults = vec![json!({"endpoint": "/api/deals", "action": not_authorized()})];
        if fields {
            faults.push(json!({"endpoint": "deals_fields", "action": not_authorized()}));
        }
        rig.faults(json!(faults)).await;
        delivered(&mut source, with_deal("deal", "ada@example.com")).await;
        assert_eq!(rig.contact("ada@example.com")["first_name"], "Ada");
        assert_eq!(rig.sum("freshet_values_omitted_total", &[]), 1.0);
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn fields_of_deals_that_cannot_be_read_yet_keep_only_deals_waiting() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    rig.faults(json!({"endpoint": "deals_fields", "action": {"status": 500}})).await;
    for number in 0..10 {
        let company = json!({"company": {"name": "Acme"}});
        source.send(identify(&format!("m{number}"), &format!("c{number}@example.com"), company)).await;
    }
    for outcome in source.outcomes().await {
        assert_eq!(outcome, Outcome::Delivered);
    }
    source.send(with_deal("deal", "ada@example.com")).await;
    called(&rig, "deals_fields", 5).await;
    assert!(source.try_settled().is_none());
    rig.mend().await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    assert_eq!(rig.state()["deals"][0]["amount"].to_string().trim_matches('"').trim_end_matches(".0"), "5");
    rig.finish(source).await;
}

#[tokio::test]
async fn a_403_to_one_record_is_that_record_s_and_a_403_to_all_stops_the_account() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    delivered(&mut source, identify("warm", "zoe@example.com", json!({}))).await;
    rig.faults(json!({"endpoint": "*", "containing": "ada@example.com", "action": not_authorized()})).await;
    source.send(identify("bad", "ada@example.com", json!({}))).await;
    let settled = source.settled().await;
    let problem = &refusal(&settled.outcome).problems[0];
    assert_eq!(problem.problem, "Freshsales refused the contact: You are not authorized to do this.");
    assert_eq!(problem.expected.as_deref(), Some("an API key whose user may write contacts"));
    delivered(&mut source, identify("good", "bob@example.com", json!({}))).await;

    rig.mend().await;
    rig.faults(json!({"endpoint": "/api", "action": not_authorized()})).await;
    for number in 0..20 {
        let event = identify(&format!("n{number}"), &format!("d{number}@example.com"), json!({}));
        source.send(event).await;
    }
    soon("the state", async || rig.board.view().state == LaneState::Unauthorized).await;
    assert!(rig.board.view().why.contains("403: check api_key"), "{}", rig.board.view().why);
    called(&rig, "deals_fields", 5).await;
    assert!(records_sent(&rig) <= ON_THEIR_WAY, "{} records", records_sent(&rig));
    assert!(source.try_settled().is_none());
    rig.mend().await;
    for _ in 0..20 {
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn a_400_with_another_status_inside_is_handled_as_that_status() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    for (inner, outcome) in [("429", "throttled"), ("503", "server_error")] {
        let text =
            format!("UCR contact fetch failure :: response_code :: {inner} :: response :: Too many requests");
        let action = json!({"status": 400, "body": {"errors": {"message": [text]}}});
        rig.faults(json!({"endpoint": "contacts_upsert", "action": action, "next": 1})).await;
        let email = format!("c{inner}@example.com");
        delivered(&mut source, identify(inner, &email, json!({}))).await;
        let label = format!("outcome=\"{outcome}\"");
        assert_eq!(rig.sum("freshet_api_requests_total", &["endpoint=\"contact_upsert\"", &label]), 1.0);
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn a_record_that_is_throttled_alone_stops_no_other() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    rig.faults(json!({"endpoint": "*", "containing": "ada@example.com", "action": {"status": 429}})).await;
    source.send(identify("bad", "ada@example.com", json!({}))).await;
    for number in 0..20 {
        delivered(&mut source, identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({})))
            .await;
    }
    rig.mend().await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_look_up_that_returns_another_contact_counts_as_not_found() {
    for contact in [
        json!({"id": 7, "email": "somebody.else@example.com", "external_id": null}),
        json!({"id": 7, "email": "somebody.else@example.com"}),
        json!({"id": 7, "email": "somebody.else@example.com", "external_id": "u-123"}),
    ] {
        let rig = Rig::start().await;
        let mut source = rig.session().await;
        let body = json!({"contacts": {"contacts": [contact]}});
        rig.faults(json!({"endpoint": "lookup", "action": {"status": 200, "body": body}})).await;
        delivered(&mut source, track("m", "u-12", "Came")).await;
        assert_eq!(rig.activities(), [("u-12".to_owned(), "Came".to_owned())]);
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn a_record_that_never_gets_through_is_given_up_and_the_next_of_its_contact_goes_on() {
    for action in [
        json!({"status": 500}),
        json!({"status": 200, "body": "{\"contact\":{\"id\":17,\"ema"}),
        json!({"reset": true}),
    ] {
        let patience = BackoffSettings { give_up_after: Duration::from_secs(1), ..Setup::default().patience };
        let rig = Rig::with(Setup { patience, ..Setup::default() }).await;
        let mut source = rig.session().await;
        rig.faults(json!({"endpoint": "*", "containing": "Never", "action": action})).await;
        let never = source.send(identify("never", "ada@example.com", json!({"firstName": "Never"}))).await;
        called(&rig, "contacts_upsert", 2).await;
        let behind = source.send(identify("behind", "ada@example.com", json!({"lastName": "L"}))).await;
        let mut number = 0;
        let mut ended = Vec::new();
        soon("the end of both", async || {
            number += 1;
            source.send(identify(&format!("m{number}"), &format!("c{number}@example.com"), json!({}))).await;
            while let Some(settled) = source.try_settled() {
                if settled.tag == never || settled.tag == behind {
                    ended.push((settled.tag, settled.outcome));
                } else {
                    assert_eq!(settled.outcome, Outcome::Delivered);
                }
            }
            ended.len() == 2
        })
        .await;
        assert_eq!((ended[0].0, reason(&ended[0].1)), (never, "undeliverable"), "{action}");
        let said = refusal(&ended[0].1);
        assert_eq!(said.http_status.map(u64::from), action["status"].as_u64());
        assert!(said.problems[0].problem.contains("never got through while others did"), "{said:?}");
        assert_eq!(ended[1], (behind, Outcome::Delivered));
        assert_eq!(rig.contact("ada@example.com")["last_name"], "L");
        source.lost.cancel();
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn a_refusal_s_message_leaves_without_addresses_and_numbers() {
    let rig = Rig::start().await;
    let mut source = rig.session().await;
    let message =
        ["ada@example.com already exists.", "Mobile +1 926-555-9503 is taken by contact 402000049629"];
    let action = json!({"status": 400, "body": {"errors": {"code": 400, "message": message}}});
    rig.faults(json!({"endpoint": "contacts_upsert", "action": action, "next": 1})).await;
    source.send(identify("m", "ada@example.com", json!({}))).await;
    let settled = source.settled().await;
    let said: Vec<&str> = refusal(&settled.outcome).problems.iter().map(|p| p.problem.as_str()).collect();
    assert_eq!(
        said,
        [
            "Freshsales refused the contact: [e-mail] already exists.",
            "Freshsales refused the contact: Mobile [phone] is taken by contact 402000049629"
        ]
    );
    rig.finish(source).await;
}

#[tokio::test]
async fn events_that_wait_for_newer_fields_are_returned_with_their_duplicates_and_later_ones() {
    for stopped in [true, false] {
        let mut rig = Rig::start().await;
        let mut source = rig.session().await;
        delivered(&mut source, identify("warm", "zoe@example.com", json!({}))).await;
        let action = json!({"status": 403, "body": PAGE});
        rig.faults(json!({"endpoint": "*", "containing": "ada@example.com", "action": action})).await;
        let doubted = identify("m", "ada@example.com", json!({"firstName": "Ada"}));
        let behind = track("t", "ada@example.com", "Came");
        for event in [&doubted, &doubted, &behind, &doubted, &behind] {
            source.send(event).await;
        }
        soon("all is taken", async || rig.sum("freshet_events_received_total", &[]) >= 6.0).await;
        called(&rig, "contacts_upsert", 3).await;
        if stopped {
            rig.stopped().await;
        } else {
            source.lost.cancel();
        }
        for _ in 0..5 {
            assert_eq!(source.settled().await.outcome, Outcome::Returned);
        }
        if !stopped {
            rig.finish(source).await;
        }
    }
}

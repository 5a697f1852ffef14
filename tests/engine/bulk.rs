//! What waits together goes together, and what comes of it when the account does not play along.

use std::time::Duration;

use freshet::outcome::Outcome;
use freshet::sandbox::{JobOptions, JobReport, Options};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::rig::{Account, Rig, Setup, Source, called, identify, reason, track};

const JOB_TIME: Duration = Duration::from_millis(50);

/// A lane that sends one request at a time, so that a slow one lets others wait together.
async fn rig_with(options: Options) -> (Rig, Source) {
    let jobs = JobOptions { shortest: JOB_TIME, ..options.jobs };
    let account = Account::with(Options { requests_per_hour: Some(1_000_000), jobs, ..options }).await;
    let rig = Rig::before(account, Setup { concurrency: 1, ..Setup::default() });
    let source = rig.session().await;
    (rig, source)
}

async fn rig() -> (Rig, Source) {
    rig_with(Options::default()).await
}

/// Hands these over while another call is in flight, and returns how each ended.
async fn together(rig: &Rig, source: &mut Source, events: Vec<Value>) -> Vec<Outcome> {
    rig.faults(json!({"endpoint": "contacts_upsert", "action": {"delay_ms": 500}, "next": 1})).await;
    let before = rig.calls("contacts_upsert");
    let first = source.send(identify(&format!("warm{before}"), "warm@example.com", json!({}))).await;
    rig.spent("contacts_upsert").await;
    let mut outcomes = vec![None; events.len()];
    let base = first + 1;
    for event in &events {
        source.send(event).await;
    }
    for _ in 0..=events.len() {
        let settled = source.settled().await;
        if settled.tag >= base {
            outcomes[usize::try_from(settled.tag - base).unwrap()] = Some(settled.outcome);
        }
    }
    outcomes.into_iter().map(Option::unwrap).collect()
}

fn address(number: usize) -> String {
    format!("c{number}@example.com")
}

fn contacts(round: &str, count: usize, traits: &Value) -> Vec<Value> {
    (0..count).map(|number| identify(&format!("{round}{number}"), &address(number), traits.clone())).collect()
}

fn delivered(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == Outcome::Delivered)
}

fn reasons(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(reason).collect()
}

#[tokio::test]
async fn what_waits_together_goes_in_one_call() {
    let (rig, mut source) = rig().await;
    let outcomes = together(&rig, &mut source, contacts("m", 100, &json!({"city": "Ulm"}))).await;
    assert!(delivered(&outcomes));
    assert_eq!(rig.calls("contacts_bulk_upsert"), 1);
    assert_eq!(rig.calls("contacts_upsert"), 1);
    assert!(rig.calls("job_statuses") <= 2);
    for number in 0..100 {
        assert_eq!(rig.contact(&address(number))["city"], "Ulm");
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn several_identifies_of_a_contact_become_one_and_a_bad_one_is_left_out() {
    let (rig, mut source) = rig().await;
    let one = |message, traits| identify(message, "ada@example.com", traits);
    let events = vec![
        one("m0", json!({"firstName": "Ada", "city": "Ulm"})),
        one("m1", json!({"email": 7, "city": "Bonn"})),
        one("m2", json!({"title": "Countess", "city": "Bern"})),
        one("m3", json!({"city": "x".repeat(300)})),
    ];
    let outcomes = together(&rig, &mut source, events).await;
    assert_eq!(reasons(&outcomes)[0], "(delivered)");
    assert_eq!(reasons(&outcomes)[2], "(delivered)");
    assert!(matches!(outcomes[1], Outcome::DeadLetter(_)) && matches!(outcomes[3], Outcome::DeadLetter(_)));
    assert_eq!(rig.calls("contacts_upsert"), 2);
    assert_eq!(rig.sum("freshet_events_coalesced_total", &[]), 1.0);
    let ada = rig.contact("ada@example.com");
    assert_eq!(
        (&ada["first_name"], &ada["job_title"], &ada["city"]),
        (&json!("Ada"), &json!("Countess"), &json!("Bern"))
    );
    rig.finish(source).await;
}

#[tokio::test]
async fn only_the_refused_record_of_a_batch_is_dead_lettered_whatever_the_report_tells() {
    for (report, singles) in [(JobReport::Rows, 0), (JobReport::Counts, 5)] {
        let (rig, mut source) =
            rig_with(Options { jobs: JobOptions { report, ..JobOptions::default() }, ..Options::default() })
                .await;
        let mut events = contacts("m", 4, &json!({"city": "Ulm"}));
        // Fine as an address, but not for Freshsales.
        events.insert(2, identify("bad", "bad@localhost", json!({})));
        let outcomes = together(&rig, &mut source, events).await;
        let good = "(delivered)";
        assert_eq!(reasons(&outcomes), [good, good, "rejected", good, good], "{report:?}");
        assert_eq!(rig.calls("contacts_bulk_upsert"), 1);
        assert_eq!(rig.calls("contacts_upsert"), 1 + singles);
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn only_the_bad_event_of_a_merged_group_is_dead_lettered() {
    let (rig, mut source) = rig().await;
    source.send(identify("m", "first@example.com", json!({}))).await;
    source.settled().await;
    // An admin changes a field, and the lane does not know yet.
    let mut fields: Value =
        serde_json::from_str(include_str!("../../src/sandbox/metadata/contacts.json")).unwrap();
    let title = fields["fields"].as_array_mut().unwrap().iter_mut().find(|f| f["name"] == "job_title");
    title.unwrap()["type"] = json!("number");
    rig.meddle("PUT", "/_sandbox/fields/contacts", fields).await;
    let one = |message, traits| identify(message, "ada@example.com", traits);
    let mut events = vec![
        one("a0", json!({"firstName": "Ada"})),
        one("a1", json!({"title": "Countess"})),
        one("a2", json!({"city": "Bern"})),
    ];
    events.extend(contacts("m", 3, &json!({})));
    let outcomes = together(&rig, &mut source, events).await;
    let good = "(delivered)";
    assert_eq!(reasons(&outcomes), [good, "rejected", good, good, good, good]);
    let ada = rig.contact("ada@example.com");
    assert_eq!((&ada["first_name"], &ada["city"]), (&json!("Ada"), &json!("Bern")));
    assert_eq!(rig.calls("contacts_bulk_upsert"), 1);
    rig.finish(source).await;
}

#[tokio::test]
async fn no_event_is_lost_to_a_bulk_call_that_goes_wrong() {
    let report = |data: Value| json!({"status": 200, "body": {"status": "SUCCESS", "data": data}});
    let faults = [
        ("contacts_bulk_upsert", json!({"status": 405}), 2),
        ("contacts_bulk_upsert", json!({"status": 200, "body": {"message": "taken"}}), 1),
        ("contacts_bulk_upsert", json!({"status": 404}), 1),
        ("contacts_bulk_upsert", json!({"reset": true}), 2),
        ("job_statuses", json!({"status": 404}), 1),
        ("job_statuses", json!({"status": 200, "body": "<!DOCTYPE html><title>Sign in</title>"}), 2),
        ("job_statuses", json!({"status": 200, "body": {"status": "WHO_KNOWS"}}), 1),
        ("job_statuses", json!({"status": 200, "body": {"status": "IN_PROGRESS"}}), 1),
        ("job_statuses", report(json!("no JSON")), 1),
        ("job_statuses", report(json!({"record_status": {"succeeded": 1, "failed": 0}})), 1),
        ("job_statuses", report(json!("[]")), 1),
        ("job_statuses", json!({"status": 502}), 2),
    ];
    let mut cases = JoinSet::new();
    for (endpoint, action, next) in faults {
        cases.spawn(async move {
            let (rig, mut source) = rig().await;
            rig.faults(json!({"endpoint": endpoint, "action": action, "next": next})).await;
            let mut events = contacts("m", 4, &json!({"city": "Ulm"}));
            events.push(track("t", &address(1), "Seen"));
            let outcomes = together(&rig, &mut source, events).await;
            assert!(delivered(&outcomes), "{endpoint} {action}: {outcomes:?}");
            assert!(rig.in_force().await.is_empty(), "{endpoint} {action} never struck");
            for number in 0..4 {
                assert_eq!(rig.contact(&address(number))["city"], "Ulm");
            }
            assert_eq!(rig.activities().len(), 1);
            rig.finish(source).await;
        });
    }
    while let Some(ended) = cases.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn records_wait_together_while_other_programs_run_all_the_jobs() {
    let (rig, mut source) = rig().await;
    rig.jobs_of_others(10).await;
    rig.faults(json!({"endpoint": "contacts_upsert", "action": {"delay_ms": 500}, "next": 1})).await;
    source.send(identify("warm", "warm@example.com", json!({}))).await;
    rig.spent("contacts_upsert").await;
    for event in contacts("m", 5, &json!({"city": "Ulm"})) {
        source.send(event).await;
    }
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    called(&rig, "contacts_bulk_upsert", 3).await;
    // More of them come; what needs no job is delivered.
    for number in 5..9 {
        source.send(identify(&format!("m{number}"), &address(number), json!({"city": "Ulm"}))).await;
    }
    let tag = source.send(track("t", "somebody-1", "Seen")).await;
    assert_eq!(source.settled().await.tag, tag);
    let tag = source.send(identify("n", "new@example.com", json!({"company": {"name": "Acme"}}))).await;
    assert_eq!(source.settled().await.tag, tag);
    assert_eq!(rig.calls("contacts_upsert"), 2, "a record that waits for a job went alone");
    let view = rig.board.view();
    assert!(view.why.contains("too many bulk jobs"), "{view:?}");
    rig.jobs_of_others(9).await;
    for _ in 0..9 {
        assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    }
    let jobs = rig.state()["jobs"].clone();
    assert_eq!((jobs.as_array().unwrap().len(), &jobs[0]["succeeded"]), (1, &json!(9)), "{jobs}");
    assert_eq!(rig.calls("contacts_upsert"), 2);
    assert_eq!(rig.sum("freshet_api_requests_total", &["server_error"]), 0.0);
    rig.finish(source).await;
}

#[tokio::test]
async fn after_three_useless_reports_nothing_goes_in_bulk() {
    let (rig, mut source) = rig().await;
    let action = json!({"status": 200, "body": {"status": "WHO_KNOWS"}});
    rig.faults(json!({"endpoint": "job_statuses", "action": action})).await;
    for round in 0..4 {
        let events = contacts(&format!("m{round}-"), 3, &json!({"city": format!("v{round}")}));
        assert!(delivered(&together(&rig, &mut source, events).await));
    }
    assert_eq!(rig.calls("contacts_bulk_upsert"), 3);
    assert_eq!(rig.contact(&address(2))["city"], "v3");
    rig.finish(source).await;
}

#[tokio::test]
async fn a_known_company_costs_nothing_and_no_link_is_lost_or_repeated() {
    let (rig, mut source) = rig().await;
    source.send(identify("m", &address(0), json!({}))).await;
    source.settled().await;
    // Somebody links the contact to another company by hand.
    let own = rig.meddle("POST", "/api/sales_accounts", json!({"sales_account": {"name": "By hand"}})).await;
    let own = own["sales_account"]["id"].clone();
    let links = json!({"contact": {"sales_accounts": [{"id": own, "is_primary": true}]}});
    let id = rig.contact(&address(0))["id"].clone();
    rig.meddle("PUT", &format!("/api/contacts/{id}"), links).await;
    let by_hand = rig.calls("contacts_update");
    let acme = json!({"company": {"name": "Acme", "city": "Ulm"}});
    assert!(delivered(&together(&rig, &mut source, contacts("a", 4, &acme)).await));
    assert_eq!(rig.calls("sales_accounts_upsert"), 1);
    // The contacts were read in one search, and written with all their links in one call.
    assert_eq!(rig.calls("contacts_update") - by_hand, 0);
    assert_eq!((rig.calls("filtered_search"), rig.calls("contacts_bulk_upsert")), (1, 1));
    // Everything is cached now but the company's values: the lane was empty, so another replica may have written them.
    let singles = rig.calls("contacts_upsert");
    assert!(delivered(&together(&rig, &mut source, contacts("b", 4, &acme)).await));
    assert_eq!(rig.calls("sales_accounts_upsert"), 2);
    assert_eq!(rig.calls("contacts_update") - by_hand, 0);
    assert_eq!((rig.calls("filtered_search"), rig.calls("contacts_bulk_upsert")), (1, 2));
    assert_eq!(rig.calls("contacts_upsert"), singles + 1);
    for number in 0..4 {
        let links = rig.contact(&address(number))["sales_accounts"].as_array().unwrap().clone();
        let names: Vec<_> = links.iter().map(|link| link["name"].as_str().unwrap()).collect();
        assert_eq!(names, if number == 0 { vec!["By hand", "Acme"] } else { vec!["Acme"] });
        assert_eq!(links.iter().filter(|link| link["is_primary"] == true).count(), 1);
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn a_company_that_was_deleted_is_written_again() {
    let (rig, mut source) = rig().await;
    let acme = json!({"company": {"name": "Acme"}});
    source.send(identify("m0", &address(0), acme.clone())).await;
    source.settled().await;
    let id = rig.state()["sales_accounts"][0]["id"].clone();
    rig.meddle("DELETE", &format!("/api/sales_accounts/{id}"), json!({})).await;
    source.send(identify("m1", &address(1), acme)).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
    assert_eq!(rig.contact(&address(1))["sales_accounts"][0]["name"], "Acme");
    rig.finish(source).await;
}

#[tokio::test]
async fn deals_of_known_contacts_go_in_bulk_with_their_contacts() {
    let (rig, mut source) = rig().await;
    assert!(delivered(&together(&rig, &mut source, contacts("a", 2, &json!({}))).await));
    let deals = (0..6).map(|number| {
        let deal = json!({"deal": {"name": format!("Deal {number}"), "amount": number}});
        identify(&format!("d{number}"), &address(number), deal)
    });
    assert!(delivered(&together(&rig, &mut source, deals.collect()).await));
    let state = rig.state();
    let found = state["deals"].as_array().unwrap();
    assert_eq!(found.len(), 6);
    for deal in found {
        let number: usize = deal["name"].as_str().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(deal["contact_ids"], json!([rig.contact(&address(number))["id"]]), "{deal}");
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn a_contact_s_order_holds_around_a_bulk_call() {
    let (rig, mut source) = rig().await;
    let mut events = Vec::new();
    for number in 0..5 {
        events.push(track(&format!("a{number}"), &address(number), "Before"));
        events.push(identify(&format!("m{number}"), &address(number), json!({"city": "Ulm"})));
        events.push(track(&format!("b{number}"), &address(number), "After"));
    }
    assert!(delivered(&together(&rig, &mut source, events).await));
    let last = |endpoint: &str| rig.log(endpoint).last().unwrap().0;
    assert!(rig.calls("contacts_bulk_upsert") >= 1);
    assert!(last("track_events") >= last("job_statuses"));
    for number in 0..5 {
        let of = rig.activities().into_iter().filter(|(who, _)| *who == address(number));
        assert_eq!(of.map(|(_, name)| name).collect::<Vec<_>>(), ["Before", "After"]);
    }
    rig.finish(source).await;
}

#[tokio::test]
async fn an_account_that_is_throttled_leaves_tracking_and_another_lane_alone() {
    let slow = Rig::start().await;
    let quick = Rig::start().await;
    let (mut slow_source, mut quick_source) = (slow.session().await, quick.session().await);
    slow_source.send(identify("w", "w@example.com", json!({}))).await;
    slow_source.settled().await;
    // The account's own limit: a gateway's wait would hold for the tracking calls to its host, too.
    let headers = json!({"retry-after": "3600", "x-ratelimit-remaining": "0"});
    let action = json!({"status": 429, "headers": headers});
    slow.faults(json!({"endpoint": "contacts_upsert", "action": action})).await;
    slow_source.send(identify("m", "ada@example.com", json!({}))).await;
    called(&slow, "contacts_upsert", 2).await;
    let tag = slow_source.send(track("t", "bob@example.com", "Seen")).await;
    assert_eq!(slow_source.settled().await.tag, tag);
    for number in 0..50 {
        quick_source.send(identify(&format!("m{number}"), &address(number), json!({}))).await;
    }
    assert!(delivered(&quick_source.outcomes().await));
    assert_eq!(slow.calls("contacts_upsert"), 2);
    quick.finish(quick_source).await;
    let mut slow = slow;
    slow.stopped().await;
}

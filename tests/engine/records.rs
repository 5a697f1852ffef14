//! Deals of contacts, tags that stay, and records that are refused at first, against an account.

use freshet::outcome::Outcome;
use freshet::sandbox::{CustomFieldsOnPut, IncludedDeals, Options, ReadOptions, WriteOptions};
use serde_json::{Value, json};

use crate::rig::{Account, Rig, Setup, Source, identify, reason};

async fn delivered(source: &mut Source, event: Value) {
    source.send(event).await;
    assert_eq!(source.settled().await.outcome, Outcome::Delivered);
}

fn renewal(message: &str, email: &str, amount: u32) -> Value {
    identify(message, email, json!({"deal": {"name": "Renewal", "amount": amount}}))
}

/// Amount and contacts of each deal, in the order of their ids.
fn deals(rig: &Rig) -> Vec<(String, Value)> {
    let state = rig.state();
    let amount =
        |deal: &Value| deal["amount"].to_string().trim_matches('"').trim_end_matches(".0").to_owned();
    let deals = state["deals"].as_array().unwrap().iter();
    deals.map(|deal| (amount(deal), deal["contact_ids"].clone())).collect()
}

async fn rig_with(included_deals: IncludedDeals) -> Rig {
    let reads = ReadOptions { included_deals, ..ReadOptions::default() };
    let options = Options { requests_per_hour: Some(1_000_000), reads, ..Options::default() };
    Rig::before(Account::with(options).await, Setup::default())
}

#[tokio::test]
async fn two_customers_deals_of_one_name_never_meet_also_after_a_restart() {
    for included in [IncludedDeals::Inside, IncludedDeals::Beside] {
        let account = {
            let mut rig = rig_with(included).await;
            let mut source = rig.session().await;
            delivered(&mut source, renewal("a", "ada@example.com", 1)).await;
            delivered(&mut source, renewal("b", "bob@example.com", 2)).await;
            drop(source);
            rig.stopped().await;
            rig.account
        };
        // Another replica remembers nothing.
        let rig = Rig::before(account, Setup::default());
        let mut source = rig.session().await;
        delivered(&mut source, renewal("c", "bob@example.com", 3)).await;
        delivered(&mut source, renewal("d", "ada@example.com", 4)).await;
        let of = |email: &str| json!([rig.contact(email)["id"]]);
        let expected = [("4".to_owned(), of("ada@example.com")), ("3".to_owned(), of("bob@example.com"))];
        assert_eq!(deals(&rig), expected);
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn where_the_contact_s_deals_are_not_shown_only_what_was_written_before_is_written_again() {
    let rig = rig_with(IncludedDeals::Absent).await;
    let mut source = rig.session().await;
    let own = json!({"deal": {"name": "Renewal", "amount": 9}});
    rig.meddle("POST", "/api/deals", own).await;
    delivered(&mut source, renewal("a", "ada@example.com", 1)).await;
    delivered(&mut source, renewal("b", "ada@example.com", 2)).await;
    assert_eq!(
        deals(&rig),
        [("9".to_owned(), json!([])), ("2".to_owned(), json!([rig.contact("ada@example.com")["id"]]))]
    );
    rig.finish(source).await;
}

#[tokio::test]
async fn a_deal_whose_creation_was_not_answered_is_there_once() {
    for action in [
        json!({"reset": true}),
        json!({"status": 502, "body": "<html>"}),
        json!({"status": 200, "body": "<html>"}),
    ] {
        let rig = rig_with(IncludedDeals::Beside).await;
        let mut source = rig.session().await;
        let lost = json!({"endpoint": "deals_create", "action": action, "next": 2, "after_effect": true});
        rig.faults(lost).await;
        delivered(&mut source, renewal("a", "ada@example.com", 1)).await;
        assert_eq!(deals(&rig).len(), 1, "{action}");
        rig.finish(source).await;
    }
}

#[tokio::test]
async fn a_deal_that_was_deleted_meanwhile_is_created_anew() {
    let rig = rig_with(IncludedDeals::Beside).await;
    let mut source = rig.session().await;
    delivered(&mut source, renewal("a", "ada@example.com", 1)).await;
    let id = rig.state()["deals"][0]["id"].clone();
    rig.meddle("DELETE", &format!("/api/deals/{id}"), json!({})).await;
    delivered(&mut source, renewal("b", "ada@example.com", 2)).await;
    assert_eq!(deals(&rig), [("2".to_owned(), json!([rig.contact("ada@example.com")["id"]]))]);
    rig.finish(source).await;
}

#[tokio::test]
async fn a_status_of_another_lifecycle_stage_is_left_out_and_the_rest_is_written() {
    let rig = Rig::start().await;
    let stages = rig.meddle("GET", "/api/selector/lifecycle_stages", json!({})).await;
    let stages = stages["lifecycle_stages"].as_array().unwrap().clone();
    let (own, other) = (&stages[0], &stages[1]);
    let status = other["contact_status_ids"][0].clone();
    let mut source = rig.session().await;
    let traits = json!({"city": "Ulm", "lifecycleStageId": own["id"], "contactStatusId": status});
    delivered(&mut source, identify("a", "ada@example.com", traits)).await;
    let contact = rig.contact("ada@example.com");
    assert_eq!(contact["city"], "Ulm");
    assert_ne!(contact["contact_status_id"], status);
    assert_eq!(rig.sum("freshet_values_omitted_total", &[]), 1.0);
    assert_eq!(rig.calls("contacts_upsert"), 2);
    rig.finish(source).await;
}

#[tokio::test]
async fn tags_that_somebody_else_gave_stay() {
    let rig = Rig::with(Setup { settings: "tags = \"append\"", ..Setup::default() }).await;
    let mut source = rig.session().await;
    let event = |message: &str, tags: Value| {
        let traits = json!({
            "tags": tags, "company": {"name": "Acme", "tags": tags}, "deal": {"name": "Big", "amount": 1, "tags": tags},
        });
        identify(message, "ada@example.com", traits)
    };
    delivered(&mut source, event("a", json!(["vip"]))).await;
    let state = rig.state();
    for kind in ["contacts", "sales_accounts", "deals"] {
        assert_eq!(state[kind][0]["tags"], json!(["vip"]), "{kind}");
        let path = format!("/api/{kind}/{}", state[kind][0]["id"]);
        let key = kind.strip_suffix('s').unwrap();
        rig.meddle("PUT", &path, json!({key: {"tags": ["vip", "by hand"]}})).await;
    }
    delivered(&mut source, event("b", json!(["new"]))).await;
    let state = rig.state();
    for kind in ["contacts", "sales_accounts", "deals"] {
        assert_eq!(state[kind][0]["tags"], json!(["vip", "by hand", "new"]), "{kind}");
    }
    let before = rig.calls("contacts_update");
    delivered(&mut source, event("c", json!(["new", "vip"]))).await;
    assert_eq!(rig.calls("contacts_update"), before, "what is there is not written again");
    rig.finish(source).await;
}

#[tokio::test]
async fn custom_fields_of_a_deal_survive_an_account_whose_updates_replace_them() {
    let options = Options {
        requests_per_hour: Some(1_000_000),
        writes: WriteOptions { custom_fields_on_put: CustomFieldsOnPut::Replace, ..WriteOptions::default() },
        ..Options::default()
    };
    let rig = Rig::before(Account::with(options).await, Setup::default());
    let fields = rig.meddle("GET", "/api/settings/deals/fields", json!({})).await;
    let custom = fields["fields"].as_array().unwrap().iter().filter(|field| field["default"] == false);
    let texts: Vec<&str> = custom
        .filter(|field| ["text", "textarea"].contains(&field["type"].as_str().unwrap()))
        .filter_map(|field| field["name"].as_str())
        .collect();
    let mut source = rig.session().await;
    for (number, field) in texts.iter().enumerate() {
        let deal = json!({"name": "Big", "amount": 1, *field: "kept"});
        delivered(&mut source, identify(&format!("m{number}"), "ada@example.com", json!({"deal": deal})))
            .await;
    }
    let held = &rig.state()["deals"][0]["custom_field"];
    assert!(texts.len() > 1 && texts.iter().all(|field| held[*field] == "kept"), "{texts:?} {held}");
    rig.finish(source).await;
}

#[tokio::test]
async fn a_count_reaches_the_range_it_is_in_and_one_outside_all_of_them_is_refused() {
    let rig = Rig::with(Setup {
        settings: "[accounts.company_fields]\n\"size\" = \"number_of_employees\"",
        ..Setup::default()
    })
    .await;
    let mut source = rig.session().await;
    let company = |message: &str, traits: Value| {
        let mut company = json!({"name": format!("Initech {message}")});
        company.as_object_mut().unwrap().extend(traits.as_object().unwrap().clone());
        identify(message, &format!("{message}@example.com"), json!({"company": company}))
    };
    for (message, traits, start) in [
        ("a", json!({"employees": 329, "plan": "enterprise"}), 201),
        ("b", json!({"employee_count": "50"}), 11),
        ("c", json!({"size": 10_000.0}), 5001),
        ("d", json!({"numberOfEmployees": 2_000_000}), 10_001),
        ("e", json!({"number_of_employees": "11-50"}), 11),
    ] {
        delivered(&mut source, company(message, traits)).await;
        let state = rig.state();
        let written = state["sales_accounts"].as_array().unwrap().last().unwrap();
        assert_eq!(written["name"], format!("Initech {message}"));
        assert_eq!(written["number_of_employees"], start, "{message}");
    }
    for (message, count) in [("f", json!(0)), ("g", json!(-3)), ("h", json!(12.5))] {
        source.send(company(message, json!({"employees": count}))).await;
        assert_eq!(reason(&source.settled().await.outcome), "invalid_field", "{message}");
    }
    assert_eq!(rig.state()["sales_accounts"].as_array().unwrap().len(), 5);
    rig.finish(source).await;
}

//! Explanations of events against the sandbox's built-in account.

mod document;
mod senders;

use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{AccountExplainer, AccountFields, Explanation};
use crate::config::{self, SecretsNeeded};

fn explainer(settings: &str) -> AccountExplainer {
    let text = format!(
        "[[accounts]]\nname = \"acme\"\nurl = \"http://127.0.0.1:1\"\napi_key = {{ env = \"K\" }}\napp_token = {{ env = \"K\" }}\n{settings}"
    );
    let config = config::parse(&text, Path::new("test.toml"), &|_| None, SecretsNeeded::None).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sandbox");
    let fields = AccountFields::from_folder(&folder, "metadata").unwrap();
    AccountExplainer::new(&config.accounts[0], &fields)
}

fn explained(settings: &str, event: &Value) -> Explanation {
    explainer(settings).explain(&Bytes::from(event.to_string()), Instant::now())
}

#[expect(clippy::needless_pass_by_value, reason = "events are written where they are explained")]
fn identify(user_id: &str, traits: Value) -> Value {
    json!({"type": "identify", "userId": user_id, "traits": traits})
}

/// The requests without those that follow a refusal.
fn usual(explanation: &Explanation) -> Vec<String> {
    let requests = explanation.foreseen.requests.iter().filter(|request| !request.after_refusal);
    let line = |request: &super::ForeseenRequest| {
        let condition = request.condition.as_ref().map(|condition| format!(" if {condition}"));
        format!("{} {}{}", request.method, request.path, condition.unwrap_or_default())
    };
    requests.map(line).collect()
}

#[test]
fn requests_are_those_of_the_lane_each_with_its_condition() {
    let deal = json!({"name": "Renewal", "amount": 5});
    let upsert = "POST /api/contacts/upsert?include=sales_accounts";
    let company = "POST /api/sales_accounts/upsert";
    let link = "PUT /api/contacts/<contact id>?include=sales_accounts if the contact is not linked to the sales account yet";
    let deals = "GET /api/contacts/<contact id>?include=sales_accounts%2Cdeals";
    let create = "POST /api/deals if the contact has no deal of this name";
    let change = "PUT /api/deals/<deal id> if the contact has a deal of this name";
    for (settings, event, expected, (least, most)) in [
        ("", identify("ada@example.com", json!({"firstName": "Ada"})), vec![upsert], (1, 1)),
        ("", identify("u-1", json!({"email": "ada@example.com"})), vec![upsert], (1, 1)),
        ("", identify("ada@example.com", json!({"company": "Acme"})), vec![company, upsert, link], (2, 3)),
        ("", identify("ada@example.com", json!({"deal": deal})), vec![upsert, deals, create, change], (3, 3)),
        (
            "deal_identity = \"name\"",
            identify("ada@example.com", json!({"deal": deal})),
            vec![upsert, "POST /api/deals/upsert"],
            (2, 2),
        ),
        (
            "tags = \"append\"",
            identify("ada@example.com", json!({"tags": ["vip"]})),
            vec![upsert, "PUT /api/contacts/<contact id> if the contact lacks some of the tags"],
            (1, 2),
        ),
        (
            "",
            json!({"type": "page", "userId": "ada@example.com", "properties": {"url": "https://x"}}),
            vec!["POST /track/page_views"],
            (1, 1),
        ),
        (
            "",
            json!({"type": "track", "userId": "u-1", "event": "Ordered"}),
            vec![
                "GET /api/lookup?q=u-1&f=external_id&entities=contact",
                "POST /track/events if no contact has the userId as its external_id; or the contact with the userId has no e-mail address",
                "POST /track/events if the contact with the userId has another e-mail address",
            ],
            // Right after a replica got the lane, a look-up that finds nobody is made once more.
            (2, 3),
        ),
    ] {
        let explanation = explained(settings, &event);
        assert_eq!(usual(&explanation), expected, "{settings} {event}");
        assert_eq!(explanation.foreseen.usual, (least, most), "{settings} {event}");
        assert!(explanation.foreseen.most >= most, "{settings} {event}");
    }
}

#[test]
fn traits_are_told_with_what_led_to_their_field_and_the_others_with_what_they_may_have_meant() {
    let event = json!({"type": "identify", "userId": "u-1", "context": {"traits": {"city": "Paris"}}, "traits": {
        "email": "Ada@Example.com", "firstName": "Ada", "phone": "1", "plan": {"name": "gold"},
        "company": {"name": "Acme", "employees": 7}, "firstNam": "x", "lastName": null, "createdAt": "2026-01-01",
    }});
    let explanation = explained("[accounts.fields]\n\"plan.name\" = \"cf_alternate_number\"\n", &event);
    let mapped: Vec<(&str, &str, &str)> =
        explanation.mapped.iter().map(|set| (set.trait_path.as_str(), set.field.as_str(), set.how)).collect();
    for expected in [
        ("email", "emails", "name"),
        ("userId", "external_id", "name"),
        ("firstName", "first_name", "name"),
        ("phone", "work_number", "alias"),
        ("plan.name", "cf_alternate_number", "override"),
        ("city", "city", "context"),
        ("company.name", "name", "name"),
        ("company.employees", "number_of_employees", "alias"),
    ] {
        assert!(mapped.contains(&expected), "{expected:?} in {mapped:?}");
    }
    assert_eq!(mapped.len(), 8);
    let ignored: Vec<(&str, Option<&str>, &str)> = explanation
        .ignored
        .iter()
        .map(|ignored| (ignored.trait_path.as_str(), ignored.nearest.as_deref(), ignored.why.as_str()))
        .collect();
    assert_eq!(
        ignored,
        [
            ("firstNam", Some("firstName"), "no such field"),
            ("createdAt", None, "read-only field"),
            ("lastName", None, "null counts as absent"),
        ]
    );
}

#[test]
fn what_depends_on_the_records_that_freshsales_has_is_told_as_such() {
    let deal = identify("ada@example.com", json!({"deal": {"name": "Renewal"}}));
    let nobody = identify("u-1", json!({"firstName": "Ada"}));
    let plain = identify("ada@example.com", json!({"firstName": "Ada"}));
    for (settings, event, reasons, sentence, remedy) in [
        ("", &plain, &[][..], "", ""),
        (
            "",
            &deal,
            &["rejected"],
            "would be delivered if the deal exists, rejected if it has to be created: the field amount is required",
            "send deal.amount, or set a default in [accounts.deal_defaults]",
        ),
        ("[accounts.deal_defaults]\namount = 1\n", &deal, &[], "", ""),
        (
            "",
            &nobody,
            &["missing_email"],
            "would be delivered if a contact has this userId, else a dead letter: missing_email",
            "send the e-mail address as the trait email, at least in the first identify of each userId",
        ),
    ] {
        let explanation = explained(settings, event);
        assert_eq!(explanation.ends, super::Ends::Deliver);
        let told: Vec<&str> = explanation.risks.iter().map(|risk| risk.reason.as_str()).collect();
        assert_eq!(told, reasons, "{settings} {event}");
        let words =
            explanation.risks.first().map(|risk| (risk.sentence(), risk.remedy())).unwrap_or_default();
        assert_eq!((words.0.as_str(), words.1.as_str()), (sentence, remedy));
        let mut summary = super::Summary::default();
        summary.add(&explanation);
        assert_eq!((summary.deliver, summary.at_risk), (1, reasons.len() as u64));
    }
}

#[test]
fn a_number_of_the_event_is_never_taken_for_an_id_of_freshsales() {
    let event =
        identify("ada@example.com", json!({"deal": {"name": "D", "amount": 9_000_000_000_000_001_u64}}));
    let explanation = explained("", &event);
    let bodies: Vec<&Value> =
        explanation.foreseen.requests.iter().filter_map(|request| request.body.as_ref()).collect();
    let amounts: Vec<String> =
        bodies.iter().filter_map(|body| body.get("deal")?.get("amount")).map(ToString::to_string).collect();
    assert_eq!(amounts, ["9000000000000001", "9000000000000001"]);
}

#[test]
fn what_is_left_out_with_its_company_sets_no_field() {
    let event =
        identify("ada@example.com", json!({"company": {"name": 7, "employees": []}, "firstName": "Ada"}));
    let strict = explained("coercion = \"strict\"\ninvalid_value = \"omit\"\n", &event);
    assert!(strict.mapped.iter().all(|set| !set.trait_path.starts_with("company")), "{:?}", strict.mapped);
    assert!(strict.ignored.iter().any(|ignored| ignored.why.contains("omit")), "{:?}", strict.ignored);
}

//! What senders write without meaning it, and other libraries in other places: from the event to what is written.

use serde_json::{Value, json};

use super::explained;
use crate::explain::{Ends, Explanation};

fn set(explanation: &Explanation) -> Vec<(&str, &str, String)> {
    let set = explanation.mapped.iter();
    set.map(|set| (set.trait_path.as_str(), set.field.as_str(), set.sent.to_string())).collect()
}

fn ends(settings: &str, event: &Value) -> String {
    let ends = explained(settings, event).ends;
    format!("{} {}", ends.as_str(), ends.reason().unwrap_or_default()).trim_end().to_owned()
}

#[test]
fn the_destination_s_own_entry_decides_under_its_name_in_the_catalog() {
    for (integrations, expected) in [
        (json!({"All": false, "Freshsales Suite - CRM": true}), "deliver"),
        (json!({"All": true, "Freshsales Suite - CRM": false}), "skip integration_disabled"),
        (json!({"All": false, "Freshsales Suite - CRM": {"list": 7}}), "deliver"),
        (json!({"All": false}), "skip integration_disabled"),
        (json!({"Freshsales": true, "Freshsales Suite - CRM": false}), "skip integration_disabled"),
        (json!([]), "deliver"),
        (Value::Null, "deliver"),
    ] {
        let event = json!({"type": "identify", "userId": "u", "integrations": integrations, "traits": {"email": "mia@example.com"}});
        assert_eq!(ends("", &event), expected, "{event}");
    }
}

#[test]
fn traits_beside_the_page_are_read_and_a_company_that_is_only_referred_to_is_none() {
    let event = json!({"type": "identify", "userId": "u-7", "channel": "web", "context": {"traits": {
        "name": "Nora Sample", "email": "nora@example.com", "company": {"id": "c-1"},
        "createdAt": "Tue Feb 03 2015 10:00:00 GMT+0000 (UTC)",
    }}});
    let explanation = explained("", &event);
    assert_eq!(explanation.ends, Ends::Deliver);
    let expected = [
        ("email", "emails", "\"nora@example.com\""),
        ("name", "first_name", "\"Nora\""),
        ("name", "last_name", "\"Sample\""),
        ("userId", "external_id", "\"u-7\""),
    ];
    let mut told = set(&explanation);
    told.sort_unstable();
    assert_eq!(told, expected.map(|(path, field, sent)| (path, field, sent.to_owned())));
    let ignored: Vec<&str> = explanation.ignored.iter().map(|ignored| ignored.trait_path.as_str()).collect();
    assert!(ignored.contains(&"company") && ignored.contains(&"createdAt"), "{ignored:?}");
}

#[test]
fn a_form_s_visitor_needs_by_email_and_one_without_an_address_is_nobody() {
    let visitor = json!({"type": "identify", "userId": null, "anonymousId": "a1", "traits": {
        "firstName": "Sam", "lastName": "Visitor", "email": "sam@example.com",
    }});
    let nobody = json!({"type": "identify", "anonymousId": "a2", "traits": {"plan": "trial"}});
    let by_email = "anonymous_identify = \"by_email\"\n";
    assert_eq!(ends("", &visitor), "dead_letter missing_user_id");
    assert_eq!(ends(by_email, &visitor), "deliver");
    assert_eq!([ends("", &nobody), ends(by_email, &nobody)], ["skip anonymous", "skip anonymous"]);
}

#[test]
fn a_full_name_and_an_address_object_spread_over_their_fields() {
    let event = json!({"type": "identify", "userId": "u-8", "traits": {
        "name": "Anna van der Sample", "email": "anna@example.com", "plan": "premium", "logins": 5,
        "address": {"street": "1 Sample Rd", "city": "Lyon", "postalCode": "69001", "country": "France"},
    }});
    let explanation = explained("", &event);
    for (path, field, sent) in [
        ("name", "first_name", "\"Anna\""),
        ("name", "last_name", "\"van der Sample\""),
        ("address.street", "address", "\"1 Sample Rd\""),
        ("address.city", "city", "\"Lyon\""),
        ("address.postalCode", "zipcode", "\"69001\""),
        ("address.country", "country", "\"France\""),
    ] {
        assert!(
            set(&explanation).contains(&(path, field, sent.to_owned())),
            "{path}: {:?}",
            set(&explanation)
        );
    }
    let ignored: Vec<&str> = explanation.ignored.iter().map(|ignored| ignored.trait_path.as_str()).collect();
    assert_eq!(ignored, ["plan", "logins"]);
}

#[test]
fn a_number_of_employees_picks_its_range_and_an_industry_its_choice() {
    let event = json!({"type": "identify", "userId": "u-9", "traits": {"email": "lea@example.com", "company": {
        "name": "Sample Works", "industry": "banking", "employees": 329, "plan": "enterprise", "total billed": 830,
    }}});
    let explanation = explained("", &event);
    assert_eq!(explanation.ends, Ends::Deliver);
    let told = set(&explanation);
    assert!(told.contains(&("company.employees", "number_of_employees", "201".to_owned())), "{told:?}");
    assert!(told.contains(&("company.industry", "industry_type_id", "402000100322".to_owned())), "{told:?}");
    let ignored: Vec<&str> = explanation.ignored.iter().map(|ignored| ignored.trait_path.as_str()).collect();
    assert_eq!(ignored, ["company.plan", "company.total billed"]);
}

#[test]
fn an_empty_map_that_is_written_as_a_list_is_an_empty_map() {
    let identify = json!({"type": "identify", "userId": "u-3", "context": [], "integrations": [], "traits": {
        "email": "tim@example.com", "company": {"name": ""}, "deal": [],
    }});
    let explanation = explained("", &identify);
    assert_eq!(explanation.ends, Ends::Deliver);
    assert!(explanation.mapped.iter().all(|set| !set.trait_path.starts_with("company")));
    assert!(explanation.risks.is_empty(), "{:?}", explanation.risks);
    let track = json!({"type": "track", "userId": "tim@example.com", "event": "Opened", "properties": [], "context": []});
    assert_eq!(ends("", &track), "deliver");
}

#[test]
fn a_field_that_became_required_refuses_no_update() {
    // The sandbox requires a deal's amount.
    let event = json!({"type": "identify", "userId": "u-5", "traits": {"email": "ida@example.com", "deal": {"name": "Renewal"}}});
    assert_eq!(ends("", &event), "deliver");
}

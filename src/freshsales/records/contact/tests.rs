use super::*;
use serde_json::json;

#[test]
fn a_contact_is_found_by_its_own_external_id_only() {
    let contact = |id: Value, email: &str| json!({"id": 7, "email": email, "external_id": id});
    let found = |contacts: Value, user: &str| found_email(&json!({"contacts": {"contacts": contacts}}), user);
    let ada = |id: Value| contact(id, "Ada@example.com");
    let ada_is = Some("ada@example.com");
    for (contacts, user, expected) in [
        (json!([ada(json!("u-12"))]), "u-12", ada_is),
        // As Freshsales compares.
        (json!([ada(json!("U-12"))]), "u-12", ada_is),
        (json!([ada(json!(12))]), "12", ada_is),
        (json!([]), "u-12", None),
        (json!([ada(Value::Null)]), "u-12", None),
        (json!([{"id": 7, "email": "ada@example.com"}]), "u-12", None),
        (json!([ada(json!("u-123"))]), "u-12", None),
        (json!([ada(json!("u-1")), ada(json!("u-12"))]), "u-12", ada_is),
        (json!([contact(json!("u-1"), "zoe@example.com"), ada(json!("u-12"))]), "u-12", ada_is),
        (
            json!([{"id": 7, "external_id": "u-12", "emails": [{"value": "z@x.com"}, {"value": "Ada@example.com", "is_primary": true}]}]),
            "u-12",
            ada_is,
        ),
        (json!([{"id": 7, "external_id": "u-12"}]), "u-12", None),
        // Of several, the one in the same case counts; if there is none, all must be the same contact.
        (json!([contact(json!("U-12"), "zoe@example.com"), ada(json!("u-12"))]), "u-12", ada_is),
        (
            json!([contact(json!("U-12"), "zoe@example.com"), ada(json!("u-12"))]),
            "U-12",
            Some("zoe@example.com"),
        ),
        (json!([ada(json!("u-12")), ada(json!("u-12"))]), "u-12", ada_is),
        (json!([contact(json!("u-12"), "zoe@example.com"), ada(json!("u-12"))]), "u-12", None),
        (
            json!([{"id": 7, "external_id": "u-12", "email": "z@x.com", "is_deleted": true}, ada(json!("u-12"))]),
            "u-12",
            ada_is,
        ),
    ] {
        assert_eq!(found(contacts.clone(), user).as_deref(), expected, "{user}: {contacts}");
    }
}

#[test]
fn a_contact_is_found_by_any_of_its_addresses() {
    let emails =
        json!([{"id": 1, "value": "old@x.com"}, {"id": 2, "value": "New@x.com", "is_primary": true}]);
    let body = json!({"contacts": {"contacts": [
        {"id": 5, "email": "other@x.com"},
        {"id": "7", "emails": emails},
        {"id": 9, "email": "gone@x.com", "is_deleted": true},
    ]}});
    for (address, expected) in
        [("old@x.com", Some(7)), ("NEW@x.com", Some(7)), ("gone@x.com", None), ("x", None)]
    {
        assert_eq!(found_owner(&body, address).and_then(|found| found.id), expected, "{address}");
    }
    assert_eq!(found_owner(&body, "old@x.com").unwrap().primary.as_deref(), Some("new@x.com"));
}

#[test]
fn a_contact_without_an_address_is_found_by_its_external_id() {
    let body =
        json!({"contacts": {"contacts": [{"id": 7, "email": null, "emails": [], "external_id": "u-1"}]}});
    let found = found_contact(&body, "U-1").unwrap();
    assert_eq!(found, FoundContact { id: Some(7), primary: None, addresses: Vec::new() });
    assert_eq!(found_email(&body, "u-1"), None);
}

#[test]
fn a_contact_shown_without_an_external_id_may_be_the_same() {
    for (contact, expected) in [
        (json!({"id": 7}), false),
        (json!({"id": 7, "external_id": "U-1"}), false),
        (json!({"id": 7, "external_id": null}), true),
        (json!({"id": 7, "external_id": "u-2"}), true),
    ] {
        assert_eq!(has_another_external_id(&json!({ "contact": contact }), "u-1"), expected, "{contact}");
    }
}

#[test]
fn sales_accounts_are_read_or_unknown() {
    let body = json!({"contact": {"id": 1, "sales_accounts": [{"id": 5, "is_primary": true}, {"id": "6"}]}});
    assert_eq!(
        linked_accounts(&body),
        Some(vec![SalesAccountLink { id: 5, primary: true }, SalesAccountLink { id: 6, primary: false }])
    );
    assert_eq!(linked_accounts(&json!({"contact": {"id": 1}})), None);
    assert_eq!(linked_accounts(&json!({"contact": {"id": 1, "sales_accounts": [{}]}})), None);
}

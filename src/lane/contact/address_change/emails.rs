//! The list of a contact's e-mail addresses, as it is written when one of them changes.

use serde_json::{Map, Value, json};

/// The most addresses that Freshsales keeps for a contact.
const MOST_EMAILS: usize = 10;

/// The list of a contact's addresses, an array's text: those that it has, those that a record lists, and this one as the
/// primary. True if there are too many, so that the oldest are left out.
///
/// It is unknown whether Freshsales replaces the list or adds to it. So every address that the contact has is named by
/// its id, and one that is left out is marked with `_destroy`.
pub(super) fn addresses(there: Vec<Map<String, Value>>, listed: Option<&str>, email: &str) -> (String, bool) {
    let value = |entry: &Map<String, Value>| {
        entry.get("value").and_then(Value::as_str).map(|value| value.trim().to_lowercase())
    };
    let flag = |entry: &Map<String, Value>, key| entry.get(key).and_then(Value::as_bool) == Some(true);
    let listed: Vec<Value> = listed.and_then(|listed| serde_json::from_str(listed).ok()).unwrap_or_default();
    let mut kept: Vec<(bool, Map<String, Value>)> = Vec::new();
    let of_record = listed.into_iter().filter_map(|entry| match entry {
        Value::Object(entry) => Some(entry),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    });
    let own = Map::from_iter([("value".to_owned(), json!(email))]);
    let before = there.len();
    for (place, mut entry) in there.into_iter().chain(of_record).chain([own]).enumerate() {
        let address = value(&entry);
        let oldest = place < before && !flag(&entry, "is_primary");
        if address.is_none() || kept.iter().any(|(_, other)| value(other) == address) {
            continue;
        }
        let is_own = address.as_deref() == Some(email);
        entry.insert("is_primary".to_owned(), json!(is_own));
        kept.push((oldest && !is_own, entry));
    }
    // Freshsales lists addresses in the order in which they were added, so the oldest come first.
    let too_many = kept.len().saturating_sub(MOST_EMAILS);
    let mut left = too_many;
    for old in [true, false] {
        for (oldest, entry) in &mut kept {
            if left > 0 && *oldest == old && !flag(entry, "is_primary") && !flag(entry, "_destroy") {
                entry.insert("_destroy".to_owned(), json!(true));
                left -= 1;
            }
        }
    }
    let kept = kept.into_iter().map(|(_, entry)| entry);
    let kept = kept.filter(|entry| !flag(entry, "_destroy") || entry.contains_key("id"));
    (Value::Array(kept.map(Value::Object).collect()).to_string(), too_many > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: i64, primary: i64) -> Vec<Map<String, Value>> {
        let entry = |id: i64| json!({"id": id, "value": format!("A{id}@x.com"), "is_primary": id == primary});
        (1..=count).map(|id| entry(id).as_object().unwrap().clone()).collect()
    }

    fn listed(there: Vec<Map<String, Value>>, listed: Option<&str>, email: &str) -> (Vec<Value>, bool) {
        let (text, too_many) = addresses(there, listed, email);
        (serde_json::from_str(&text).unwrap(), too_many)
    }

    #[test]
    fn a_new_address_is_primary_and_the_others_stay_under_their_ids() {
        let (emails, too_many) = listed(entries(2, 2), Some("\"new@x.com\""), "new@x.com");
        assert_eq!(
            emails,
            [
                json!({"id": 1, "value": "A1@x.com", "is_primary": false}),
                json!({"id": 2, "value": "A2@x.com", "is_primary": false}),
                json!({"value": "new@x.com", "is_primary": true}),
            ]
        );
        assert!(!too_many);
    }

    #[test]
    fn an_address_that_is_there_already_becomes_the_primary_one() {
        let (emails, _) = listed(entries(2, 2), None, "a1@x.com");
        assert_eq!(
            emails,
            [
                json!({"id": 1, "value": "A1@x.com", "is_primary": true}),
                json!({"id": 2, "value": "A2@x.com", "is_primary": false}),
            ]
        );
    }

    #[test]
    fn further_addresses_of_the_event_join_those_that_are_there() {
        let further = json!([
            {"value": "new@x.com", "is_primary": true}, {"value": "a1@X.com", "is_primary": false},
            {"value": "b@x.com", "is_primary": false}
        ]);
        let (emails, _) = listed(entries(1, 1), Some(&further.to_string()), "new@x.com");
        let values: Vec<_> = emails.iter().map(|entry| (&entry["value"], &entry["is_primary"])).collect();
        assert_eq!(
            values,
            [
                (&json!("A1@x.com"), &json!(false)),
                (&json!("new@x.com"), &json!(true)),
                (&json!("b@x.com"), &json!(false)),
            ]
        );
    }

    #[test]
    fn of_too_many_addresses_the_oldest_is_removed_but_never_the_last_primary_one() {
        let (emails, too_many) = listed(entries(10, 1), None, "new@x.com");
        assert!(too_many);
        let removed: Vec<_> = emails.iter().filter(|entry| entry["_destroy"] == true).collect();
        assert_eq!(removed, [&json!({"id": 2, "value": "A2@x.com", "is_primary": false, "_destroy": true})]);
        assert_eq!(emails.len() - removed.len(), MOST_EMAILS);
        let none = listed(Vec::new(), None, "new@x.com");
        assert_eq!(none, (vec![json!({"value": "new@x.com", "is_primary": true})], false));
    }
}

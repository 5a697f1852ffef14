//! Which deals an answer shows of a contact. How Freshsales shows them is known from other clients only: beside the
//! contact, mostly. So every plausible place is looked at, and nothing is taken for shown that is not there. Pure.

use serde_json::Value;

use super::answer::id;

/// A deal of a contact, as far as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownDeal {
    /// Its id.
    pub id: i64,
    /// As it stands in Freshsales.
    pub name: String,
    /// It has no closing date.
    pub open: bool,
}

/// A contact's deals, as far as an answer shows them. Deleted ones are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShownDeals {
    /// Those that have an id and a name.
    pub deals: Vec<ShownDeal>,
    /// Whether these are all.
    pub all: bool,
}

/// The contact's deals. Where an answer shows some beside the contact and some inside it, all of them are the contact's.
pub fn shown_deals(body: &Value) -> ShownDeals {
    let Some(contact) = body.get("contact") else { return ShownDeals::default() };
    let places = [body.get("deals"), contact.get("deals")];
    let mut shown = ShownDeals { all: places.iter().any(Option::is_some), ..ShownDeals::default() };
    for place in places.into_iter().flatten() {
        match place {
            Value::Null => {}
            Value::Array(rows) => {
                let rows: Vec<_> = rows.iter().filter(|row| !is_deleted(row)).map(read).collect();
                shown.all &= rows.iter().all(Option::is_some);
                shown.deals.extend(rows.into_iter().flatten());
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => shown.all = false,
        }
    }
    // Ids without the deals say enough only where there are none.
    match contact.get("deal_ids").and_then(Value::as_array) {
        Some(ids) if ids.is_empty() => shown.all |= places.iter().all(Option::is_none),
        Some(_) if places.into_iter().flatten().all(shows_nothing) => shown.all = false,
        Some(_) | None => {}
    }
    shown
}

/// Whether no row stands there, not even one of a deleted deal.
fn shows_nothing(place: &Value) -> bool {
    place.as_array().is_none_or(Vec::is_empty)
}

/// The one of this name, without regard to case and blanks around it. Of several an open one, and of those the newest:
/// that is the one people work on.
pub fn deal_named(deals: &[ShownDeal], name: &str) -> Option<i64> {
    let name = name.trim().to_lowercase();
    let named = deals.iter().filter(|deal| deal.name.trim().to_lowercase() == name);
    named.max_by_key(|deal| (deal.open, deal.id)).map(|deal| deal.id)
}

/// A deal's custom fields, as an object's text; none where the answer shows none.
pub fn custom_fields(body: &Value) -> Option<String> {
    let custom = body.get("deal")?.get("custom_field")?;
    custom.as_object().filter(|custom| !custom.is_empty()).map(|_| custom.to_string())
}

fn is_deleted(deal: &Value) -> bool {
    deal.get("is_deleted").and_then(Value::as_bool) == Some(true)
}

fn read(deal: &Value) -> Option<ShownDeal> {
    Some(ShownDeal {
        id: id(deal.get("id")?)?,
        name: deal.get("name")?.as_str()?.to_owned(),
        open: deal.get("closed_date").is_none_or(Value::is_null),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn deals_are_read_wherever_an_answer_shows_them_and_nowhere_else() {
        let deal = json!({"id": "7", "name": "Renewal", "closed_date": null});
        let one = || vec![ShownDeal { id: 7, name: "Renewal".into(), open: true }];
        let (all, some, none) = (Some((one(), true)), Some((one(), false)), Some((vec![], true)));
        let gone = json!({"id": 8, "name": "Renewal", "is_deleted": true});
        for (body, expected) in [
            (json!({"contact": {"id": 1}, "deals": [deal]}), all.clone()),
            (json!({"contact": {"id": 1, "deal_ids": [7]}, "deals": [deal, gone]}), all.clone()),
            (json!({"contact": {"id": 1, "deals": [deal]}}), all.clone()),
            (json!({"contact": {"id": 1, "deals": [deal]}, "deals": []}), all),
            (json!({"contact": {"id": 1}, "deals": [deal, {"id": 9, "name": null}]}), some),
            (json!({"contact": {"id": 1}, "deals": []}), none.clone()),
            (json!({"contact": {"id": 1, "deal_ids": [8]}, "deals": [gone]}), none.clone()),
            (json!({"contact": {"id": 1, "deals": null}}), none.clone()),
            (json!({"contact": {"id": 1, "deal_ids": []}}), none),
            (json!({"contact": {"id": 1, "deal_ids": [7]}}), None),
            (json!({"contact": {"id": 1, "deal_ids": [7]}, "deals": []}), None),
            (json!({"contact": {"id": 1}, "deals": [{"id": 7}]}), None),
            (json!({"contact": {"id": 1}, "deals": {"7": deal}}), None),
            (json!({"contact": {"id": 1}}), None),
            (json!({"deals": [deal]}), None),
        ] {
            let (deals, all) = expected.unwrap_or_default();
            assert_eq!(shown_deals(&body), ShownDeals { deals, all }, "{body}");
        }
    }

    #[test]
    fn of_several_deals_of_a_name_an_open_one_is_taken_and_then_the_newest() {
        let deal = |id, name: &str, open| ShownDeal { id, name: name.to_owned(), open };
        let deals = [
            deal(1, "Renewal", true),
            deal(3, " RENEWAL ", true),
            deal(9, "renewal", false),
            deal(4, "Other", true),
        ];
        assert_eq!(deal_named(&deals, "Renewal"), Some(3));
        assert_eq!(deal_named(&deals[2..], "Renewal"), Some(9));
        assert_eq!(deal_named(&deals, "Renewal 2"), None);
    }
}

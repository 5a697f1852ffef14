//! A contact's deals in an answer. The documentation does not say where they stand; other clients find them mostly beside
//! the contact. So every plausible place is read, and only a list that is there counts as shown. Pure.

use serde_json::Value;

use super::record::{id, is_deleted};

/// One deal of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownDeal {
    /// Freshsales' id.
    pub id: i64,
    /// As Freshsales writes it.
    pub name: String,
    /// Whether it has no closing date.
    pub open: bool,
}

/// The deals that an answer shows of a contact, without the deleted ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShownDeals {
    /// Only those with an id and a name.
    pub deals: Vec<ShownDeal>,
    /// Whether the contact has no others.
    pub all: bool,
}

/// Reads the contact's deals, those beside the contact and those inside it.
pub fn shown_deals(body: &Value) -> ShownDeals {
    let Some(contact) = body.get("contact") else { return ShownDeals::default() };
    deals_in([body.get("deals"), contact.get("deals")], contact)
}

/// The deals that the answer to a search shows of the contact in a row: inside it, or beside the rows under the ids that
/// the row lists.
pub(in crate::freshsales) fn deals_of_row(body: &Value, row: &Value) -> ShownDeals {
    if row.get("deals").is_some() {
        return deals_in([None, row.get("deals")], row);
    }
    let Some(ids) = row.get("deal_ids").and_then(Value::as_array) else { return ShownDeals::default() };
    let wanted: Option<Vec<i64>> = ids.iter().map(id).collect();
    let beside = body.get("deals").and_then(Value::as_array);
    let (Some(wanted), Some(beside)) = (wanted, beside) else {
        return ShownDeals { all: ids.is_empty(), ..ShownDeals::default() };
    };
    let of_row = |deal: &&Value| deal.get("id").and_then(id).is_some_and(|id| wanted.contains(&id));
    let own: Vec<&Value> = beside.iter().filter(of_row).collect();
    let all = own.len() == wanted.len();
    let deals: Vec<_> = own.into_iter().filter(|deal| !is_deleted(deal)).map(read).collect();
    ShownDeals { all: all && deals.iter().all(Option::is_some), deals: deals.into_iter().flatten().collect() }
}

fn deals_in(places: [Option<&Value>; 2], contact: &Value) -> ShownDeals {
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
    // An empty list of ids shows that there are no deals. A filled one does not show their names.
    match contact.get("deal_ids").and_then(Value::as_array) {
        Some(ids) if ids.is_empty() => shown.all |= places.iter().all(Option::is_none),
        Some(_) if places.into_iter().flatten().all(shows_nothing) => shown.all = false,
        Some(_) | None => {}
    }
    shown
}

/// Whether there is not even a deleted deal.
fn shows_nothing(place: &Value) -> bool {
    place.as_array().is_none_or(Vec::is_empty)
}

/// The id of the deal with this name, ignoring case and surrounding blanks. Of several it is the newest open one, which is
/// the one people work on, else the newest.
pub fn deal_named(deals: &[ShownDeal], name: &str) -> Option<i64> {
    let name = name.trim().to_lowercase();
    let named = deals.iter().filter(|deal| deal.name.trim().to_lowercase() == name);
    named.max_by_key(|deal| (deal.open, deal.id)).map(|deal| deal.id)
}

/// A deal's custom fields as a JSON object; `None` if the answer shows none.
pub fn custom_fields(body: &Value) -> Option<String> {
    let custom = body.get("deal")?.get("custom_field")?;
    custom.as_object().filter(|custom| !custom.is_empty()).map(|_| custom.to_string())
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

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

/// The contact's deals, deleted ones left out; `None` where the answer does not show them, or not all of them with id and
/// name.
pub fn shown_deals(body: &Value) -> Option<Vec<ShownDeal>> {
    let contact = body.get("contact")?;
    if let Some(deals) = body.get("deals").or_else(|| contact.get("deals")) {
        return match deals {
            Value::Null => Some(Vec::new()),
            Value::Array(deals) => deals.iter().filter(|deal| !is_deleted(deal)).map(shown).collect(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        };
    }
    // Ids without the deals say enough only where there are none.
    contact.get("deal_ids")?.as_array().filter(|ids| ids.is_empty()).map(|_| Vec::new())
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

fn shown(deal: &Value) -> Option<ShownDeal> {
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
        let shown = Some(vec![ShownDeal { id: 7, name: "Renewal".into(), open: true }]);
        let gone = json!({"id": 8, "name": "Renewal", "is_deleted": true});
        for (body, expected) in [
            (json!({"contact": {"id": 1}, "deals": [deal]}), shown.clone()),
            (json!({"contact": {"id": 1, "deal_ids": [7]}, "deals": [deal, gone]}), shown.clone()),
            (json!({"contact": {"id": 1, "deals": [deal]}}), shown),
            (json!({"contact": {"id": 1}, "deals": []}), Some(vec![])),
            (json!({"contact": {"id": 1, "deals": null}}), Some(vec![])),
            (json!({"contact": {"id": 1, "deal_ids": []}}), Some(vec![])),
            (json!({"contact": {"id": 1, "deal_ids": [7]}}), None),
            (json!({"contact": {"id": 1}, "deals": [{"id": 7}]}), None),
            (json!({"contact": {"id": 1}, "deals": {"7": deal}}), None),
            (json!({"contact": {"id": 1}}), None),
            (json!({"deals": [deal]}), None),
        ] {
            assert_eq!(shown_deals(&body), expected, "{body}");
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

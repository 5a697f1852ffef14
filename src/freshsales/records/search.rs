//! The rows of an answer to a search. A search may not honour what was asked, so a row is read for what it shows and
//! nothing more; whether it is believed, the lane decides. Pure.

use std::collections::HashMap;

use serde_json::Value;

use super::contact::{FoundContact, SalesAccountLink, links_of};
use super::deals::{ShownDeals, deals_of_row};
use super::record::{id, is_deleted};

/// A contact in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactRow {
    /// Freshsales' id.
    pub id: i64,
    /// Its addresses, in lower case.
    pub addresses: Vec<String>,
    /// Its links to sales accounts; `None` if the row does not show them.
    pub links: Option<Vec<SalesAccountLink>>,
    /// Its deals, as far as they are shown.
    pub deals: ShownDeals,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// The rows of a search for contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactRows {
    /// Those that could be read.
    pub rows: Vec<ContactRow>,
    /// Every contact that matched is among them.
    pub complete: bool,
}

/// Reads the answer to a search for contacts. `None` if it holds no rows.
pub fn found_contacts(body: &Value) -> Option<ContactRows> {
    let all = body.get("contacts")?.as_array()?;
    let rows: Vec<ContactRow> = all.iter().filter_map(|row| contact(body, row)).collect();
    let total = body.get("meta").and_then(|meta| meta.get("total")).and_then(Value::as_u64);
    let complete = rows.len() == all.len() && total.is_some_and(|total| total == all.len() as u64);
    Some(ContactRows { rows, complete })
}

fn contact(body: &Value, row: &Value) -> Option<ContactRow> {
    let found = FoundContact::read(row);
    Some(ContactRow {
        id: found.id?,
        addresses: found.addresses,
        links: links_of(row),
        deals: deals_of_row(body, row),
        deleted: is_deleted(row),
    })
}

/// Reads the ids of the sales accounts that a search found, by name in lower case. `None` for a name that several have, or
/// a deleted one. `None` if the answer holds no rows.
pub fn found_sales_accounts(body: &Value) -> Option<HashMap<String, Option<i64>>> {
    let mut found = HashMap::new();
    for row in body.get("sales_accounts")?.as_array()? {
        let named = row.get("name").and_then(Value::as_str).zip(row.get("id").and_then(id));
        let Some((name, id)) = named else { continue };
        let id = (!is_deleted(row)).then_some(id);
        let several = |known: &mut Option<i64>| *known = None;
        found.entry(name.trim().to_lowercase()).and_modify(several).or_insert(id);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshsales::ShownDeal;
    use serde_json::json;

    #[test]
    fn a_row_shows_links_and_deals_only_where_it_has_the_keys() {
        let body = json!({
            "contacts": [
                {"id": "1", "email": "A@x.com", "sales_accounts": [{"id": 7, "is_primary": true}], "deals": []},
                {"id": 2, "emails": [{"value": "b@x.com", "is_primary": true}, {"value": "c@x.com"}],
                 "sales_accounts": null, "deal_ids": [5]},
                {"id": 3, "email": "d@x.com", "deal_ids": [6], "is_deleted": true},
                {"email": "no id"},
            ],
            "deals": [{"id": 5, "name": "Renewal"}, {"id": 9, "name": "Another's"}],
            "meta": {"total": 4},
        });
        let found = found_contacts(&body).unwrap();
        assert!(!found.complete, "one row cannot be read");
        let deal = ShownDeal { id: 5, name: "Renewal".to_owned(), open: true };
        let deals = |deals: Vec<ShownDeal>, all| ShownDeals { deals, all };
        let shown: Vec<_> = found
            .rows
            .into_iter()
            .map(|row| {
                (row.id, row.addresses.len(), row.links.map(|links| links.len()), row.deals, row.deleted)
            })
            .collect();
        assert_eq!(
            shown,
            [
                (1, 1, Some(1), deals(vec![], true), false),
                (2, 3, Some(0), deals(vec![deal], true), false),
                (3, 1, None, deals(vec![], false), true),
            ]
        );
        assert!(found_contacts(&json!({"contacts": [], "meta": {"total": 0}})).unwrap().complete);
        assert!(!found_contacts(&json!({"contacts": [], "meta": {"total": 3}})).unwrap().complete);
        for body in [json!({}), json!([]), json!({"contacts": {}}), Value::Null] {
            assert_eq!(found_contacts(&body), None, "{body}");
        }
    }

    #[test]
    fn a_name_that_several_sales_accounts_have_stands_for_none() {
        let body = json!({"sales_accounts": [
            {"id": 1, "name": "Acme "}, {"id": 2, "name": "Globex"}, {"id": 3, "name": "GLOBEX"},
            {"id": 4, "name": "Gone", "is_deleted": true}, {"name": "Without id"}
        ]});
        let found = found_sales_accounts(&body).unwrap();
        assert_eq!(found.get("acme"), Some(&Some(1)));
        assert_eq!((found.get("globex"), found.get("gone")), (Some(&None), Some(&None)));
        assert_eq!(found.len(), 3);
        assert_eq!(found_sales_accounts(&json!({"contacts": []})), None);
    }
}

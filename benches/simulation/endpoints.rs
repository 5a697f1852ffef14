//! What the modelled account answers to each call. By path and body, as the API decides it.

use std::borrow::Cow;

use freshet::schema::Entity;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::account::{Account, Relations};

/// Rows of a page, as the API allows them.
const MOST_ROWS: usize = 100;
const DEFAULT_ROWS: usize = 25;

/// A request: its path's parts, its query and its body, null for GET.
pub struct Request<'a> {
    pub path: &'a [&'a str],
    pub query: &'a [(&'static str, Cow<'static, str>)],
    pub body: &'a Value,
}

impl Request<'_> {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| *key == name).map(|(_, value)| &**value)
    }

    fn includes(&self, what: &str) -> bool {
        self.query("include").is_some_and(|words| words.split(',').any(|word| word == what))
    }

    /// Whether the call writes: only then it has a body.
    fn writes(&self) -> bool {
        !self.body.is_null()
    }
}

impl Account {
    /// The answer's body; `None` if there is no such record. Panics at what the API does not have.
    pub fn answer(&mut self, request: &Request<'_>, now: Instant) -> Option<Value> {
        match request.path {
            ["api", "filtered_search", word] => Some(self.filtered_search(of_singular(word), request, now)),
            ["api", "lookup"] => Some(self.look_up(request, now)),
            ["api", "deals"] if request.writes() => {
                let id = self.create_deal(object(&request.body["deal"]), now);
                self.record(Entity::Deal, id, request)
            }
            ["api", plural, "upsert"] => {
                let entity = of_plural(plural);
                let identifier = object(&request.body["unique_identifier"]).values().next();
                let identifier = identifier.and_then(Value::as_str).expect("an identifier");
                let id = self.upsert(entity, identifier, object(&request.body[entity.singular()]), now);
                self.record(entity, id, request)
            }
            ["api", plural, id] => {
                let entity = of_plural(plural);
                let id = id.parse().expect("an id");
                if request.writes() && !self.update(entity, id, object(&request.body[entity.singular()]), now)
                {
                    return None;
                }
                self.record(entity, id, request)
            }
            ["track", "events" | "page_views"] => Some(json!({})),
            path => panic!("the model has no {path:?}"),
        }
    }

    /// Writes a bulk upsert's row. False if it names a record that is not there.
    pub fn write_row(&mut self, entity: Entity, row: &Value, now: Instant) -> bool {
        let data = object(&row["data"]);
        if let Some(id) = row.get("id") {
            let id = id.as_i64().or_else(|| id.as_str()?.parse().ok()).expect("an id is digits");
            return self.update(entity, id, data, now);
        }
        let key = if entity == Entity::Contact { "emails" } else { "name" };
        self.upsert(entity, row[key].as_str().expect("an identifier"), data, now);
        true
    }

    /// One record, as it is now.
    fn record(&self, entity: Entity, id: i64, request: &Request<'_>) -> Option<Value> {
        let mut answer = Map::new();
        let record = match entity {
            Entity::Contact => {
                let relations = &self.contact(id)?.relations;
                if request.includes("deals") {
                    answer.insert("deals".to_owned(), self.deals_of(relations));
                }
                let mut contact = self.contact_row(id, relations, request);
                contact.shift_remove("deals");
                contact
            }
            Entity::SalesAccount => {
                let account = self.sales_account(id)?;
                Map::from_iter([
                    ("id".to_owned(), id.into()),
                    ("name".to_owned(), account.name.clone().into()),
                ])
            }
            Entity::Deal => {
                let deal = self.deal(id)?;
                Map::from_iter([("id".to_owned(), id.into()), ("name".to_owned(), deal.name.clone().into())])
            }
        };
        answer.insert(entity.singular().to_owned(), record.into());
        Some(answer.into())
    }

    fn contact_row(&self, id: i64, relations: &Relations, request: &Request<'_>) -> Map<String, Value> {
        let contact = self.contact(id).expect("it is there");
        let mut row = Map::new();
        row.insert("id".to_owned(), id.into());
        row.insert("email".to_owned(), (&*contact.email).into());
        row.insert("emails".to_owned(), json!([{ "value": &*contact.email, "is_primary": true }]));
        if let Some(external_id) = contact.fields.get("external_id") {
            row.insert("external_id".to_owned(), external_id.clone());
        }
        if request.includes("sales_accounts") {
            let links = relations.links.iter();
            let links = links.map(|link| json!({ "id": link.account, "is_primary": link.primary }));
            row.insert("sales_accounts".to_owned(), links.collect());
        }
        if request.includes("deals") {
            row.insert("deals".to_owned(), self.deals_of(relations));
        }
        row
    }

    fn deals_of(&self, relations: &Relations) -> Value {
        let row = |id: &i64| {
            let deal = self.deal(*id).expect("it is there");
            json!({ "id": id, "name": deal.name, "sales_account_id": deal.sales_account })
        };
        relations.deals.iter().map(row).collect()
    }

    fn look_up(&self, request: &Request<'_>, now: Instant) -> Value {
        let wanted = request.query("q").expect("a look-up asks for something");
        let found = match request.query("f") {
            Some("email") => self.found_contact(wanted, now),
            Some("external_id") => self.found_external_id(wanted, now),
            other => panic!("a look-up by {other:?}"),
        };
        let rows = found.map(|(id, relations)| Value::from(self.contact_row(id, relations, request)));
        json!({ "contacts": { "contacts": rows.into_iter().collect::<Value>() } })
    }

    fn filtered_search(&self, entity: Entity, request: &Request<'_>, now: Instant) -> Value {
        let number = |name: &str, default: usize| {
            request.query(name).map_or(default, |text| text.parse().expect("a number"))
        };
        let (rows, page) = (number("per_page", DEFAULT_ROWS), number("page", 1));
        assert!((1..=MOST_ROWS).contains(&rows) && page > 0, "{rows} rows of page {page}");
        let [rule] = request.body["filter_rule"].as_array().expect("a rule").as_slice() else {
            panic!("one rule is modelled")
        };
        assert_eq!(rule["operator"], "is_in");
        let values = rule["value"].as_array().expect("a list of values");
        assert!(values.len() <= MOST_ROWS, "{} values", values.len());
        let values = values.iter().map(|value| value.as_str().expect("a text"));
        let attribute = rule["attribute"].as_str().expect("an attribute");
        let found: Vec<Value> = match (entity, attribute) {
            (Entity::Contact, "contact_email.email") => values
                .filter_map(|email| self.found_contact(email, now))
                .map(|(id, relations)| self.contact_row(id, relations, request).into())
                .collect(),
            (Entity::SalesAccount, "name") => values
                .filter_map(|name| Some(json!({ "id": self.found_account(name, now)?, "name": name })))
                .collect(),
            (Entity::Contact | Entity::SalesAccount | Entity::Deal, other) => panic!("a search by {other}"),
        };
        let total = found.len();
        let shown: Value = found.into_iter().skip((page - 1) * rows).take(rows).collect();
        json!({ entity.plural(): shown, "meta": { "total": total } })
    }
}

pub fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

pub fn of_plural(word: &str) -> Entity {
    *Entity::ALL.iter().find(|entity| entity.plural() == word).expect("an entity")
}

fn of_singular(word: &str) -> Entity {
    *Entity::ALL.iter().find(|entity| entity.singular() == word).expect("an entity")
}

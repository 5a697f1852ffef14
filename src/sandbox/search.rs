//! Finding records: look-up by one field, search by text, and filtered search of contacts.

use serde_json::{Value, json};

use super::{
    answer::Refused,
    fields::FieldFiles,
    render::{self, Include},
    store::{Key, Record, Store},
};
use crate::schema::Entity;

/// The most rows a search answers.
const MOST_ROWS: usize = 25;

/// `GET lookup?q=..&f=..&entities=..`: records whose field `f` is `q`, whatever its case.
pub(super) fn lookup(
    store: &Store,
    fields: &FieldFiles,
    q: &str,
    f: &str,
    entities: &str,
) -> Result<Value, Refused> {
    if q.is_empty() || f.is_empty() || entities.is_empty() {
        return Err(Refused::invalid("q, f and entities are needed"));
    }
    let mut out = serde_json::Map::new();
    for word in entities.split(',') {
        let entity = entity(word)?;
        let known = f == "email" || fields.get(entity.into()).fields.get(f).is_some();
        if !known {
            return Err(Refused::invalid(format!("{f} is not a field of {}", entity.plural())));
        }
        let rows: Value = matches(store, entity, f, q)
            .into_iter()
            .map(|record| render::full(store, fields, entity, record, Include::Nothing))
            .collect();
        out.insert(entity.plural().to_owned(), json!({ entity.plural(): rows }));
    }
    Ok(Value::Object(out))
}

/// `GET search?q=..&include=contact,..`: records with the text in their name or addresses.
pub(super) fn search(store: &Store, q: &str, include: &str) -> Result<Value, Refused> {
    let q = q.to_lowercase();
    let mut rows = Vec::new();
    for word in include.split(',') {
        let entity = entity(word)?;
        let found = store.shelf(entity).iter().filter(|record| {
            let addresses = record.emails.iter().any(|email| email.value.to_lowercase().contains(&q));
            addresses || record.display_name(entity).to_lowercase().contains(&q)
        });
        rows.extend(found.map(|record| {
            json!({
                "id": record.id.to_string(),
                "type": entity.singular(),
                "name": record.display_name(entity),
                "email": record.primary_email(),
                "avatar": null,
            })
        }));
    }
    rows.truncate(MOST_ROWS);
    Ok(Value::Array(rows))
}

/// `POST filtered_search/contact`: contacts to which every rule applies. Rows lack custom fields.
pub(super) fn filtered(store: &Store, fields: &FieldFiles, body: &Value) -> Result<Value, Refused> {
    let rules = body.get("filter_rule").and_then(Value::as_array).filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| Refused::invalid("filter_rule is invalid"))?;
    let mut found: Option<Vec<&Record>> = None;
    for rule in rules {
        let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
        let field = match text("attribute") {
            "contact_email.email" => "email",
            word @ ("mobile_number" | "external_id" | "first_name" | "last_name") => word,
            _ => return Err(Refused::invalid("filter_rule has an attribute the sandbox does not know")),
        };
        if text("operator") != "is_in" {
            return Err(Refused::invalid("filter_rule has an operator other than is_in"));
        }
        let values: Vec<&str> = match rule.get("value") {
            Some(Value::String(value)) => vec![value],
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                return Err(Refused::invalid("filter_rule has no value"));
            }
        };
        let of_rule: Vec<&Record> =
            values.iter().flat_map(|value| matches(store, Entity::Contact, field, value)).collect();
        found = Some(match found {
            None => of_rule,
            Some(found) => found.into_iter().filter(|one| of_rule.iter().any(|it| it.id == one.id)).collect(),
        });
    }
    let rows: Vec<Value> = found
        .unwrap_or_default()
        .into_iter()
        .map(|record| {
            let mut row = render::full(store, fields, Entity::Contact, record, Include::Nothing);
            if let Some(row) = row.as_object_mut() {
                row.shift_remove("custom_field");
            }
            row
        })
        .collect();
    Ok(json!({ "meta": { "total": rows.len() }, "contacts": rows }))
}

fn matches<'a>(store: &'a Store, entity: Entity, field: &str, value: &str) -> Vec<&'a Record> {
    let shelf = store.shelf(entity);
    let word = if field == "email" { Key::Email.as_str() } else { field };
    if let Some(key) = Key::of(entity).iter().find(|key| key.as_str() == word) {
        return shelf.all(*key, value).take(MOST_ROWS).collect();
    }
    let value = value.trim().to_lowercase();
    let is = |held: Option<&Value>| {
        held.is_some_and(|held| match held {
            Value::String(text) => text.to_lowercase() == value,
            Value::Number(number) => number.to_string() == value,
            Value::Bool(flag) => flag.to_string() == value,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        })
    };
    let found =
        shelf.iter().filter(|record| is(record.fields.get(field)) || is(record.custom_field.get(field)));
    found.take(MOST_ROWS).collect()
}

fn entity(word: &str) -> Result<Entity, Refused> {
    let entity = Entity::ALL.iter().copied().find(|entity| entity.singular() == word.trim());
    entity.ok_or_else(|| Refused::invalid("entities should be of contact, sales_account, deal"))
}

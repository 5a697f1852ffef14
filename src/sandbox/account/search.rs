//! Finding records: look-up by one field, search by text, and filtered search. All three see records as the search index
//! has them, which may lag behind.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::related::{Related, Relations, SideLoaded};
use super::render;
use super::store::Store;
use super::store::record::{Identifier, StoredRecord};
use crate::sandbox::http::response::ApiError;
use crate::sandbox::metadata::fields::FieldFiles;
use crate::schema::Entity;

/// The most rows a look-up or a search answers.
const MOST_ROWS: usize = 25;

/// Rows of a filtered search's page where the request does not say.
const PER_PAGE: usize = 25;

/// The most rows of a filtered search's page.
const MOST_PER_PAGE: usize = 100;

/// `GET lookup?q=..&f=..&entities=..`: records whose field `f` is `q`, whatever its case.
pub(in crate::sandbox) fn lookup(
    store: &Store,
    fields: &FieldFiles,
    q: &str,
    f: &str,
    entities: &str,
) -> Result<Value, ApiError> {
    if q.is_empty() || f.is_empty() || entities.is_empty() {
        return Err(ApiError::invalid("q, f and entities are needed"));
    }
    let mut out = serde_json::Map::new();
    for word in entities.split(',') {
        let entity = entity(word)?;
        let known = f == "email" || fields.get(entity.into()).fields.get(f).is_some();
        if !known {
            return Err(ApiError::invalid(format!("{f} is not a field of {}", entity.plural())));
        }
        let rows: Value = matches(store, entity, f, &[q.to_owned()])
            .into_iter()
            .take(MOST_ROWS)
            .map(|record| Value::Object(render::full(fields, entity, record)))
            .collect();
        out.insert(entity.plural().to_owned(), json!({ entity.plural(): rows }));
    }
    Ok(Value::Object(out))
}

/// `GET search?q=..&include=contact,..`: records with the text in their name or addresses.
pub(in crate::sandbox) fn search(store: &Store, q: &str, include: &str) -> Result<Value, ApiError> {
    let q = q.to_lowercase();
    let mut rows = Vec::new();
    for word in include.split(',') {
        let entity = entity(word)?;
        let found = seen(store, entity).filter(|record| {
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

/// Which page of a filtered search is asked for.
pub(in crate::sandbox) struct Paging {
    /// From 1.
    number: usize,
    rows: usize,
}

impl Paging {
    /// As the query has them: `page` and `per_page`. What is no number, or too much, is the nearest that is right.
    pub(in crate::sandbox) fn of(page: &str, per_page: &str) -> Self {
        let number = page.parse().unwrap_or(1).max(1);
        let rows = per_page.parse().unwrap_or(PER_PAGE).clamp(1, MOST_PER_PAGE);
        Self { number, rows }
    }
}

/// `POST filtered_search/..`: records to which every rule applies, oldest first. Rows lack custom fields.
pub(in crate::sandbox) fn filtered(
    relations: &Relations<'_>,
    entity: Entity,
    body: &Value,
    page: &Paging,
    asked: &[Related],
) -> Result<Value, ApiError> {
    let rules = body.get("filter_rule").and_then(Value::as_array).filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| ApiError::invalid("filter_rule is invalid"))?;
    let mut found: Option<BTreeMap<u64, &StoredRecord>> = None;
    for rule in rules {
        let of_rule = applies(relations, entity, rule)?;
        found = Some(match found {
            None => of_rule,
            Some(found) => found.into_iter().filter(|(id, _)| of_rule.contains_key(id)).collect(),
        });
    }
    let found = found.unwrap_or_default();
    let mut beside = SideLoaded::default();
    let on_page = found.values().skip((page.number - 1).saturating_mul(page.rows)).take(page.rows);
    let rows = on_page.map(|record| {
        let mut row = render::full(relations.fields, entity, record);
        row.shift_remove("custom_field");
        relations.add(entity, record, asked, &mut row, &mut beside);
        Value::Object(row)
    });
    let rows: Value = rows.collect();
    let mut out = serde_json::Map::new();
    out.insert(entity.plural().to_owned(), rows);
    beside.add_to(&mut out);
    let pages = found.len().div_ceil(page.rows);
    out.insert("meta".to_owned(), json!({ "total": found.len(), "total_pages": pages }));
    Ok(Value::Object(out))
}

/// Records to which one rule applies, by id.
fn applies<'a>(
    relations: &Relations<'a>,
    entity: Entity,
    rule: &Value,
) -> Result<BTreeMap<u64, &'a StoredRecord>, ApiError> {
    let text = |key: &str| rule.get(key).and_then(Value::as_str).unwrap_or_default();
    let field = match (entity, text("attribute")) {
        (Entity::Contact, "contact_email.email") => "email",
        (_, "id") => "id",
        (_, word) if relations.fields.get(entity.into()).fields.get(word).is_some() => word,
        (Entity::Contact | Entity::SalesAccount | Entity::Deal, _) => {
            return Err(ApiError::invalid("filter_rule has an attribute the sandbox does not know"));
        }
    };
    if text("operator") != "is_in" {
        return Err(ApiError::invalid("filter_rule has an operator other than is_in"));
    }
    let values: Option<Vec<String>> = match rule.get("value") {
        Some(Value::Array(values)) => values.iter().map(comparable).collect(),
        Some(value) => comparable(value).map(|value| vec![value]),
        None => None,
    };
    let values = values.ok_or_else(|| ApiError::invalid("filter_rule has no value"))?;
    let found = matches(relations.store, entity, field, &values);
    Ok(found.into_iter().map(|record| (record.id, record)).collect())
}

/// Records whose field is one of the values, whatever their case.
fn matches<'a>(store: &'a Store, entity: Entity, field: &str, values: &[String]) -> Vec<&'a StoredRecord> {
    let word = if field == "email" { Identifier::Email.as_str() } else { field };
    if let Some(key) = Identifier::of(entity).iter().find(|key| key.as_str() == word) {
        return values.iter().flat_map(|value| seen_by(store, entity, *key, value)).collect();
    }
    let values: Vec<String> = values.iter().map(|value| value.trim().to_lowercase()).collect();
    let is = |held: Option<&Value>| {
        held.and_then(comparable).is_some_and(|held| values.contains(&held.trim().to_lowercase()))
    };
    let found = seen(store, entity).filter(|record| {
        let by_id = field == "id" && values.contains(&record.id.to_string());
        by_id || is(record.fields.get(field)) || is(record.custom_field.get(field))
    });
    found.collect()
}

/// Every record as searches see it.
fn seen(store: &Store, entity: Entity) -> impl Iterator<Item = &StoredRecord> {
    let now = store.records(entity).iter().filter(move |record| !store.lag.hides(entity, record.id));
    now.chain(store.lag.older(entity))
}

/// The same, of those with this identifier.
fn seen_by<'a>(store: &'a Store, entity: Entity, key: Identifier, value: &str) -> Vec<&'a StoredRecord> {
    let now = store.records(entity).find_all(key, value).filter(|record| !store.lag.hides(entity, record.id));
    now.chain(store.lag.older(entity).filter(|record| record.is_identified_by(key, value))).collect()
}

/// A value as it is compared; `None` for what is no text, number or flag.
fn comparable(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn entity(word: &str) -> Result<Entity, ApiError> {
    let entity = Entity::ALL.iter().copied().find(|entity| entity.singular() == word.trim());
    entity.ok_or_else(|| ApiError::invalid("entities should be of contact, sales_account, deal"))
}

//! Finding records: look-up by one field, search by text, and filtered search. The records that all three are given are
//! those of the search index, which may be older than the account's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    error::ApiError,
    related::{Includable, Relations, SideLoaded},
    render,
    store::{
        account_records::AccountRecords,
        record::{StoredRecord, UniqueIdentifier},
    },
};
use crate::{
    sandbox::{metadata::fields::FieldFiles, options::SearchFilter},
    schema::Entity,
};

const MAX_ROWS: usize = 25;

/// Rows of a filtered search's page, unless the request says otherwise.
const PER_PAGE: usize = 25;

const MAX_PER_PAGE: usize = 100;

/// Values of a rule that an account with a short filter looks at.
const SHORT_FILTER: usize = 25;

/// `GET lookup?q=..&f=..&entities=..`: records whose field `f` is `q`, compared without case.
pub(in crate::sandbox) fn lookup(
    records: &AccountRecords,
    fields: &FieldFiles,
    q: &str,
    f: &str,
    entities: &str,
) -> Result<Value, ApiError> {
    if q.is_empty() || f.is_empty() || entities.is_empty() {
        return Err(ApiError::invalid("q, f and entities are needed"));
    }
    let mut out = Map::new();
    for word in entities.split(',') {
        let entity = entity(word)?;
        let known = f == "email" || fields.get(entity.into()).fields.get(f).is_some();
        if !known {
            return Err(ApiError::invalid(format!("{f} is not a field of {}", entity.plural())));
        }
        let rows: Value = with_value(records, entity, f, &[q.to_owned()])
            .into_iter()
            .take(MAX_ROWS)
            .map(|record| Value::Object(render::full(fields, entity, record)))
            .collect();
        out.insert(entity.plural().to_owned(), json!({ entity.plural(): rows }));
    }
    Ok(Value::Object(out))
}

/// `GET search?q=..&include=contact,..`: records with the text in their name or addresses.
pub(in crate::sandbox) fn search(
    records: &AccountRecords,
    q: &str,
    include: &str,
) -> Result<Value, ApiError> {
    let q = q.to_lowercase();
    let mut rows = Vec::new();
    for word in include.split(',') {
        let entity = entity(word)?;
        let found = records.of(entity).iter().filter(|record| {
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
    rows.truncate(MAX_ROWS);
    Ok(Value::Array(rows))
}

pub(in crate::sandbox) struct Paging {
    /// From 1.
    number: usize,
    rows: usize,
}

impl Paging {
    /// From the query's `page` and `per_page`. Values out of range become the nearest one in range, and texts that are not
    /// numbers the default.
    pub(in crate::sandbox) fn parse(page: &str, per_page: &str) -> Self {
        let number = page.parse().unwrap_or(1).max(1);
        let rows = per_page.parse().unwrap_or(PER_PAGE).clamp(1, MAX_PER_PAGE);
        Self { number, rows }
    }
}

/// `POST filtered_search/..`: records that match every rule, oldest first. Rows lack custom fields.
pub(in crate::sandbox) fn filtered(
    relations: &Relations<'_>,
    entity: Entity,
    body: &Value,
    page: &Paging,
    include: &[Includable],
    filter: SearchFilter,
) -> Result<Value, ApiError> {
    let rules = body.get("filter_rule").and_then(Value::as_array).filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| ApiError::invalid("filter_rule is invalid"))?;
    let mut found: Option<BTreeMap<u64, &StoredRecord>> = None;
    for rule in rules {
        let of_rule = matching_rule(relations, entity, rule, filter)?;
        found = Some(match found {
            None => of_rule,
            Some(found) => found.into_iter().filter(|(id, _)| of_rule.contains_key(id)).collect(),
        });
    }
    let found = found.unwrap_or_default();
    let mut side_loaded = SideLoaded::default();
    let on_page = found.values().skip((page.number - 1).saturating_mul(page.rows)).take(page.rows);
    let rows = on_page.map(|record| {
        let mut row = render::full(relations.fields, entity, record);
        row.shift_remove("custom_field");
        relations.add(entity, record, include, &mut row, &mut side_loaded);
        Value::Object(row)
    });
    let rows: Value = rows.collect();
    let mut out = Map::new();
    out.insert(entity.plural().to_owned(), rows);
    side_loaded.add_to(&mut out);
    let pages = found.len().div_ceil(page.rows);
    out.insert("meta".to_owned(), json!({ "total": found.len(), "total_pages": pages }));
    Ok(Value::Object(out))
}

/// By id.
fn matching_rule<'a>(
    relations: &Relations<'a>,
    entity: Entity,
    rule: &Value,
    filter: SearchFilter,
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
    let value = rule.get("value");
    let values: Option<Vec<String>> = match value {
        Some(Value::Array(values)) => values.iter().map(comparable).collect(),
        Some(value) => comparable(value).map(|value| vec![value]),
        None => None,
    };
    let mut values = values.ok_or_else(|| ApiError::invalid("filter_rule has no value"))?;
    match filter {
        SearchFilter::OneValue if value.is_some_and(Value::is_array) => values.clear(),
        SearchFilter::Honoured | SearchFilter::OneValue => {}
        SearchFilter::First25 => values.truncate(SHORT_FILTER),
        SearchFilter::Ignored => {
            return Ok(relations.records.of(entity).iter().map(|record| (record.id, record)).collect());
        }
    }
    let found = with_value(relations.records, entity, field, &values);
    Ok(found.into_iter().map(|record| (record.id, record)).collect())
}

/// Records whose field has one of the values, compared without case.
fn with_value<'a>(
    records: &'a AccountRecords,
    entity: Entity,
    field: &str,
    values: &[String],
) -> Vec<&'a StoredRecord> {
    let records = records.of(entity);
    if field == "id" {
        let ids = values.iter().filter_map(|value| value.trim().parse().ok());
        return ids.filter_map(|id| records.get(id)).collect();
    }
    let word = if field == "email" { UniqueIdentifier::Email.as_str() } else { field };
    let identifier = UniqueIdentifier::of(entity).iter().find(|identifier| identifier.as_str() == word);
    if let Some(identifier) = identifier {
        return values.iter().flat_map(|value| records.find_all(*identifier, value)).collect();
    }
    let values: BTreeSet<String> = values.iter().map(|value| value.trim().to_lowercase()).collect();
    let matches = |value: Option<&Value>| {
        value.and_then(comparable).is_some_and(|value| values.contains(&value.trim().to_lowercase()))
    };
    let found = records
        .iter()
        .filter(|record| matches(record.fields.get(field)) || matches(record.custom_field.get(field)));
    found.collect()
}

/// The text that is compared; `None` for lists, objects and null.
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

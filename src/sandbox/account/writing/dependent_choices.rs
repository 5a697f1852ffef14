//! Choices that belong to another choice: a contact's status to its lifecycle stage, a deal's stage to its pipeline.

use serde_json::Value;

use crate::{
    sandbox::{
        account::store::record::StoredRecord,
        metadata::{
            fields::FieldFiles,
            numbers,
            selectors::{self, SelectorLists},
        },
    },
    schema::Entity,
    segment::JsonMap,
};

/// Refuses a child choice in the body that does not belong to the record's parent choice. If the body names only another
/// parent, the record gets that parent's first child, as in Freshsales' own pages (a guess).
pub(super) fn write(
    entity: Entity,
    fields: &FieldFiles,
    selectors: &SelectorLists,
    body: &JsonMap,
    record: &mut StoredRecord,
) -> Vec<String> {
    let (parent, child, problem) = match entity {
        Entity::Contact => ("lifecycle_stage_id", "contact_status_id", "Invalid contact status provided."),
        Entity::Deal => ("deal_pipeline_id", "deal_stage_id", "Invalid deal stage provided."),
        Entity::SalesAccount => return Vec::new(),
    };
    let in_body = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    if !in_body(parent) && !in_body(child) {
        return Vec::new();
    }
    let written = |name: &str| record.fields.get(name).and_then(numbers::id);
    let children = match entity {
        Entity::Contact => selectors.statuses(fields, written(parent)),
        Entity::Deal => selectors::deal_stages(fields, written(parent)),
        Entity::SalesAccount => None,
    };
    let (Some(children), Some(id)) = (children, written(child)) else { return Vec::new() };
    if children.contains(&id) {
        return Vec::new();
    }
    if in_body(child) {
        return vec![problem.to_owned()];
    }
    match children.first() {
        Some(first) => drop(record.fields.insert(child.to_owned(), Value::from(*first))),
        None => drop(record.fields.shift_remove(child)),
    }
    Vec::new()
}

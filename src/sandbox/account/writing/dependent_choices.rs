//! Choices that belong to another choice: a contact's status to its lifecycle stage, a deal's stage to its pipeline.

use serde_json::Value;

use super::values;
use crate::sandbox::account::store::record::StoredRecord;
use crate::sandbox::metadata::fields::{FieldFile, FieldFiles, Form};
use crate::sandbox::metadata::selectors::SelectorLists;
use crate::schema::Entity;
use crate::segment::JsonMap;

/// Refuses a child that the body names and that does not belong to the record's parent. Where the body names only
/// another parent, the record gets that parent's first child, as the pages for people do it (a guess).
pub(in crate::sandbox) fn write(
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
    let named = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    if !named(parent) && !named(child) {
        return Vec::new();
    }
    let held = |name: &str| record.fields.get(name).and_then(values::id);
    let children = match entity {
        Entity::Contact => selectors.statuses(fields, held(parent)),
        Entity::Deal => stages(fields.get(Form::Deals), held(parent)),
        Entity::SalesAccount => None,
    };
    let (Some(children), Some(id)) = (children, held(child)) else { return Vec::new() };
    if children.contains(&id) {
        return Vec::new();
    }
    if named(child) {
        return vec![problem.to_owned()];
    }
    match children.first() {
        Some(first) => drop(record.fields.insert(child.to_owned(), Value::from(*first))),
        None => drop(record.fields.shift_remove(child)),
    }
    Vec::new()
}

/// A pipeline's stages, in their order; of the first pipeline where none is named. `None` where the metadata does not
/// tell whose a stage is.
fn stages(deals: &FieldFile, pipeline: Option<u64>) -> Option<Vec<u64>> {
    let id = |choice: &Value, key: &str| choice.get(key).and_then(values::id);
    let pipeline =
        pipeline.or_else(|| deals.choices("deal_pipeline_id").find_map(|choice| id(choice, "id")))?;
    let mut choices = deals.choices("deal_stage_id").peekable();
    choices.peek()?;
    let mut stages = Vec::new();
    for choice in choices {
        if id(choice, "deal_pipeline_id")? == pipeline {
            stages.extend(id(choice, "id"));
        }
    }
    Some(stages)
}

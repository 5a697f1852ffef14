//! What `GET selector/..` answers: rows made from a field's choices, and what the choices lack, which is the owners'
//! addresses and the contact statuses of each lifecycle stage.
//!
//! An answer can be replaced while the sandbox runs; contact statuses are then checked against the replacement.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{field_file::Form, fields::FieldFiles, numbers, selector_list::SelectorList};

/// `selectors.json`: what the choices of the built-in fields lack.
#[derive(Default, Deserialize)]
struct BuiltIn {
    owners: Vec<Owner>,
    lifecycle_stages: Vec<LifecycleStage>,
}

#[derive(Deserialize)]
struct Owner {
    id: u64,
    email: String,
}

#[derive(Deserialize)]
struct LifecycleStage {
    id: u64,
    default: bool,
    contact_status_ids: Vec<u64>,
}

pub(in crate::sandbox) struct SelectorLists {
    built_in: BuiltIn,
    replaced: BTreeMap<SelectorList, Value>,
}

impl Default for SelectorLists {
    fn default() -> Self {
        // A test reads the file, so the default never stands in for it.
        let built_in = serde_json::from_str(include_str!("selectors.json")).unwrap_or_default();
        Self { built_in, replaced: BTreeMap::new() }
    }
}

impl SelectorLists {
    /// The answer to `GET selector/<list>`.
    pub(in crate::sandbox) fn answer(&self, list: SelectorList, fields: &FieldFiles) -> Value {
        if let Some(replaced) = self.replaced.get(&list) {
            return replaced.clone();
        }
        let (form, field) = list.field();
        let rows = fields.get(form).choices(field).enumerate().map(|(at, choice)| {
            let mut row = choice.clone();
            if let Some(row) = row.as_object_mut() {
                let id = row.get("id").and_then(numbers::id).map(Value::from);
                row.extend(id.map(|id| ("id".to_owned(), id)));
                let label = row.shift_remove("value").unwrap_or_default();
                self.complete(row, list, label, at, fields);
            }
            row
        });
        json!({ list.key(): rows.collect::<Value>() })
    }

    /// Adds the label and what only this list has. `at` is the row's place: the first row is the default one.
    fn complete(
        &self,
        row: &mut Map<String, Value>,
        list: SelectorList,
        label: Value,
        at: usize,
        fields: &FieldFiles,
    ) {
        match list {
            SelectorList::Owners => self.complete_owner(row, label),
            SelectorList::LifecycleStages => self.complete_lifecycle_stage(row, label, at, fields),
            SelectorList::DealPipelines => {
                row.insert("name".to_owned(), label);
                row.insert("is_default".to_owned(), Value::Bool(at == 0));
            }
            SelectorList::BusinessTypes
            | SelectorList::Campaigns
            | SelectorList::ContactStatuses
            | SelectorList::Currencies
            | SelectorList::DealPaymentStatuses
            | SelectorList::DealReasons
            | SelectorList::DealStages
            | SelectorList::DealTypes
            | SelectorList::IndustryTypes
            | SelectorList::LeadSources
            | SelectorList::SalesActivityOutcomes
            | SelectorList::SalesActivityTypes
            | SelectorList::Territories => drop(row.insert("name".to_owned(), label)),
        }
    }

    fn complete_owner(&self, row: &mut Map<String, Value>, label: Value) {
        let id = row.get("id").and_then(Value::as_u64);
        let known = self.built_in.owners.iter().find(|owner| Some(owner.id) == id);
        let email = known.map_or_else(
            || format!("user-{}@example.com", id.unwrap_or_default()),
            |owner| owner.email.clone(),
        );
        row.shift_remove("position");
        row.insert("email".to_owned(), Value::String(email));
        row.insert("display_name".to_owned(), label);
        row.entry("is_active").or_insert(Value::Bool(true));
    }

    /// A stage that is not built in gets every status: refusing one would rest on nothing.
    fn complete_lifecycle_stage(
        &self,
        row: &mut Map<String, Value>,
        label: Value,
        at: usize,
        fields: &FieldFiles,
    ) {
        let id = row.get("id").and_then(Value::as_u64);
        let known = self.built_in.lifecycle_stages.iter().find(|stage| Some(stage.id) == id);
        let statuses = known.map_or_else(
            || {
                let (form, field) = SelectorList::ContactStatuses.field();
                let statuses = fields.get(form).choices(field);
                statuses.filter_map(|choice| choice.get("id").and_then(numbers::id)).collect()
            },
            |stage| stage.contact_status_ids.clone(),
        );
        row.insert("name".to_owned(), label);
        row.insert("disabled".to_owned(), Value::Bool(false));
        row.insert("default".to_owned(), Value::Bool(known.map_or(at == 0, |stage| stage.default)));
        row.insert("contact_status_ids".to_owned(), Value::from(statuses));
    }

    /// Answers `body` from now on. The error says what the body should look like.
    pub(in crate::sandbox) fn replace(&mut self, list: SelectorList, body: &[u8]) -> Result<(), String> {
        let key = list.key();
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let rows = body.get(key).and_then(Value::as_array);
        if !rows.is_some_and(|rows| rows.iter().all(Value::is_object)) {
            return Err(format!(r#"expected {{"{key}": [{{..}}, ..]}} as the selector answers it"#));
        }
        self.replaced.insert(list, body);
        Ok(())
    }

    /// An owner's row in the list of owners.
    pub(in crate::sandbox) fn owner(&self, fields: &FieldFiles, id: u64) -> Option<Value> {
        self.rows(SelectorList::Owners, fields).into_iter().find(|row| row_id(row) == Some(id))
    }

    /// The contact statuses of a lifecycle stage; of the default stage if none is given.
    pub(in crate::sandbox) fn statuses(&self, fields: &FieldFiles, stage: Option<u64>) -> Option<Vec<u64>> {
        let rows = self.rows(SelectorList::LifecycleStages, fields);
        let is_default = |row: &&Value| row.get("default").and_then(Value::as_bool) == Some(true);
        let row = match stage {
            Some(id) => rows.iter().find(|row| row_id(row) == Some(id))?,
            None => rows.iter().find(is_default).or_else(|| rows.first())?,
        };
        let ids = row.get("contact_status_ids")?.as_array()?;
        Some(ids.iter().filter_map(numbers::id).collect())
    }

    fn rows(&self, list: SelectorList, fields: &FieldFiles) -> Vec<Value> {
        match self.answer(list, fields).get_mut(list.key()).map(Value::take) {
            Some(Value::Array(rows)) => rows,
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_))
            | None => Vec::new(),
        }
    }
}

/// A pipeline's stages in their order; those of the first pipeline if none is given. `None` if the metadata does not say
/// which pipeline a stage belongs to.
pub(in crate::sandbox) fn deal_stages(fields: &FieldFiles, pipeline: Option<u64>) -> Option<Vec<u64>> {
    let deals = fields.get(Form::Deals);
    let id = |choice: &Value, key: &str| choice.get(key).and_then(numbers::id);
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

fn row_id(row: &Value) -> Option<u64> {
    row.get("id").and_then(numbers::id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_owner_and_stage_has_what_its_choice_lacks() {
        let selectors = SelectorLists::default();
        let ids = |field| -> Vec<u64> {
            let choices = FieldFiles::built_in();
            let choices = choices.get(Form::Contacts).choices(field);
            choices.filter_map(|choice| choice.get("id").and_then(numbers::id)).collect()
        };
        let owners: Vec<u64> = selectors.built_in.owners.iter().map(|owner| owner.id).collect();
        assert_eq!(owners, ids("owner_id"));
        let stages = &selectors.built_in.lifecycle_stages;
        assert_eq!(stages.iter().map(|stage| stage.id).collect::<Vec<_>>(), ids("lifecycle_stage_id"));
        let statuses = stages.iter().flat_map(|stage| stage.contact_status_ids.clone());
        let (mut statuses, mut known) = (statuses.collect::<Vec<_>>(), ids("contact_status_id"));
        statuses.sort_unstable();
        known.sort_unstable();
        assert_eq!(statuses, known, "each belongs to one stage");
        assert_eq!(stages.iter().filter(|stage| stage.default).count(), 1);
    }
}

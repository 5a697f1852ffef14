//! `GET selector/..`: the lists behind drop-downs, made from the fields' choices, and what those do not tell: owners'
//! addresses, and which contact statuses belong to which lifecycle stage. An answer can be replaced while it runs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::fields::{FieldFiles, Form};
use crate::sandbox::account::writing::values;

/// A list that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sandbox) enum SelectorList {
    BusinessTypes,
    Campaigns,
    ContactStatuses,
    Currencies,
    DealPaymentStatuses,
    DealPipelines,
    DealReasons,
    DealStages,
    DealTypes,
    IndustryTypes,
    LeadSources,
    LifecycleStages,
    Owners,
    SalesActivityOutcomes,
    SalesActivityTypes,
    Territories,
}

impl SelectorList {
    pub(in crate::sandbox) const ALL: &'static [Self] = &[
        Self::BusinessTypes,
        Self::Campaigns,
        Self::ContactStatuses,
        Self::Currencies,
        Self::DealPaymentStatuses,
        Self::DealPipelines,
        Self::DealReasons,
        Self::DealStages,
        Self::DealTypes,
        Self::IndustryTypes,
        Self::LeadSources,
        Self::LifecycleStages,
        Self::Owners,
        Self::SalesActivityOutcomes,
        Self::SalesActivityTypes,
        Self::Territories,
    ];

    /// The word in the path.
    pub(in crate::sandbox) const fn as_str(self) -> &'static str {
        match self {
            Self::BusinessTypes => "business_types",
            Self::Campaigns => "campaigns",
            Self::ContactStatuses => "contact_statuses",
            Self::Currencies => "currencies",
            Self::DealPaymentStatuses => "deal_payment_statuses",
            Self::DealPipelines => "deal_pipelines",
            Self::DealReasons => "deal_reasons",
            Self::DealStages => "deal_stages",
            Self::DealTypes => "deal_types",
            Self::IndustryTypes => "industry_types",
            Self::LeadSources => "lead_sources",
            Self::LifecycleStages => "lifecycle_stages",
            Self::Owners => "owners",
            Self::SalesActivityOutcomes => "sales_activity_outcomes",
            Self::SalesActivityTypes => "sales_activity_types",
            Self::Territories => "territories",
        }
    }

    pub(in crate::sandbox) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|selector| selector.as_str() == word)
    }

    /// The key of the list in the answer: owners are users.
    const fn key(self) -> &'static str {
        match self {
            Self::Owners => "users",
            Self::BusinessTypes
            | Self::Campaigns
            | Self::ContactStatuses
            | Self::Currencies
            | Self::DealPaymentStatuses
            | Self::DealPipelines
            | Self::DealReasons
            | Self::DealStages
            | Self::DealTypes
            | Self::IndustryTypes
            | Self::LeadSources
            | Self::LifecycleStages
            | Self::SalesActivityOutcomes
            | Self::SalesActivityTypes
            | Self::Territories => self.as_str(),
        }
    }

    /// The field whose choices it lists.
    const fn field(self) -> (Form, &'static str) {
        match self {
            Self::BusinessTypes => (Form::SalesAccounts, "business_type_id"),
            Self::Campaigns => (Form::Contacts, "campaign_id"),
            Self::ContactStatuses => (Form::Contacts, "contact_status_id"),
            Self::Currencies => (Form::Deals, "currency_id"),
            Self::DealPaymentStatuses => (Form::Deals, "deal_payment_status_id"),
            Self::DealPipelines => (Form::Deals, "deal_pipeline_id"),
            Self::DealReasons => (Form::Deals, "deal_reason_id"),
            Self::DealStages => (Form::Deals, "deal_stage_id"),
            Self::DealTypes => (Form::Deals, "deal_type_id"),
            Self::IndustryTypes => (Form::SalesAccounts, "industry_type_id"),
            Self::LeadSources => (Form::Contacts, "lead_source_id"),
            Self::LifecycleStages => (Form::Contacts, "lifecycle_stage_id"),
            Self::Owners => (Form::Contacts, "owner_id"),
            Self::SalesActivityOutcomes => (Form::SalesActivities, "sales_activity_outcome_id"),
            Self::SalesActivityTypes => (Form::SalesActivities, "sales_activity_type_id"),
            Self::Territories => (Form::Contacts, "territory_id"),
        }
    }
}

/// What the choices of the built-in fields do not tell.
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

/// The lists of one account.
pub(in crate::sandbox) struct SelectorLists {
    built_in: BuiltIn,
    replaced: BTreeMap<SelectorList, Value>,
}

impl Default for SelectorLists {
    fn default() -> Self {
        // Part of the program, and a test reads it.
        let built_in = serde_json::from_str(include_str!("selectors.json")).unwrap_or_default();
        Self { built_in, replaced: BTreeMap::new() }
    }
}

impl SelectorLists {
    /// The answer as the API gives it.
    pub(in crate::sandbox) fn answer(&self, selector: SelectorList, fields: &FieldFiles) -> Value {
        if let Some(replaced) = self.replaced.get(&selector) {
            return replaced.clone();
        }
        let (form, field) = selector.field();
        let rows = fields.get(form).choices(field).enumerate().map(|(at, choice)| {
            let mut row = choice.clone();
            if let Some(row) = row.as_object_mut() {
                let id = row.get("id").and_then(values::id).map(Value::from);
                row.extend(id.map(|id| ("id".to_owned(), id)));
                let label = row.shift_remove("value").unwrap_or_default();
                match selector {
                    SelectorList::Owners => self.owner_row(label, row),
                    SelectorList::LifecycleStages => self.stage_row(label, at, fields, row),
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
            row
        });
        json!({ selector.key(): rows.collect::<Value>() })
    }

    fn owner_row(&self, label: Value, row: &mut serde_json::Map<String, Value>) {
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

    /// A stage the sandbox knows nothing of has every status, so that none is refused for its sake.
    fn stage_row(
        &self,
        label: Value,
        at: usize,
        fields: &FieldFiles,
        row: &mut serde_json::Map<String, Value>,
    ) {
        let id = row.get("id").and_then(Value::as_u64);
        let known = self.built_in.lifecycle_stages.iter().find(|stage| Some(stage.id) == id);
        let statuses = known.map_or_else(
            || {
                let (form, field) = SelectorList::ContactStatuses.field();
                let statuses = fields.get(form).choices(field);
                statuses.filter_map(|choice| choice.get("id").and_then(values::id)).collect()
            },
            |stage| stage.contact_status_ids.clone(),
        );
        row.insert("name".to_owned(), label);
        row.insert("disabled".to_owned(), Value::Bool(false));
        row.insert("default".to_owned(), Value::Bool(known.map_or(at == 0, |stage| stage.default)));
        row.insert("contact_status_ids".to_owned(), Value::from(statuses));
    }

    /// Answers the body from now on, until a fresh start.
    pub(in crate::sandbox) fn replace(&mut self, selector: SelectorList, body: &[u8]) -> Result<(), String> {
        let key = selector.key();
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let rows = body.get(key).and_then(Value::as_array);
        if !rows.is_some_and(|rows| rows.iter().all(Value::is_object)) {
            return Err(format!(r#"expected {{"{key}": [{{..}}, ..]}} as the selector answers it"#));
        }
        self.replaced.insert(selector, body);
        Ok(())
    }

    /// One owner, as the list of owners has it.
    pub(in crate::sandbox) fn owner(&self, fields: &FieldFiles, id: u64) -> Option<Value> {
        self.rows(SelectorList::Owners, fields).into_iter().find(|row| row_id(row) == Some(id))
    }

    /// The statuses of a lifecycle stage; of the default stage where none is named.
    pub(in crate::sandbox) fn statuses(&self, fields: &FieldFiles, stage: Option<u64>) -> Option<Vec<u64>> {
        let rows = self.rows(SelectorList::LifecycleStages, fields);
        let is_default = |row: &&Value| row.get("default").and_then(Value::as_bool) == Some(true);
        let row = match stage {
            Some(id) => rows.iter().find(|row| row_id(row) == Some(id))?,
            None => rows.iter().find(is_default).or_else(|| rows.first())?,
        };
        let ids = row.get("contact_status_ids")?.as_array()?;
        Some(ids.iter().filter_map(values::id).collect())
    }

    fn rows(&self, selector: SelectorList, fields: &FieldFiles) -> Vec<Value> {
        match self.answer(selector, fields).get_mut(selector.key()).map(Value::take) {
            Some(Value::Array(rows)) => rows,
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_))
            | None => Vec::new(),
        }
    }
}

fn row_id(row: &Value) -> Option<u64> {
    row.get("id").and_then(values::id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_choices_do_not_tell_is_known_of_every_built_in_choice() {
        let selectors = SelectorLists::default();
        let ids = |field| -> Vec<u64> {
            let choices = FieldFiles::built_in();
            let choices = choices.get(Form::Contacts).choices(field);
            choices.filter_map(|choice| choice.get("id").and_then(values::id)).collect()
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

//! An account's fields as a sender must write them.

use serde::Serialize;
use serde_json::{Value, json};

use super::account_fields::AccountFields;
use crate::mapping::{Mapper, MappingRules, trait_prefix};
use crate::schema::{ChoiceId, Entity};

/// A field as a sender must write it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedField {
    #[expect(missing_docs, reason = "as it says")]
    pub account: String,
    /// `contact`, `sales_account` or `deal`.
    pub entity: &'static str,
    /// The trait that sets it, with `company.` or `deal.` before those of a company or a deal.
    #[serde(rename = "trait")]
    pub trait_path: String,
    /// Its internal name.
    pub field: String,
    /// Its name for people.
    pub label: String,
    /// The type of its values, in the account's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the account's admins added it.
    pub custom: bool,
    /// Whether a new record needs it.
    pub required: bool,
    /// Whether a trait may set it.
    pub writable: bool,
    /// What it may hold; empty if it has no choices.
    pub choices: Vec<Value>,
}

/// All fields of an account.
pub fn list(account: &str, fields: &AccountFields) -> Vec<ListedField> {
    let schema = fields.schema();
    // Only names are asked for, which no rule changes.
    let mapper = Mapper::new(MappingRules::default(), schema.clone());
    let mut listed = Vec::new();
    for entity in Entity::ALL.iter().copied() {
        let prefix = trait_prefix(entity);
        for field in &schema.of(entity).fields {
            let name = trait_name(&mapper, entity, &field.name);
            let stages = entity == Entity::Deal && field.name == "deal_stage_id";
            let selectors = fields.selectors();
            let choices = field.choices.iter().map(|choice| {
                let (id, parent) = match &choice.id {
                    ChoiceId::Number(id) => {
                        let stage = selectors.stages.as_ref().and_then(|stages| stages.statuses.of(*id));
                        let status = entity == Entity::Contact && field.name == "contact_status_id";
                        (json!(id), stage.filter(|_| status))
                    }
                    ChoiceId::Text(id) => (json!(id), None),
                };
                let parent = parent.or(choice.pipeline.filter(|_| stages));
                json!({"id": id, "label": choice.value, "parent": parent})
            });
            listed.push(ListedField {
                account: account.to_owned(),
                entity: entity.singular(),
                trait_path: special(entity, &field.name).map_or(format!("{prefix}{name}"), str::to_owned),
                field: field.name.clone(),
                label: field.label.clone(),
                kind: field.kind.as_str().to_owned(),
                custom: field.custom(),
                required: field.required,
                writable: !field.read_only(),
                choices: choices.collect(),
            });
        }
    }
    listed
}

fn trait_name(mapper: &Mapper, entity: Entity, field: &str) -> String {
    mapper.trait_name(entity, field).unwrap_or_else(|| field.to_owned())
}

/// The trait of a field that is set in a way of its own.
fn special(entity: Entity, field: &str) -> Option<&'static str> {
    match (entity, field) {
        (Entity::Contact, "emails") => Some("email"),
        (Entity::Contact, "sales_accounts") => Some("company"),
        (Entity::Contact, "external_id") => Some("userId"),
        (Entity::Contact | Entity::SalesAccount | Entity::Deal, _) => None,
    }
}

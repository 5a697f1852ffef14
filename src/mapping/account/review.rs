//! What an account's rules lack against its fields, for a person who checks a configuration.

use super::defaults::set_otherwise;
use crate::mapping::Mapper;
use crate::mapping::fields::writable::{UserId, managed};
use crate::schema::Entity;

/// An override that sets nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadOverride {
    /// The entity whose field it names.
    pub entity: Entity,
    /// The trait's path.
    pub path: String,
    /// The field, as the configuration writes it.
    pub field: String,
    /// Why it sets nothing.
    pub why: &'static str,
    /// The trait name of the field whose name is most like it, if one is alike.
    pub nearest: Option<String>,
}

impl Mapper {
    /// The overrides that lead to no field, or to one that nothing may set.
    pub fn dead_overrides(&self) -> Vec<DeadOverride> {
        let mut dead = Vec::new();
        for entity in Entity::ALL {
            let fields = self.fields(*entity);
            for rule in &fields.overrides {
                let why = match fields.overridden(rule) {
                    None => "the account has no such field",
                    Some(target) => match managed(*entity, target, UserId::Unknown) {
                        Some(why) => why,
                        None => continue,
                    },
                };
                dead.push(DeadOverride {
                    entity: *entity,
                    path: rule.path.clone(),
                    field: rule.field.clone(),
                    why,
                    nearest: fields.nearest(&rule.field),
                });
            }
        }
        dead
    }

    /// The traits of the entity's required fields for which there is no default. Without those that every record has, or
    /// that no trait sets.
    pub fn required_without_default(&self, entity: Entity) -> Vec<String> {
        let fields = self.fields(entity);
        let lacking = fields.targets.iter().filter(|target| {
            target.required && !set_otherwise(entity, *target) && fields.default_of(*target).is_none()
        });
        lacking.map(|target| fields.trait_name(target)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mapping::MappingRules;
    use crate::schema::{Fields, Schema};

    fn mapper(rules: MappingRules) -> Mapper {
        let read = |fields| Fields::read(&json!({ "fields": fields })).unwrap().0;
        let contact = read(json!([
            {"name": "emails", "type": "group_field", "required": true},
            {"name": "last_name", "type": "text", "required": true},
            {"name": "cf_plan", "type": "text", "required": true, "default": false},
            {"name": "cf_tier", "type": "text", "default": false},
            {"name": "updated_at", "type": "date", "required": true},
        ]));
        let sales_account = read(json!([{"name": "name", "type": "text", "required": true}]));
        Mapper::new(rules, Schema { contact, sales_account, ..Schema::default() })
    }

    #[test]
    fn an_override_that_sets_nothing_is_named_with_the_reason() {
        let mut rules = MappingRules::default();
        for (path, field) in [("plan", "cf_plan"), ("tier", "cf_teir"), ("seen", "updated_at")] {
            rules.fields.contact.insert(path.to_owned(), field.to_owned());
        }
        let dead = mapper(rules).dead_overrides();
        let named: Vec<_> =
            dead.iter().map(|dead| (&*dead.path, dead.why, dead.nearest.as_deref())).collect();
        assert_eq!(
            named,
            [("seen", "read-only field", None), ("tier", "the account has no such field", Some("cfTier"))]
        );
    }

    #[test]
    fn required_fields_count_unless_every_record_has_them_or_a_default_fills_them() {
        let required = mapper(MappingRules::default());
        assert_eq!(required.required_without_default(Entity::Contact), ["lastName", "cfPlan"]);
        assert!(required.required_without_default(Entity::SalesAccount).is_empty());
        let mut rules = MappingRules::default();
        rules.defaults.contact.insert("cf_plan".to_owned(), json!("free"));
        assert_eq!(mapper(rules).required_without_default(Entity::Contact), ["lastName"]);
    }
}

//! What changed about an account's fields from one reading to the next. The lane notes it for people: a sender that worked
//! yesterday may fail since a field has another type.

use crate::mapping::fields::target::TargetField;
use crate::mapping::mapper::Mapper;
use crate::schema::Entity;

/// The most changes of one reading that are told.
const MOST: usize = 20;

/// What changed about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDifference {
    /// Whose field it is.
    pub entity: Entity,
    /// Its internal name.
    pub field: String,
    /// `added`, `gone`, `type` or `required`.
    pub change: &'static str,
    /// Its type, or whether it was required; `None` if it is new.
    pub before: Option<String>,
    /// The same now; `None` if it is gone.
    pub now: Option<String>,
}

impl Mapper {
    /// Against the fields that were read before. Entities whose fields could not be read either time are left out.
    pub fn changes_since(&self, before: &Self) -> Vec<FieldDifference> {
        let mut changes = Vec::new();
        let read = |entity: &&Entity| ![self, before].iter().any(|mapper| mapper.lacks(**entity));
        for entity in Entity::ALL.iter().filter(read) {
            let (fields, earlier) = (self.fields(*entity), before.fields(*entity));
            let mut note = |field: &str, change, before, now| {
                changes.push(FieldDifference {
                    entity: *entity,
                    field: field.to_owned(),
                    change,
                    before,
                    now,
                });
            };
            for now in fields.targets.iter() {
                match earlier.get(now.name) {
                    None => note(now.name, "added", None, Some(kind(now))),
                    Some(then) => {
                        if then.kind != now.kind {
                            note(now.name, "type", Some(kind(then)), Some(kind(now)));
                        }
                        if then.required != now.required {
                            let [then, now_required] =
                                [then.required, now.required].map(|yes| yes.to_string());
                            note(now.name, "required", Some(then), Some(now_required));
                        }
                    }
                }
            }
            for then in earlier.targets.iter().filter(|then| fields.get(then.name).is_none()) {
                note(then.name, "gone", Some(kind(then)), None);
            }
        }
        changes.truncate(MOST);
        changes
    }
}

fn kind(field: TargetField<'_>) -> String {
    field.kind.as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mapping::{MappingRules, SchemaGap};
    use crate::schema::{Fields, Schema};

    fn mapper(fields: &[(&str, &str, bool)], gaps: Vec<(Entity, SchemaGap)>) -> Mapper {
        let field = |(name, kind, required): &(&str, &str, bool)| json!({"name": name, "label": name, "type": kind, "required": required});
        let fields: Vec<_> = fields.iter().map(field).collect();
        let (contact, _) = Fields::read(&json!({ "fields": fields })).unwrap();
        Mapper::new(MappingRules::default(), Schema { contact, ..Schema::default() }).with_gaps(gaps)
    }

    #[test]
    fn what_came_went_and_changed_is_told_and_nothing_else() {
        let before = mapper(&[("a", "text", false), ("b", "number", false), ("c", "date", true)], Vec::new());
        let now = mapper(&[("d", "text", true), ("c", "date", false), ("b", "text", true)], Vec::new());
        let changes = now.changes_since(&before);
        let told: Vec<String> = changes
            .iter()
            .map(|one| format!("{} {} {:?} {:?}", one.field, one.change, one.before, one.now))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        d added None Some("text")
        c required Some("true") Some("false")
        b type Some("number") Some("text")
        b required Some("false") Some("true")
        a gone Some("text") None
        "#);
        assert_eq!(now.changes_since(&now), []);
        // Of a thousand fields not all are told.
        let names: Vec<String> = (0..1000).map(|number| format!("f{number}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "text", false)).collect();
        assert_eq!(mapper(&many, Vec::new()).changes_since(&before).len(), MOST);
    }

    #[test]
    fn fields_that_could_not_be_read_are_not_gone() {
        let before = mapper(&[("a", "text", false)], Vec::new());
        let unread = mapper(&[], vec![(Entity::Contact, SchemaGap::NotYet)]);
        assert_eq!((unread.changes_since(&before), before.changes_since(&unread)), (Vec::new(), Vec::new()));
    }
}

//! One entity's fields, found by name. The mapper builds one for each entity when the account's fields are read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::name_table::{FoldedName, NameHash, NameTable};
use super::target::{TargetField, Targets};
use crate::schema::{ChoiceId, Entity, Field, FieldType, Parents};
use crate::segment::{fold, folds_to};

/// The least likeness, from 0 to 1, of a name that is suggested.
const LEAST_LIKENESS: f64 = 0.88;

/// In bytes. Comparing costs the product of both lengths, and a sender's key may be as long as a body.
const COMPARED_LIMIT: usize = 64;

/// How a trait names a field. Of two traits that name one field, the one of the earlier rank sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mapping) enum Rank {
    /// An override of the account's configuration.
    Override,
    /// The internal name, to the letter.
    Exact,
    /// The internal name but for case, underscores and hyphens.
    Folded,
    /// Segment's name for the field, or a drop-down's name without `_id`.
    Alias,
}

/// A trait path that the configuration sends to a field. `target` is `None` if the account has no such field.
#[derive(Debug)]
pub(in crate::mapping) struct Override {
    pub(in crate::mapping) path: String,
    pub(in crate::mapping) field: String,
    target: Option<u32>,
}

#[derive(Debug)]
pub(in crate::mapping) struct FieldIndex {
    pub(in crate::mapping) entity: Entity,
    pub(in crate::mapping) targets: Targets,
    pub(in crate::mapping) overrides: Box<[Override]>,
    /// By the field's place: the value sent when Freshsales refuses a record because the field is missing.
    defaults: BTreeMap<u32, Value>,
    /// The pipeline of each of a deal's stages.
    pub(in crate::mapping) pipelines: Parents,
    names: NameTable,
    /// The places of the fields that the account requires and a trait may set.
    required: Box<[u32]>,
}

impl FieldIndex {
    pub(in crate::mapping) fn new(
        entity: Entity,
        mut fields: Vec<Field>,
        overrides: BTreeMap<String, String>,
    ) -> Self {
        match entity {
            Entity::Contact => {}
            // They are upserted by their name, so it is required even where the account says otherwise.
            Entity::SalesAccount | Entity::Deal => match fields.iter_mut().find(|f| f.name == "name") {
                Some(name) => name.required = true,
                None => fields.push(required_name()),
            },
        }
        let pipelines = pipelines(entity, &fields);
        let names = NameTable::new(fields.iter().map(|field| fold(&field.name)));
        let targets = Targets::new(fields);
        let required = targets.iter().filter(|target| target.required && !target.read_only);
        let required = required.map(|target| target.place).collect();
        let mut fields = Self {
            entity,
            targets,
            overrides: Box::default(),
            defaults: BTreeMap::new(),
            pipelines,
            names,
            required,
        };
        fields.overrides = overrides
            .into_iter()
            .map(|(path, field)| Override { path, target: fields.index(&field), field })
            .collect();
        fields
    }

    /// The field whose internal name is exactly this one.
    pub(in crate::mapping) fn get(&self, name: &str) -> Option<TargetField<'_>> {
        let mut places = self.names.places(NameHash::of(&fold(name)));
        self.targets.get(places.find(|place| self.name(*place) == name)?)
    }

    /// The field that has this name, exactly or folded.
    pub(in crate::mapping) fn resolve(&self, key: &str) -> Option<(Rank, TargetField<'_>)> {
        self.named(key, FoldedName::of(&fold(key)))
    }

    /// The same for a key that is folded already.
    pub(in crate::mapping) fn named(
        &self,
        key: &str,
        folded: FoldedName<'_>,
    ) -> Option<(Rank, TargetField<'_>)> {
        let mut first = None;
        for place in self.names.places(folded.hash) {
            let name = self.name(place);
            if name == key {
                return Some((Rank::Exact, self.targets.get(place)?));
            }
            if first.is_none() && folds_to(name, folded.text) {
                first = Some(place);
            }
        }
        Some((Rank::Folded, self.targets.get(first?)?))
    }

    /// The drop-down `x_id` that a trait `x`, folded, means. Not one without listed choices: it takes ids only, and
    /// nobody writes an id into `x`.
    pub(in crate::mapping) fn drop_down(&self, folded: FoldedName<'_>) -> Option<TargetField<'_>> {
        const SUFFIX: &str = "id";
        let mut places = self.names.places(folded.hash.with(SUFFIX));
        let place = places.find(|place| {
            let name = fold(self.name(*place));
            name.strip_suffix(SUFFIX) == Some(folded.text)
        })?;
        self.targets.get(place).filter(|target| {
            let one = matches!(target.kind, FieldType::Dropdown | FieldType::Radio);
            one && !target.choices.is_empty() && target.name.ends_with("_id")
        })
    }

    /// The fields that the account requires and a trait may set.
    pub(in crate::mapping) fn required(&self) -> impl Iterator<Item = TargetField<'_>> {
        self.required.iter().filter_map(|place| self.targets.get(*place))
    }

    pub(in crate::mapping) fn overridden(&self, rule: &Override) -> Option<TargetField<'_>> {
        rule.target.and_then(|place| self.targets.get(place))
    }

    /// The trait that sets a field: its name in camelCase, or the name itself where the camelCase one names another
    /// field.
    pub(in crate::mapping) fn trait_name(&self, target: TargetField<'_>) -> String {
        let camel = camel_case(target.name);
        if self.index(&camel) == Some(target.place) { camel } else { target.name.to_owned() }
    }

    /// The trait name of the writable field whose name is most like this one, if one is alike.
    pub(in crate::mapping) fn nearest(&self, key: &str) -> Option<String> {
        self.alike(key, 1).pop()
    }

    /// The trait names of so many writable fields whose names are like this one, the most alike first.
    pub(in crate::mapping) fn alike(&self, key: &str, most: usize) -> Vec<String> {
        if key.len() > COMPARED_LIMIT {
            return Vec::new();
        }
        let key = fold(key);
        let writable = self.targets.iter().filter(|target| !target.read_only);
        let compared = writable.map(|target| (strsim::jaro_winkler(&key, &fold(target.name)), target));
        let mut alike: Vec<_> = compared.filter(|(likeness, _)| *likeness >= LEAST_LIKENESS).collect();
        // The order of the fields decides between equals.
        alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        alike.into_iter().take(most).map(|(_, target)| self.trait_name(target)).collect()
    }

    pub(in crate::mapping) fn default_of(&self, target: TargetField<'_>) -> Option<&Value> {
        self.defaults.get(&target.place)
    }

    /// Sets the defaults, by the fields' places.
    pub(in crate::mapping) fn set_defaults(&mut self, defaults: BTreeMap<u32, Value>) {
        self.defaults = defaults;
    }

    fn index(&self, key: &str) -> Option<u32> {
        self.resolve(key).map(|(_, target)| target.place)
    }

    fn name(&self, place: u32) -> &str {
        self.targets.get(place).map(|target| target.name).unwrap_or_default()
    }
}

/// The pipeline of each choice of `deal_stage_id`. Other fields' choices carry a pipeline, too, and do not depend on
/// it.
fn pipelines(entity: Entity, fields: &[Field]) -> Parents {
    let stages = fields.iter().find(|field| entity == Entity::Deal && field.name == "deal_stage_id");
    let choices = stages.into_iter().flat_map(|field| &field.choices);
    let pair = |choice: &crate::schema::Choice| match choice.id {
        ChoiceId::Number(id) => Some((id, choice.pipeline?)),
        ChoiceId::Text(_) => None,
    };
    choices.filter_map(pair).collect()
}

/// Stands in where an account does not list its field `name`.
fn required_name() -> Field {
    Field {
        label: String::new(),
        name: "name".to_owned(),
        kind: FieldType::Text,
        default: true,
        actionable: true,
        required: true,
        choices: Vec::new(),
        multiple: false,
        auto_suggest_url: None,
    }
}

/// An internal name as a trait: `cf_plan_type` is `cfPlanType`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_').filter(|word| !word.is_empty());
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        camel.push_str(letters.as_str());
    }
    camel
}

/// Whether a name is that of a custom field: `cf_plan`, `cf-plan`, `cfPlan`, `cf2`, but not `cfo`.
pub(crate) fn named_like_custom(key: &str) -> bool {
    let Some((start, rest)) = key.split_at_checked(2) else { return false };
    let next = rest.chars().next();
    (start.eq_ignore_ascii_case("cf") && matches!(next, Some('_' | '-')))
        || (start == "cf" && next.is_some_and(|c| c.is_uppercase() || c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_custom_fields_are_recognised() {
        for custom in ["cf_plan", "cf-plan", "CF_plan", "Cf_x", "cfPlan", "cf2", "cf_"] {
            assert!(named_like_custom(custom), "{custom}");
        }
        for word in ["cfo", "cf", "CFO", "CFPlan", "config", "", "c", "çf_x", "xcf_"] {
            assert!(!named_like_custom(word), "{word}");
        }
    }

    #[test]
    fn camel_case_folds_to_the_same_name() {
        for (name, camel) in [
            ("first_name", "firstName"),
            ("cf_alternate_number", "cfAlternateNumber"),
            ("cf_2nd", "cf2nd"),
            ("city", "city"),
        ] {
            assert_eq!(camel_case(name), camel);
            assert_eq!(fold(camel), fold(name));
        }
    }
}

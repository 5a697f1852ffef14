//! Which field a trait's name means: one entity's fields, prepared for look-ups.

use std::collections::{BTreeMap, HashMap};

use super::choice::Choices;
use crate::schema::{Entity, Field, FieldType, Fields};

/// How much alike the nearest name has to be, from 0 to 1.
const LIKENESS: f64 = 0.88;

/// Longer names are not compared: likeness costs the product of both lengths.
const COMPARED_LIMIT: usize = 64;

/// How well a trait names a field; of two traits for one field the better wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The account's configuration says so.
    Override,
    /// The internal name, to the letter.
    Exact,
    /// The internal name but for case and underscores.
    Folded,
    /// Segment's own name for it.
    Alias,
}

/// A field as a destination of traits.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the metadata's own flags")]
pub(super) struct Target {
    pub(super) name: String,
    /// What a sender writes to reach it.
    pub(super) trait_name: String,
    pub(super) kind: FieldType,
    pub(super) custom: bool,
    pub(super) read_only: bool,
    pub(super) required: bool,
    pub(super) multiple: bool,
    pub(super) choices: Choices,
    folded: String,
}

/// A trait path that the configuration sends to a field; the index is none if no such field exists.
#[derive(Debug)]
pub(super) struct Override {
    pub(super) path: String,
    pub(super) field: String,
    index: Option<usize>,
}

/// One entity's fields by every name a trait may use.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) entity: Entity,
    pub(super) targets: Vec<Target>,
    pub(super) overrides: Vec<Override>,
    exact: HashMap<String, usize>,
    folded: HashMap<String, usize>,
}

impl Names {
    pub(super) fn new(entity: Entity, fields: &Fields, overrides: &BTreeMap<String, String>) -> Self {
        let mut targets: Vec<Target> = fields.fields.iter().map(Target::new).collect();
        match entity {
            Entity::Contact => {}
            // The name is what these are upserted by, whatever the schema says of it.
            Entity::SalesAccount | Entity::Deal => match targets.iter_mut().find(|t| t.name == "name") {
                Some(name) => name.required = true,
                None => targets.push(Target::name()),
            },
        }
        let (mut exact, mut folded) = (HashMap::new(), HashMap::new());
        for (index, target) in targets.iter().enumerate() {
            exact.entry(target.name.clone()).or_insert(index);
            folded.entry(target.folded.clone()).or_insert(index);
        }
        let mut names = Self { entity, targets, overrides: Vec::new(), exact, folded };
        let reachable: Vec<bool> = names
            .targets
            .iter()
            .enumerate()
            .map(|(index, t)| names.index(&t.trait_name) == Some(index))
            .collect();
        for (target, reachable) in names.targets.iter_mut().zip(reachable) {
            if !reachable {
                target.trait_name.clone_from(&target.name);
            }
        }
        names.overrides = overrides
            .iter()
            .map(|(path, field)| Override {
                path: path.clone(),
                field: field.clone(),
                index: names.index(field),
            })
            .collect();
        names
    }

    /// The field of this internal name, to the letter.
    pub(super) fn get(&self, name: &str) -> Option<&Target> {
        self.exact.get(name).and_then(|index| self.targets.get(*index))
    }

    /// The field a trait of this name reaches, aliases aside.
    pub(super) fn resolve(&self, key: &str) -> Option<(Rank, &Target)> {
        let rank = if self.exact.contains_key(key) { Rank::Exact } else { Rank::Folded };
        self.index(key).and_then(|index| self.targets.get(index)).map(|target| (rank, target))
    }

    /// The field an override leads to.
    pub(super) fn overridden(&self, rule: &Override) -> Option<&Target> {
        rule.index.and_then(|index| self.targets.get(index))
    }

    /// The trait name of the field most like this one, if any is.
    pub(super) fn nearest(&self, key: &str) -> Option<&str> {
        if key.len() > COMPARED_LIMIT {
            return None;
        }
        let key = fold(key);
        self.targets
            .iter()
            .filter(|target| !target.read_only)
            .map(|target| (strsim::jaro_winkler(&key, &target.folded), target))
            .filter(|(likeness, _)| *likeness >= LIKENESS)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, target)| target.trait_name.as_str())
    }

    fn index(&self, key: &str) -> Option<usize> {
        self.exact.get(key).or_else(|| self.folded.get(&fold(key))).copied()
    }
}

impl Target {
    fn new(field: &Field) -> Self {
        Self {
            name: field.name.clone(),
            trait_name: camel_case(&field.name),
            kind: field.kind.clone(),
            custom: field.custom(),
            read_only: field.read_only(),
            required: field.required,
            multiple: field.multiple,
            choices: Choices::new(&field.choices, field.custom()),
            folded: fold(&field.name),
        }
    }

    fn name() -> Self {
        Self {
            name: "name".into(),
            trait_name: "name".into(),
            kind: FieldType::Text,
            custom: false,
            read_only: false,
            required: true,
            multiple: false,
            choices: Choices::new(&[], false),
            folded: "name".into(),
        }
    }
}

/// A name without case and underscores.
pub(super) fn fold(name: &str) -> String {
    name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
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

/// Whether a trait's name says that a custom field is meant: `cf_plan`, `cfPlan`, `cf2`, but not `cfo`.
pub(super) fn named_like_custom(key: &str) -> bool {
    let Some((start, rest)) = key.split_at_checked(2) else { return false };
    let next = rest.chars().next();
    (start.eq_ignore_ascii_case("cf") && next == Some('_'))
        || (start == "cf" && next.is_some_and(|c| c.is_uppercase() || c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_names_are_told_from_words() {
        for custom in ["cf_plan", "CF_plan", "Cf_x", "cfPlan", "cf2", "cf_"] {
            assert!(named_like_custom(custom), "{custom}");
        }
        for word in ["cfo", "cf", "CFO", "CFPlan", "config", "", "c", "çf_x", "xcf_"] {
            assert!(!named_like_custom(word), "{word}");
        }
    }

    #[test]
    fn camel_case_folds_back() {
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

//! Choices that belong to a choice of another field, their parent: a contact's status to its lifecycle stage, a deal's
//! stage to its pipeline. Freshsales refuses the whole record if the two do not match, and the same label may stand
//! under several parents. `record` calls it for such fields.

use serde_json::Value;

use super::choice::{LabelMatch, with_label};
use super::coerce::coerce;
use super::mismatch::TypeMismatch;
use crate::mapping::Coercion;
use crate::mapping::fields::field_index::FieldIndex;
use crate::mapping::fields::target::TargetField;
use crate::schema::{Entity, Parents, Selector, Selectors};
use crate::segment::Given;

/// The parent field of a field whose choices belong to another field's.
pub(in crate::mapping) fn parent_of(entity: Entity, field: &str) -> Option<&'static str> {
    match (entity, field) {
        (Entity::Contact, "contact_status_id") => Some("lifecycle_stage_id"),
        (Entity::Deal, "deal_stage_id") => Some("deal_pipeline_id"),
        _ => None,
    }
}

/// What is known of the parent field's choice in one event.
#[derive(Debug)]
pub(in crate::mapping) struct Parent<'a> {
    /// The parent of each of the child's choices, if it has been read.
    parents: Option<&'a Parents>,
    /// The parent that the event gives.
    given: Option<i64>,
    /// The parent of a new record for which none is given.
    default: Option<i64>,
    /// Whether a default would count that has not been read.
    default_unread: bool,
    /// The selector that tells what is not known here.
    selector: Selector,
    /// The trait that gives the parent.
    trait_path: String,
}

impl<'a> Parent<'a> {
    /// `given` is the event's value for the parent field, as the API takes it.
    pub(in crate::mapping) fn new(
        fields: &'a FieldIndex,
        field: &'static str,
        given: Option<&Given<'_>>,
        selectors: &'a Selectors,
        path: impl FnOnce(&str) -> String,
    ) -> Option<Self> {
        let target = fields.get(field)?;
        let configured = fields.default_of(target).and_then(Value::as_i64);
        let (parents, default, selector) = match fields.entity {
            Entity::Contact => {
                let stages = selectors.stages.as_deref();
                let default = stages.map(|stages| stages.default);
                (stages.map(|stages| &stages.statuses), default, Selector::LifecycleStages)
            }
            Entity::Deal => (Some(&fields.pipelines), selectors.pipeline, Selector::DealPipelines),
            Entity::SalesAccount => return None,
        };
        let trait_path = path(&fields.trait_name(target));
        let given = given.and_then(Given::as_integer);
        let default_unread = configured.is_none() && default.is_none();
        let default = configured.or(default.flatten());
        Some(Self { parents, given, default, default_unread, selector, trait_path })
    }

    /// Coerces a value of the child's field. A selector that would settle an ambiguous label is added to `needs`.
    pub(in crate::mapping) fn coerce_child<'v>(
        &self,
        target: TargetField<'v>,
        value: &Given<'v>,
        coercion: Coercion,
        needs: &mut Vec<Selector>,
    ) -> Result<Option<Given<'v>>, TypeMismatch> {
        let alone = coerce(target, value.clone(), coercion);
        let text = match value {
            Given::Text(text) => text,
            Given::Number(digits) if coercion == Coercion::Lossless => digits,
            Given::Null | Given::Bool(_) | Given::Number(_) | Given::List(_) | Given::Object(_) => {
                return alone;
            }
        };
        let labelled = with_label(target.choices, text, coercion);
        let by_label = match &alone {
            // The value is an id, not a label.
            Ok(Some(wire)) => wire != value && labelled.iter().any(|choice| choice.wire == *wire),
            Ok(None) => false,
            Err(_) => !labelled.is_empty(),
        };
        if !by_label {
            return alone;
        }
        let ambiguous = || {
            let expected = format!("a choice's id, or {} beside it to tell them apart", self.trait_path);
            TypeMismatch::new("several choices have this label", expected, value)
        };
        let Some(parents) = self.parents else {
            if alone.is_err() || self.given.is_some() && labelled.len() > 1 {
                needs.push(self.selector);
            }
            return alone.map_err(|_| ambiguous());
        };
        let Some(given) = self.given else {
            return alone.or_else(|_| {
                if self.default_unread {
                    needs.push(self.selector);
                }
                match self.default.map(|default| pick(&labelled, parents, default)) {
                    Some(Pick::One(wire)) => Ok(Some(wire)),
                    Some(Pick::None | Pick::Several) | None => Err(ambiguous()),
                }
            });
        };
        match pick(&labelled, parents, given) {
            Pick::One(wire) => Ok(Some(wire)),
            Pick::Several => Err(ambiguous()),
            // A choice whose parent is not known may belong to the event's.
            Pick::None if labelled.iter().any(|choice| choice.id.and_then(|id| parents.of(id)).is_none()) => {
                alone.map_err(|_| ambiguous())
            }
            Pick::None => {
                let problem = format!("this choice belongs to another {} than the event's", self.trait_path);
                Err(TypeMismatch::new(
                    &problem,
                    format!("a choice that belongs to the event's {}", self.trait_path),
                    value,
                ))
            }
        }
    }
}

enum Pick<'a> {
    None,
    One(Given<'a>),
    Several,
}

/// The choice that belongs to this parent. One whose label is equal to the letter counts before one that differs in
/// case.
fn pick<'a>(labelled: &[LabelMatch<'a>], parents: &Parents, parent: i64) -> Pick<'a> {
    let belongs = |choice: &&LabelMatch<'a>| choice.id.and_then(|id| parents.of(id)) == Some(parent);
    let exact = labelled.iter().any(|choice| belongs(&choice) && choice.exact);
    let mut wires =
        labelled.iter().filter(belongs).filter(|choice| choice.exact || !exact).map(|choice| &choice.wire);
    match wires.next() {
        None => Pick::None,
        Some(first) if wires.all(|wire| wire == first) => Pick::One(first.clone()),
        Some(_) => Pick::Several,
    }
}

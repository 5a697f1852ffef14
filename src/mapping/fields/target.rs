//! One entity's fields as destinations of traits, with their choices.
//!
//! A lane keeps them for as long as it lives, and a replica has hundreds of lanes with hundreds of texts each. So they
//! take three allocations. One allocation for each text would take more memory; it would also lie between the parts of
//! the account's answer, whose memory could then not be given back to the system.

use std::ops::Range;

use super::choices::{Choices, StoredChoice};
use super::string_arena::{ArenaStr, StringArena, small, wide};
use crate::schema::{Field, FieldType};

/// A field as a destination of traits.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "the metadata's own flags")]
pub(in crate::mapping) struct TargetField<'a> {
    /// Its index among the entity's fields.
    pub(in crate::mapping) place: u32,
    pub(in crate::mapping) name: &'a str,
    pub(in crate::mapping) kind: &'a FieldType,
    pub(in crate::mapping) custom: bool,
    pub(in crate::mapping) read_only: bool,
    pub(in crate::mapping) required: bool,
    pub(in crate::mapping) multiple: bool,
    pub(in crate::mapping) choices: Choices<'a>,
}

/// One entity's fields, in the account's own order.
#[derive(Debug)]
pub(in crate::mapping) struct Targets {
    fields: Box<[StoredField]>,
    /// The choices of all fields, field by field.
    choices: Box<[StoredChoice]>,
    arena: StringArena,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the metadata's own flags")]
struct StoredField {
    name: ArenaStr,
    kind: FieldType,
    custom: bool,
    read_only: bool,
    required: bool,
    multiple: bool,
    choices: Range<u32>,
}

impl Targets {
    pub(in crate::mapping) fn new(fields: Vec<Field>) -> Self {
        let mut choices = Vec::with_capacity(fields.iter().map(|field| field.choices.len()).sum());
        let mut arena = StringArena::default();
        let store = |field: Field| {
            let first = small(choices.len());
            choices.extend(field.choices.iter().map(|choice| StoredChoice::new(choice, &mut arena)));
            StoredField {
                name: arena.add(&field.name),
                custom: field.custom(),
                read_only: field.read_only(),
                required: field.required,
                multiple: field.multiple,
                choices: first..small(choices.len()),
                kind: field.kind,
            }
        };
        let fields = fields.into_iter().map(store).collect::<Vec<_>>().into_boxed_slice();
        arena.shrink();
        Self { fields, choices: choices.into_boxed_slice(), arena }
    }

    pub(in crate::mapping) fn get(&self, place: u32) -> Option<TargetField<'_>> {
        let stored = self.fields.get(wide(place))?;
        let choices =
            self.choices.get(wide(stored.choices.start)..wide(stored.choices.end)).unwrap_or_default();
        let choices = if stored.custom {
            Choices::of_custom_field(choices, &self.arena)
        } else {
            Choices::of_default_field(choices, &self.arena)
        };
        Some(TargetField {
            place,
            name: self.arena.get(stored.name),
            kind: &stored.kind,
            custom: stored.custom,
            read_only: stored.read_only,
            required: stored.required,
            multiple: stored.multiple,
            choices,
        })
    }

    pub(in crate::mapping) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(in crate::mapping) fn iter(&self) -> impl Iterator<Item = TargetField<'_>> {
        (0..small(self.fields.len())).filter_map(|place| self.get(place))
    }
}

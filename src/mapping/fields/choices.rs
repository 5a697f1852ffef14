//! A field's choices as the account lists them, and the form in which the API takes one. Which choice a value means is
//! decided where values are coerced.

use super::string_arena::{ArenaStr, StringArena};
use crate::schema;
use crate::schema::ChoiceId;
use crate::segment::Given;

/// The choices of one field. They are searched one by one: an account has a few hundred at most, and an index of their
/// ids and labels would be the largest part of an idle lane.
#[derive(Debug, Clone, Copy)]
pub(in crate::mapping) struct Choices<'a> {
    stored: &'a [StoredChoice],
    arena: &'a StringArena,
    /// Custom fields take labels: the API silently drops ids there. Default fields take ids.
    by_label: bool,
}

/// A choice whose texts are in the entity's [`StringArena`].
#[derive(Debug)]
pub(in crate::mapping) struct StoredChoice {
    id: ChoiceId<ArenaStr>,
    label: ArenaStr,
}

impl StoredChoice {
    pub(in crate::mapping) fn new(choice: &schema::Choice, arena: &mut StringArena) -> Self {
        Self { label: arena.add(&choice.value), id: choice.id.map(|id| arena.add(id)) }
    }
}

#[derive(Debug, Clone, Copy)]
pub(in crate::mapping) struct ListedChoice<'a> {
    pub(in crate::mapping) id: ChoiceId<&'a str>,
    pub(in crate::mapping) label: &'a str,
}

impl<'a> Choices<'a> {
    pub(in crate::mapping) fn of_default_field(stored: &'a [StoredChoice], arena: &'a StringArena) -> Self {
        Self { stored, arena, by_label: false }
    }

    pub(in crate::mapping) fn of_custom_field(stored: &'a [StoredChoice], arena: &'a StringArena) -> Self {
        Self { stored, arena, by_label: true }
    }

    pub(in crate::mapping) fn len(self) -> usize {
        self.stored.len()
    }

    pub(in crate::mapping) fn is_empty(self) -> bool {
        self.stored.is_empty()
    }

    pub(in crate::mapping) fn by_label(self) -> bool {
        self.by_label
    }

    pub(in crate::mapping) fn iter(self) -> impl Iterator<Item = ListedChoice<'a>> + Clone {
        let read = move |text: &ArenaStr| self.arena.get(*text);
        self.stored
            .iter()
            .map(move |stored| ListedChoice { id: stored.id.map(read), label: read(&stored.label) })
    }

    /// A choice as the API takes it.
    pub(in crate::mapping) fn wire(self, choice: ListedChoice<'a>) -> Given<'a> {
        if self.by_label {
            return choice.label.into();
        }
        match choice.id {
            ChoiceId::Number(id) => Given::Number(id.to_string().into()),
            ChoiceId::Text(id) => id.into(),
        }
    }
}

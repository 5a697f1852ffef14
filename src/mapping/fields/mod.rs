//! One entity's fields as destinations of traits: stored in little memory, found by every name a trait may use.
//! A lane keeps them for as long as it lives. They know no events.

mod choices;
pub(super) mod field_index;
mod name_table;
mod string_arena;
pub(super) mod target;
pub(super) mod writable;

pub(super) use choices::{Choices, ListedChoice};
pub(super) use name_table::FoldedName;
pub(super) use string_arena::{small, wide};

//! Which trait set which field, and which set none, for people who ask. Findings keep it only where somebody asks:
//! lanes do not, and pay nothing.

use serde_json::Value;
use strum::IntoStaticStr;

use crate::mapping::Ignored;
use crate::mapping::fields::field_index::Rank;
use crate::schema::Entity;

/// What a mapping noticed that no lane needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// In the order in which the fields were set.
    pub set: Vec<SetField>,
    /// Traits that set no field.
    pub ignored: Vec<Ignored>,
    /// Paths of traits that are null and count as absent.
    pub nulls: Vec<(Entity, String)>,
}

/// A trait that set a field.
#[derive(Debug, Clone, PartialEq)]
pub struct SetField {
    /// The entity whose field it is.
    pub entity: Entity,
    /// The trait's path as the sender wrote it; `userId` where that set it.
    pub trait_path: String,
    /// The field's internal name.
    pub field: String,
    /// What led from one to the other.
    pub how: FoundBy,
    /// As the event gives it.
    pub given: Value,
    /// As the API takes it.
    pub sent: Value,
}

/// What leads from a trait to its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FoundBy {
    /// The field's own name.
    Name,
    /// Segment's name for it, or a drop-down's name without `_id`.
    Alias,
    /// The account's configuration.
    Override,
}

impl From<Rank> for FoundBy {
    fn from(rank: Rank) -> Self {
        match rank {
            Rank::Override => Self::Override,
            Rank::Exact | Rank::Folded => Self::Name,
            Rank::Alias => Self::Alias,
        }
    }
}

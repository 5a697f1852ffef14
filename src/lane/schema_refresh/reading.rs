//! One reading of an account's fields, for people: when it was, how many there are, and what it found changed.

use tokio::time::Instant;

use crate::mapping::{FieldDifference, Mapper};
use crate::schema::Schema;

#[derive(Debug)]
pub(in crate::lane) struct FieldsReading {
    pub(in crate::lane) at: Instant,
    /// Fields of contacts, sales accounts and deals.
    pub(in crate::lane) counts: [usize; 3],
    /// What was not so at the reading before.
    pub(in crate::lane) changed: Vec<FieldDifference>,
}

impl FieldsReading {
    pub(super) fn of(schema: &Schema, at: Instant) -> Self {
        let read = [&schema.contact, &schema.sales_account, &schema.deal];
        Self { at, counts: read.map(|fields| fields.fields.len()), changed: Vec::new() }
    }

    pub(super) fn against(self, before: Option<&Mapper>, now: &Mapper) -> Self {
        Self { changed: before.map(|before| now.changes_since(before)).unwrap_or_default(), ..self }
    }
}

//! While a bulk call of an entity is under way, less than a full one waits for it: by then more records may have come. So a
//! call of a few is made at most once in the usual time of a job.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::schema::Entity;

/// Until when less than a full call of an entity's records waits.
#[derive(Debug, Default)]
pub(in crate::lane) struct Holds(HashMap<Entity, Instant>);

impl Holds {
    /// A bulk call was sent; its job usually takes so long.
    pub(in crate::lane) fn begin(&mut self, entity: Entity, usual: Duration, now: Instant) {
        self.0.insert(entity, now + usual);
    }

    /// No bulk call of the entity is under way any more.
    pub(in crate::lane) fn end(&mut self, entity: Entity) {
        self.0.remove(&entity);
    }

    pub(in crate::lane) fn until(&self, entity: Entity, now: Instant) -> Option<Instant> {
        self.0.get(&entity).copied().filter(|until| now < *until)
    }
}

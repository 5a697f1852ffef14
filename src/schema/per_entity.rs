//! One of something for each kind of record.

use super::Entity;

/// One for each entity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is that of the entity of the same name")]
pub struct PerEntity<T> {
    pub contact: T,
    pub sales_account: T,
    pub deal: T,
}

impl<T> PerEntity<T> {
    /// Makes one for each, in the order of [`Entity::ALL`].
    pub fn each(mut make: impl FnMut(Entity) -> T) -> Self {
        Self {
            contact: make(Entity::Contact),
            sales_account: make(Entity::SalesAccount),
            deal: make(Entity::Deal),
        }
    }

    /// The one of this entity.
    pub const fn of(&self, entity: Entity) -> &T {
        match entity {
            Entity::Contact => &self.contact,
            Entity::SalesAccount => &self.sales_account,
            Entity::Deal => &self.deal,
        }
    }

    /// The same, to be changed.
    pub const fn of_mut(&mut self, entity: Entity) -> &mut T {
        match entity {
            Entity::Contact => &mut self.contact,
            Entity::SalesAccount => &mut self.sales_account,
            Entity::Deal => &mut self.deal,
        }
    }
}

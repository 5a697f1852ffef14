//! What only sales accounts have: a name no other has.

use super::store::{Key, Record, Store};
use crate::schema::Entity;

/// Refuses the name of another sales account.
pub(super) fn check(store: &Store, record: &Record) -> Vec<String> {
    match store.shelf(Entity::SalesAccount).find(Key::Name, record.text("name")) {
        Some(owner) if owner != record.id => vec!["Name has already been taken".to_owned()],
        Some(_) | None => Vec::new(),
    }
}

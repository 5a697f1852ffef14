//! Takes events into the window, under every name that their contact is known by.

use std::sync::Arc;

use super::window::ContactKey;
use crate::config::Tags;
use crate::lane::contact::held::HeldEvent;
use crate::lane::contact::work_item::OpenEvent;
use crate::lane::scheduler::Scheduler;
use crate::mapping::Mapped;

impl<D> Scheduler<D> {
    /// Adds an event. `address` is a `userId` and the e-mail address that the event gives it.
    pub fn insert(
        &mut self,
        mapped: Mapped,
        keys: &[ContactKey],
        address: Option<(String, String)>,
        delivery: D,
    ) {
        let place = self.keep(keys);
        self.fill(place, mapped, keys, address, delivery);
    }

    /// Keeps a place for an event with these keys that cannot be mapped yet. Later events of the same contact wait for it.
    /// To be ended by [`Scheduler::fill`] or [`Scheduler::leave`].
    pub fn keep(&mut self, keys: &[ContactKey]) -> u64 {
        // A lane cannot move while this replica holds one of its events. While it holds none, another replica may have
        // had the lane and written other values.
        if self.window.is_empty() {
            self.records.distrust_values();
        }
        self.window.keep(&self.with_addresses(keys))
    }

    /// Whether a place before this one is kept for an event of the same contact; without a place, any.
    pub fn kept_before(&self, place: Option<u64>, keys: &[ContactKey]) -> bool {
        self.window.kept_before(place, &self.with_addresses(keys))
    }

    /// Puts an event into the place that was kept for it.
    pub fn fill(
        &mut self,
        place: u64,
        mapped: Mapped,
        keys: &[ContactKey],
        address: Option<(String, String)>,
        delivery: D,
    ) {
        let mut event = HeldEvent::from(mapped);
        let mut keys = keys.to_vec();
        if let HeldEvent::Contact(write) = &mut event
            && let Some(user_id) = write.external_id()
            && write.email.is_none()
            && let Some(email) = self.identities.latest(&user_id)
        {
            Arc::make_mut(write).email = Some(email.into());
            keys.push(ContactKey::Email(email.to_owned()));
        }
        if let HeldEvent::Contact(write) = &event {
            keys.extend(write.listed_addresses().into_iter().map(ContactKey::Email));
        }
        if self.settings.records.tags == Tags::Append {
            event = event.appending_tags();
        }
        if let Some((user_id, email)) = address {
            self.identities.admitted(&user_id, email, place);
        }
        self.window.fill(place, &keys, OpenEvent { event, delivery, put_back: 0, attempts: 0 });
        self.file_changed();
    }

    /// No event comes into the place that was kept.
    pub fn leave(&mut self, place: u64) {
        self.window.finish(place);
        self.file_changed();
    }

    /// The keys, and the e-mail addresses that are known to belong to their `userId`s.
    fn with_addresses(&self, keys: &[ContactKey]) -> Vec<ContactKey> {
        let known = keys.iter().filter_map(|key| match key {
            ContactKey::UserId(user_id) => {
                self.identities.latest(user_id).map(|email| ContactKey::Email(email.to_owned()))
            }
            ContactKey::Email(_) => None,
        });
        known.chain(keys.iter().cloned()).collect()
    }
}

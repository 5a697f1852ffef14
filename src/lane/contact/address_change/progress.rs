//! What is known of which contact a work item is about, kept with it from step to step.

use crate::lane::contact::refused::refusal::RefusedCall;

/// What is known of which contact it is, beside the write itself.
#[derive(Debug, Default)]
pub(in crate::lane) struct IdentityProgress {
    /// The refusal that stands if no other contact is found.
    pub(super) refused: Option<RefusedCall>,
    /// Look-ups made since the refusal.
    pub(super) look_ups: u8,
    /// How often the contact that was found was not used.
    pub(super) wrong_finds: u8,
    /// The addresses that the contact is to have, an array's text, where it is written by its id.
    pub(super) emails: Option<String>,
    /// The cached address turned out wrong: the contact is written by the event's address.
    pub(super) by_address: bool,
    /// This contact does not exist any more or has another `external_id`, whatever a look-up says.
    pub(super) ruled_out: Option<i64>,
    /// The address belongs to another contact than the `userId`, so the contact is written without `external_id`.
    pub(super) without_external_id: bool,
    /// An address is left out, because the contact has as many as Freshsales keeps.
    pub(super) too_many_emails: bool,
}

impl IdentityProgress {
    /// Begins again with what holds for a contact that is written without its `external_id`.
    pub(super) fn belongs_to_other() -> Self {
        Self { without_external_id: true, ..Self::default() }
    }

    /// Keeps only the addresses and how many contacts were found in vain.
    pub(super) fn keep_addresses(&mut self) {
        let Self { wrong_finds, emails, too_many_emails, .. } = std::mem::take(self);
        *self = Self { wrong_finds, emails, too_many_emails, ..Self::default() };
    }
}

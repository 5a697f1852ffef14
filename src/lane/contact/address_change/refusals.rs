//! After a refusal that may be due to another contact: what is looked up about it.

use tokio::time::Instant;

use super::MOST_TRIES;
use super::look_ups::begin_by_address;
use crate::lane::contact::contact_work::ContactWork;
use crate::lane::contact::refused::refusal::RefusedCall;
use crate::lane::contact::step::Step;
use crate::lane::contact::steps::StepContext;
use crate::lane::contact::work_item::WorkItem;

/// A contact that is written by its id does not exist: begins again by its address. False if the refusal means something
/// else.
pub(in crate::lane) fn contact_not_found<D>(
    item: &mut WorkItem<D>,
    refused: &RefusedCall,
    context: &mut StepContext<'_>,
) -> bool {
    let Some(work) = item.contact() else { return false };
    let by_id = matches!(work.step, Step::ReadEmails | Step::Update);
    if !by_id || !refused.says_not_found() || work.identity.ruled_out == work.known.contact_id {
        return false;
    }
    begin_by_address(item, context);
    true
}

/// The contact was refused with its new address, which may be another contact's: looks that one up. False if the refusal
/// means something else.
pub(in crate::lane) fn look_up_owner(work: &mut ContactWork, refused: &RefusedCall) -> bool {
    if !refused.may_be_mended()
        || work.step != Step::Update
        || !work.changes_address()
        || work.identity.look_ups > 0
    {
        return false;
    }
    work.identity.refused = Some(refused.clone());
    work.step = Step::FindOwner;
    true
}

/// The contact was refused; another one may have its `external_id`: looks that one up. False if that cannot be, or was
/// done.
pub(in crate::lane) fn look_up_holder(work: &mut ContactWork, refused: &RefusedCall) -> bool {
    let identity = &work.identity;
    let looked_up = identity.look_ups > 0 || identity.wrong_finds >= MOST_TRIES;
    if !refused.may_be_mended()
        || work.step != Step::Contact
        || identity.without_external_id
        || looked_up
        || work.write.external_id().is_none()
    {
        return false;
    }
    work.identity.refused = Some(refused.clone());
    work.step = Step::FindHolder;
    true
}

/// Nothing else helped. If the look-up was made too early it is made once more, at the time that this returns.
pub(in crate::lane) fn look_up_again(
    work: &mut ContactWork,
    refused: &RefusedCall,
    context: &StepContext<'_>,
) -> Option<Instant> {
    if work.identity.look_ups != 1 || work.identity.without_external_id || !refused.is_rejection() {
        return None;
    }
    let user_id = work.write.external_id()?;
    let address = work.write.address();
    let later = context.now + context.look_up_delay;
    let (step, at) = if work.step == Step::Contact {
        // It is cached under another address and was not found: it was written a moment ago.
        let at = if context.identities.former_email(&user_id, address).is_some() {
            later
        } else if context.identities.has_both(&user_id, address) {
            return None;
        } else {
            context.too_early()?
        };
        (Step::FindHolder, at)
    } else if work.step == Step::Update && work.changes_address() {
        (Step::FindOwner, later)
    } else {
        return None;
    };
    work.step = step;
    work.identity.refused = Some(refused.clone());
    Some(at)
}

impl StepContext<'_> {
    /// When a look-up finds all that was written before the lane came here; `None` if it does so now. What this replica
    /// writes it remembers, but what another one wrote last may not be found yet.
    pub(super) fn too_early(&self) -> Option<Instant> {
        (self.now < self.look_ups_complete_at).then_some(self.look_ups_complete_at)
    }
}

//! Tracks and pages: whom they are about, and the call that reports them.

use super::held::HeldEvent;
use crate::freshsales::Call;
use crate::lane::contact::cache::identities::IdentityCache;
use crate::mapping::Identity;

/// No contact's `external_id` has more characters. A longer `userId` need not be looked up; it might fit no URL, and a call
/// that can never be made looks like an outage.
const LONGEST_EXTERNAL_ID: usize = 255;

/// Whom an activity is about; `None` for an identify.
pub(in crate::lane) fn identity(event: &HeldEvent) -> Option<&Identity> {
    match event {
        HeldEvent::Contact(_) => None,
        HeldEvent::Track(activity) => Some(&activity.identity),
        HeldEvent::Page(page) => Some(&page.identity),
    }
}

/// The call that an activity needs next: the look-up of its contact's address, or the report.
pub(in crate::lane) fn call(event: &HeldEvent, identities: &IdentityCache) -> Option<Call> {
    match identity(event)? {
        Identity::Email(email) => report(event, email),
        Identity::UserId(user_id)
            if identities.needs_look_up(user_id) && user_id.chars().nth(LONGEST_EXTERNAL_ID).is_none() =>
        {
            Some(Call::lookup_external_id(user_id))
        }
        Identity::UserId(user_id) => {
            // Where no contact was found, an identify further back may give the address that it will have.
            let email = identities.email(user_id).or_else(|| identities.latest(user_id));
            report(event, email.unwrap_or(user_id))
        }
    }
}

fn report(event: &HeldEvent, identifier: &str) -> Option<Call> {
    match event {
        HeldEvent::Contact(_) => None,
        HeldEvent::Track(activity) => {
            Some(Call::track_event(identifier, &activity.name, activity.properties.as_str()))
        }
        HeldEvent::Page(page) => {
            Some(Call::track_page_view(identifier, &page.url, page.properties.as_str(), &page.added))
        }
    }
}

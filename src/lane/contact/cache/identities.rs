//! Which e-mail address belongs to a `userId`, as this lane's identifies and look-ups say.
//!
//! An identify's address counts for the order of events as soon as the identify is taken: later events of that address must
//! wait for it. It is sent only once the identify is settled: until then Freshsales does not know it.

use std::collections::HashMap;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::fact::FactKey;
use crate::lane::bounded::{Digests, REMEMBERED_IDS, lru};

/// The first and the longest wait before a `userId` is looked up again that was not found: the contact may have been created
/// since, by another program or by a later event.
const FIRST_NOT_FOUND: Duration = Duration::from_mins(1);
const LONGEST_NOT_FOUND: Duration = Duration::from_hours(1);
/// How long an address counts as another contact's, before the `userId` is sent with it again.
const OTHER_CONTACT_FOR: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub(in crate::lane) struct IdentityCache {
    digests: Digests,
    known: LruCache<u128, Known>,
    /// Each `userId`'s last identify that is not settled. No more than the window holds.
    unsettled: HashMap<u128, Unsettled>,
    /// When the scheduler was last asked for a call.
    now: Option<Instant>,
    /// Counts how often another replica may have had the lane.
    term: u64,
    /// The `userId`s of which something else is known since the last time that was asked for.
    changed: Vec<FactKey>,
}

#[derive(Debug)]
enum Known {
    /// A contact had this `external_id` and this address: one identify gave both and was delivered, or a look-up found them.
    Contact(String),
    /// Only an identify that was refused gave it.
    Refused(String),
    /// The address is that of another contact than the one with this `external_id`, whose own address may be known.
    OtherContact { email: String, until: Option<Instant>, own: Option<String> },
    /// A look-up found no contact. It is made again at `until`, or if another replica may have had the lane since `term`.
    NotFound { until: Option<Instant>, wait: Duration, term: u64 },
}

impl Known {
    fn email(&self) -> Option<&str> {
        match self {
            Self::Contact(email) | Self::Refused(email) | Self::OtherContact { email, .. } => Some(email),
            Self::NotFound { .. } => None,
        }
    }

    /// The address of the contact that has the `external_id`.
    fn contact(&self) -> Option<&str> {
        match self {
            Self::Contact(email) => Some(email),
            Self::OtherContact { own, .. } => own.as_deref(),
            Self::Refused(_) | Self::NotFound { .. } => None,
        }
    }
}

#[derive(Debug)]
struct Unsettled {
    event: u64,
    email: String,
}

/// How an identify with a `userId` and an address ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum IdentityEnd {
    /// The contact has both.
    Delivered,
    /// The contact with this address was written; the `userId` is another one's.
    WithoutUserId,
    /// It is a dead letter.
    Refused,
}

impl IdentityCache {
    pub(in crate::lane) fn new() -> Self {
        Self {
            digests: Digests::new(),
            known: lru(REMEMBERED_IDS),
            unsettled: HashMap::new(),
            now: None,
            term: 0,
            changed: Vec::new(),
        }
    }

    pub(in crate::lane) fn tick(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// Another replica may have had the lane, and created contacts that this one did not find.
    pub(in crate::lane) fn was_elsewhere(&mut self) {
        self.term += 1;
    }

    /// The address by settled events and look-ups.
    pub(in crate::lane) fn email(&self, user_id: &str) -> Option<&str> {
        self.known.peek(&self.digests.of(user_id))?.email()
    }

    /// The address under which an identify without one is written: never that of another contact.
    pub(in crate::lane) fn own_email(&self, user_id: &str) -> Option<&str> {
        match self.known.peek(&self.digests.of(user_id))? {
            Known::OtherContact { own, .. } => own.as_deref(),
            Known::Contact(email) | Known::Refused(email) => Some(email),
            Known::NotFound { .. } => None,
        }
    }

    /// Whether the contact of an identify without an address is to be looked up.
    pub(in crate::lane) fn owner_needs_look_up(&self, user_id: &str) -> bool {
        let known = self.known.peek(&self.digests.of(user_id));
        matches!(known, Some(Known::OtherContact { own: None, .. })) || self.needs_look_up(user_id)
    }

    /// The address by all identifies taken so far, settled or not.
    pub(in crate::lane) fn latest(&self, user_id: &str) -> Option<&str> {
        let unsettled = self.unsettled.get(&self.digests.of(user_id));
        unsettled.map(|unsettled| &*unsettled.email).or_else(|| self.email(user_id))
    }

    pub(in crate::lane) fn needs_look_up(&self, user_id: &str) -> bool {
        match self.known.peek(&self.digests.of(user_id)) {
            None => true,
            Some(Known::Contact(_) | Known::Refused(_) | Known::OtherContact { .. }) => false,
            Some(Known::NotFound { until, .. }) => *until <= self.now,
        }
    }

    /// When it is to be looked up, if it is not yet and nothing else becomes known.
    pub(in crate::lane) fn look_up_at(&self, user_id: &str) -> Option<Instant> {
        match self.known.peek(&self.digests.of(user_id)) {
            Some(Known::NotFound { until, .. }) => until.filter(|_| *until > self.now),
            None | Some(Known::Contact(_) | Known::Refused(_) | Known::OtherContact { .. }) => None,
        }
    }

    /// What [`IdentityCache::needs_look_up`] relies on.
    pub(in crate::lane) fn fact(&self, user_id: &str) -> FactKey {
        FactKey::identity(self.digests.of(user_id))
    }

    pub(in crate::lane) fn drain_changed(&mut self) -> impl Iterator<Item = FactKey> {
        self.changed.drain(..)
    }

    /// Whether another replica may have created the contact since a look-up found none. Only events that would be dead
    /// letters ask this: for all, it would cost too many calls where connections break often.
    pub(in crate::lane) fn may_exist_by_now(&self, user_id: &str) -> bool {
        let known = self.known.peek(&self.digests.of(user_id));
        matches!(known, Some(Known::NotFound { term, .. }) if *term != self.term)
    }

    /// The address of the contact with this `external_id`, if it is another one than this.
    pub(in crate::lane) fn former_email(&self, user_id: &str, email: &str) -> Option<&str> {
        let known = self.known.peek(&self.digests.of(user_id))?.contact();
        known.filter(|known| *known != email && !self.belongs_to_other_contact(user_id, email))
    }

    /// Whether a contact is known that has this `external_id` and this address.
    pub(in crate::lane) fn has_both(&self, user_id: &str, email: &str) -> bool {
        let known = self.known.peek(&self.digests.of(user_id)).and_then(Known::contact);
        known == Some(email)
    }

    /// Whether the address is known to be that of another contact than the `userId`.
    pub(in crate::lane) fn belongs_to_other_contact(&self, user_id: &str, email: &str) -> bool {
        let known = self.known.peek(&self.digests.of(user_id));
        matches!(known, Some(Known::OtherContact { email: known, until, .. }) if known == email && *until > self.now)
    }

    /// An identify with both was taken.
    pub(in crate::lane) fn admitted(&mut self, user_id: &str, email: String, event: u64) {
        self.unsettled.insert(self.digests.of(user_id), Unsettled { event, email });
    }

    /// An identify with both ended.
    pub(in crate::lane) fn ended(&mut self, user_id: &str, email: &str, event: u64, end: IdentityEnd) {
        let digest = self.digests.of(user_id);
        if self.unsettled.get(&digest).is_some_and(|last| last.event == event) {
            self.unsettled.remove(&digest);
        }
        let email = email.to_owned();
        let known = match end {
            IdentityEnd::Delivered => Known::Contact(email),
            IdentityEnd::WithoutUserId => {
                let own = self.known.peek(&digest).and_then(Known::contact).map(str::to_owned);
                Known::OtherContact { email, until: self.now.map(|now| now + OTHER_CONTACT_FOR), own }
            }
            IdentityEnd::Refused if self.email(user_id).is_some() => return,
            IdentityEnd::Refused => Known::Refused(email),
        };
        self.changed.push(FactKey::identity(digest));
        self.known.put(digest, known);
    }

    /// The identifies that are not settled go back to their queue; they count again when they are delivered again.
    pub(in crate::lane) fn given_back(&mut self) {
        self.unsettled.clear();
    }

    /// A look-up found the address.
    pub(in crate::lane) fn found(&mut self, user_id: &str, email: String) {
        let digest = self.digests.of(user_id);
        if let Some(Known::OtherContact { email: other, own, .. }) = self.known.get_mut(&digest)
            && *other != email
        {
            *own = Some(email);
            return;
        }
        self.changed.push(FactKey::identity(digest));
        self.known.put(digest, Known::Contact(email));
    }

    /// What is cached of the `userId` turned out wrong.
    pub(in crate::lane) fn forget(&mut self, user_id: &str) {
        self.known.pop(&self.digests.of(user_id));
        self.changed.push(self.fact(user_id));
    }

    /// A look-up found no contact. An address that became known meanwhile stays.
    pub(in crate::lane) fn not_found(&mut self, user_id: &str, now: Instant) {
        self.changed.push(self.fact(user_id));
        let until = |wait: Duration| Some(now + wait);
        let known = self.known.get_or_insert_mut(self.digests.of(user_id), || Known::NotFound {
            until: None,
            wait: FIRST_NOT_FOUND / 2,
            term: self.term,
        });
        if let Known::NotFound { until: again, wait, term } = known {
            *wait = (*wait * 2).min(LONGEST_NOT_FOUND);
            *again = until(*wait);
            *term = self.term;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_user_id_is_told_when_something_else_is_known_of_it_and_when_to_look_again() {
        let mut identities = IdentityCache::new();
        let now = Instant::now();
        identities.tick(now);
        let changed = |identities: &mut IdentityCache| identities.drain_changed().collect::<Vec<_>>();
        let u = [identities.fact("u")];
        assert_ne!(identities.fact("v"), u[0]);
        identities.admitted("u", "a@x.com".to_owned(), 0);
        assert_eq!((changed(&mut identities), identities.look_up_at("u")), (vec![], None));
        identities.not_found("u", now);
        assert_eq!(
            (changed(&mut identities), identities.look_up_at("u")),
            (u.to_vec(), Some(now + FIRST_NOT_FOUND))
        );
        identities.tick(now + FIRST_NOT_FOUND);
        assert_eq!((identities.needs_look_up("u"), identities.look_up_at("u")), (true, None));
        identities.found("u", "a@x.com".to_owned());
        assert_eq!((changed(&mut identities), identities.look_up_at("u")), (u.to_vec(), None));
        identities.forget("u");
        assert_eq!(changed(&mut identities), u);
        identities.ended("u", "a@x.com", 0, IdentityEnd::Delivered);
        assert_eq!(changed(&mut identities), u);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_that_was_not_found_is_looked_up_again_after_a_minute_growing_to_an_hour() {
        let mut identities = IdentityCache::new();
        let mut now = Instant::now();
        identities.tick(now);
        assert!(identities.needs_look_up("u"));
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            identities.not_found("u", now);
            assert!(!identities.needs_look_up("u") && identities.email("u").is_none());
            let again = now + Duration::from_mins(minutes);
            identities.tick(again.checked_sub(Duration::from_millis(1)).unwrap());
            assert!(!identities.needs_look_up("u"), "before {minutes} minutes");
            identities.tick(again);
            assert!(identities.needs_look_up("u"), "after {minutes} minutes");
            now = again;
        }
        identities.found("u", "ada@example.com".into());
        identities.not_found("u", now);
        assert_eq!(identities.email("u"), Some("ada@example.com"));
    }

    #[test]
    fn an_address_is_sent_only_once_its_identify_is_delivered() {
        let mut identities = IdentityCache::new();
        identities.admitted("u", "old@x.com".into(), 1);
        assert_eq!((identities.latest("u"), identities.email("u")), (Some("old@x.com"), None));
        identities.admitted("u", "new@x.com".into(), 2);
        identities.ended("u", "old@x.com", 1, IdentityEnd::Delivered);
        assert_eq!((identities.latest("u"), identities.email("u")), (Some("new@x.com"), Some("old@x.com")));
        assert_eq!(identities.former_email("u", "new@x.com"), Some("old@x.com"));
        // A refused change changes nothing.
        identities.ended("u", "new@x.com", 2, IdentityEnd::Refused);
        assert_eq!((identities.latest("u"), identities.email("u")), (Some("old@x.com"), Some("old@x.com")));
        assert!(identities.has_both("u", "old@x.com"));
    }

    #[test]
    fn a_refused_identify_s_address_is_no_contact_s_but_better_than_none() {
        let mut identities = IdentityCache::new();
        identities.ended("u", "a@x.com", 1, IdentityEnd::Refused);
        assert_eq!(identities.email("u"), Some("a@x.com"));
        assert_eq!(identities.former_email("u", "b@x.com"), None);
    }

    #[test]
    fn an_identify_that_is_given_back_says_nothing_until_it_is_delivered_again() {
        let mut identities = IdentityCache::new();
        identities.ended("u", "old@x.com", 1, IdentityEnd::Delivered);
        identities.admitted("u", "new@x.com".into(), 2);
        identities.given_back();
        assert_eq!(identities.latest("u"), Some("old@x.com"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_of_another_contact_is_tried_again_after_an_hour() {
        let mut identities = IdentityCache::new();
        let now = Instant::now();
        identities.tick(now);
        identities.ended("u", "taken@x.com", 1, IdentityEnd::WithoutUserId);
        assert!(
            identities.belongs_to_other_contact("u", "taken@x.com")
                && !identities.belongs_to_other_contact("u", "other@x.com")
        );
        assert_eq!(
            (identities.email("u"), identities.former_email("u", "other@x.com")),
            (Some("taken@x.com"), None)
        );
        identities.tick(now + OTHER_CONTACT_FOR);
        assert!(!identities.belongs_to_other_contact("u", "taken@x.com"));
        // Where the contact's own address is known, it is not forgotten meanwhile.
        identities.ended("u", "own@x.com", 2, IdentityEnd::Delivered);
        identities.ended("u", "taken@x.com", 3, IdentityEnd::WithoutUserId);
        assert_eq!(identities.former_email("u", "taken@x.com"), None);
        assert_eq!(identities.former_email("u", "newest@x.com"), Some("own@x.com"));
    }
}

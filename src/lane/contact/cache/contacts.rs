//! The contacts that this lane has written or read: their ids and their links to sales accounts.
//!
//! A search sees writes only after a while. So what this lane wrote itself within that time is added to what a search shows.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::fact::FactKey;
use crate::freshsales::SalesAccountLink;
use crate::lane::bounded::lru;

const CONTACTS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// Enough that some of them still exist.
const CONTROLS: usize = 8;

#[derive(Debug)]
pub(in crate::lane) struct ContactCache {
    by_email: LruCache<String, CachedContact>,
    /// A contact may have several addresses: links that were written or read by its id.
    by_id: LruCache<i64, RecentLinks>,
    /// Contacts that exist, and from when a search finds them.
    controls: VecDeque<(String, Instant)>,
    /// Contacts whose id or links have changed since the last time that was asked for.
    pub(super) changed: Vec<FactKey>,
}

#[derive(Debug, Clone, Default)]
struct CachedContact {
    /// `None` if it was only written in bulk.
    id: Option<i64>,
    linked: Vec<i64>,
    recent: RecentLinks,
}

/// Links, each with when it was last written, or read where writes are seen at once. Answers may come out of order, so what
/// a later one does not show stays.
#[derive(Debug, Clone, Default)]
struct RecentLinks(Vec<RecentLink>);

#[derive(Debug, Clone, Copy)]
struct RecentLink {
    link: SalesAccountLink,
    at: Instant,
    /// The call that wrote it was answered.
    certain: bool,
}

impl RecentLinks {
    fn note(&mut self, links: &[SalesAccountLink], certain: bool, times: LearningTimes) {
        let LearningTimes { now, search_delay } = times;
        self.0.retain(|recent| now.saturating_duration_since(recent.at) <= search_delay);
        for link in links {
            match self.0.iter_mut().find(|recent| recent.link.id == link.id) {
                Some(recent) if certain || !recent.certain => {
                    *recent = RecentLink { link: *link, at: now, certain }
                }
                Some(_) => {}
                None => self.0.push(RecentLink { link: *link, at: now, certain }),
            }
        }
    }

    /// Those that a search may not see yet.
    fn since(&self, since: Instant) -> impl Iterator<Item = RecentLink> {
        self.0.iter().filter(move |recent| recent.at >= since).copied()
    }
}

impl ContactCache {
    pub(super) fn new() -> Self {
        Self { by_email: lru(CONTACTS), by_id: lru(CONTACTS), controls: VecDeque::new(), changed: Vec::new() }
    }

    pub(super) fn id(&mut self, email: &str) -> Option<i64> {
        self.by_email.get(email)?.id
    }

    pub(super) fn linked(&mut self, email: &str, account: i64) -> bool {
        self.by_email.get(email).is_some_and(|contact| contact.linked.contains(&account))
    }

    /// Learns a contact from an answer that shows all writes; `links` is `None` if it does not show them.
    pub(super) fn learn(
        &mut self,
        email: &str,
        id: i64,
        links: Option<&[SalesAccountLink]>,
        times: LearningTimes,
    ) {
        self.add_control(email, times.now + times.search_delay);
        match links {
            Some(links) => self.learn_links(email, Some(id), links, times),
            None => self.known_contact(email).id = Some(id),
        }
    }

    /// All links of the contact were written, or read where writes are seen at once.
    pub(in crate::lane) fn learn_links(
        &mut self,
        email: &str,
        id: Option<i64>,
        links: &[SalesAccountLink],
        times: LearningTimes,
    ) {
        let contact = self.known_contact(email);
        contact.id = id.or(contact.id);
        contact.linked = links.iter().map(|link| link.id).collect();
        self.note(email, id, links, true, times);
    }

    /// A call that was to write all links of the contact got no answer: they may be there.
    pub(in crate::lane) fn may_be_linked(
        &mut self,
        email: &str,
        id: Option<i64>,
        links: &[SalesAccountLink],
        times: LearningTimes,
    ) {
        self.note(email, id, links, false, times);
    }

    fn note(
        &mut self,
        email: &str,
        id: Option<i64>,
        links: &[SalesAccountLink],
        certain: bool,
        times: LearningTimes,
    ) {
        let contact = self.contact(email);
        contact.recent.note(links, certain, times);
        if let Some(id) = id.or(contact.id) {
            self.by_id.get_or_insert_mut(id, RecentLinks::default).note(links, certain, times);
        }
    }

    /// The contact, whose id or links are about to change.
    fn known_contact(&mut self, email: &str) -> &mut CachedContact {
        self.changed.push(FactKey::contact(email));
        self.contact(email)
    }

    fn contact(&mut self, email: &str) -> &mut CachedContact {
        self.by_email.get_or_insert_mut(email.to_owned(), CachedContact::default)
    }

    /// Learns a contact from a search's row. Returns its links, with those that the search may not see yet.
    pub(in crate::lane) fn learn_found(
        &mut self,
        email: &str,
        id: i64,
        links: &[SalesAccountLink],
        seen_since: Instant,
    ) -> KnownLinks {
        self.add_control(email, seen_since);
        let links = KnownLinks::of(links, &self.recent(email, Some(id), seen_since));
        let contact = self.known_contact(email);
        contact.id = Some(id);
        contact.linked = links.all.iter().map(|link| link.id).filter(|id| links.has(*id)).collect();
        links
    }

    /// The links of a contact that a search did not find: this lane may have written it a moment ago.
    pub(in crate::lane) fn links_of_unfound(&mut self, email: &str, seen_since: Instant) -> KnownLinks {
        let id = self.id(email);
        KnownLinks::of(&[], &self.recent(email, id, seen_since))
    }

    /// These links of an answer, with those that this lane has written or read since it was asked for.
    pub(in crate::lane) fn with_recent(
        &self,
        email: &str,
        id: Option<i64>,
        links: &[SalesAccountLink],
        times: LearningTimes,
    ) -> KnownLinks {
        let since = times.now.checked_sub(times.search_delay).unwrap_or(times.now);
        KnownLinks::of(links, &self.recent(email, id, since))
    }

    fn recent(&self, email: &str, id: Option<i64>, since: Instant) -> Vec<RecentLink> {
        let by_email = self.by_email.peek(email).map(|contact| contact.recent.since(since));
        let by_id = id.and_then(|id| self.by_id.peek(&id)).map(|recent| recent.since(since));
        by_email.into_iter().flatten().chain(by_id.into_iter().flatten()).collect()
    }

    pub(super) fn forget(&mut self, email: &str) {
        self.by_email.pop(email);
        self.changed.push(FactKey::contact(email));
        self.forget_control(email);
    }

    fn add_control(&mut self, email: &str, from: Instant) {
        if self.controls.iter().any(|(other, _)| other == email) {
            return;
        }
        // The oldest is kept: it has been found by searches, and the others may be too new.
        if self.controls.len() >= CONTROLS {
            self.controls.remove(1);
        }
        self.controls.push_back((email.to_owned(), from));
    }

    /// A contact that exists and that a search must find by now; else from when there will be one.
    pub(in crate::lane) fn control(&self, now: Instant) -> Control {
        if let Some((email, _)) = self.controls.iter().find(|(_, from)| *from <= now) {
            return Control::Now(email.clone());
        }
        self.controls.iter().map(|(_, from)| *from).min().map_or(Control::Unknown, Control::From)
    }

    /// A search did not find it: it may have been deleted.
    pub(in crate::lane) fn forget_control(&mut self, email: &str) {
        self.controls.retain(|(other, _)| other != email);
    }
}

/// When something is learned, and how long after a write a search sees it.
#[derive(Debug, Clone, Copy)]
pub(in crate::lane) struct LearningTimes {
    pub(in crate::lane) now: Instant,
    pub(in crate::lane) search_delay: Duration,
}

/// Whether there is a contact that a search must find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) enum Control {
    /// This one.
    Now(String),
    /// From then on there is one.
    From(Instant),
    Unknown,
}

/// The links of a contact, as far as this lane knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::lane) struct KnownLinks {
    all: Vec<SalesAccountLink>,
    /// Those that may not be there: the call that was to write them got no answer.
    uncertain: Vec<i64>,
}

impl KnownLinks {
    /// Those of an answer that shows all.
    pub(in crate::lane) fn shown(links: &[SalesAccountLink]) -> Self {
        Self::of(links, &[])
    }

    /// Those of an answer, and recent ones that it may not show. One is primary, if any of them was.
    fn of(shown: &[SalesAccountLink], recent: &[RecentLink]) -> Self {
        let mut known = Self { all: shown.to_vec(), uncertain: Vec::new() };
        for RecentLink { link, certain, .. } in recent {
            if known.all.iter().any(|other| other.id == link.id) {
                if *certain {
                    known.uncertain.retain(|id| *id != link.id);
                }
                continue;
            }
            let primary = link.primary && !known.all.iter().any(|other| other.primary);
            known.all.push(SalesAccountLink { primary, ..*link });
            if !certain {
                known.uncertain.push(link.id);
            }
        }
        known
    }

    /// Whether the contact is linked to the sales account for certain.
    pub(in crate::lane) fn has(&self, account: i64) -> bool {
        self.all.iter().any(|link| link.id == account) && !self.uncertain.contains(&account)
    }

    /// All of them, and one to this sales account. Freshsales replaces the whole set, and wants exactly one primary.
    pub(in crate::lane) fn with(&self, account: i64) -> Vec<SalesAccountLink> {
        let mut all = self.all.clone();
        if !all.iter().any(|link| link.id == account) {
            let primary = !all.iter().any(|link| link.primary);
            all.push(SalesAccountLink { id: account, primary });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(id: i64, primary: bool) -> SalesAccountLink {
        SalesAccountLink { id, primary }
    }

    #[test]
    fn what_was_written_within_the_search_delay_is_added_to_what_a_search_shows_and_nothing_older() {
        let start = Instant::now();
        let delay = Duration::from_secs(22);
        for (seconds_later, expected) in
            [(21, vec![link(1, true), link(2, false)]), (23, vec![link(1, true)])]
        {
            let mut cache = ContactCache::new();
            let times = LearningTimes { now: start, search_delay: delay };
            cache.learn_links("a@x.com", Some(7), &[link(2, true)], times);
            // An answer that was given before the write comes after it.
            cache.learn("a@x.com", 7, Some(&[]), times);
            let seen_since = start + Duration::from_secs(seconds_later) - delay;
            for email in ["a@x.com", "other@x.com"] {
                assert_eq!(
                    cache.learn_found(email, 7, &[link(1, true)], seen_since).all,
                    expected,
                    "{email}"
                );
            }
        }
        let mut cache = ContactCache::new();
        let times = LearningTimes { now: start, search_delay: delay };
        cache.learn_links("new@x.com", None, &[link(2, true)], times);
        assert_eq!(cache.links_of_unfound("new@x.com", start).all, [link(2, true)]);
        assert_eq!(cache.links_of_unfound("other@x.com", start), KnownLinks::default());
        assert!(cache.linked("new@x.com", 2) && cache.id("new@x.com").is_none());
    }

    #[test]
    fn a_link_whose_call_got_no_answer_is_kept_and_written_again() {
        let start = Instant::now();
        let times = LearningTimes { now: start, search_delay: Duration::from_secs(22) };
        let mut cache = ContactCache::new();
        cache.may_be_linked("a@x.com", Some(7), &[link(1, true)], times);
        assert!(!cache.linked("a@x.com", 1));
        let known = cache.learn_found("b@x.com", 7, &[], start);
        assert!(!known.has(1), "it is written again");
        assert_eq!(known.with(1), [link(1, true)]);
        assert_eq!(known.with(2), [link(1, true), link(2, false)], "and another event does not take it away");
        cache.learn_links("a@x.com", Some(7), &[link(1, true)], times);
        cache.may_be_linked("a@x.com", Some(7), &[link(1, true)], times);
        assert!(cache.learn_found("b@x.com", 7, &[], start).has(1), "an earlier call was answered");
    }

    #[test]
    fn a_control_is_one_that_searches_must_find_by_now() {
        let start = Instant::now();
        let times = LearningTimes { now: start, search_delay: Duration::from_secs(22) };
        let mut cache = ContactCache::new();
        assert_eq!(cache.control(start), Control::Unknown);
        cache.learn("a@x.com", 1, None, times);
        let from = start + times.search_delay;
        assert_eq!(cache.control(start), Control::From(from));
        assert_eq!(cache.control(from), Control::Now("a@x.com".to_owned()));
        for number in 0..100 {
            cache.learn(&format!("{number}@x.com"), number + 2, None, times);
        }
        assert_eq!(cache.controls.len(), CONTROLS);
        assert_eq!(cache.control(from), Control::Now("a@x.com".to_owned()));
        cache.forget_control("a@x.com");
        assert!(matches!(cache.control(from), Control::Now(email) if email != "a@x.com"));
    }
}

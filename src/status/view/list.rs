//! The table of accounts: which are shown, in which order, on which page. What a person chose stands in the address.

use super::words::{self, StateWords};
use crate::fleet::AccountInFleet;
use crate::lane::LaneState;

pub(in crate::status) const PAGE_LENGTH: usize = 100;
/// The most characters of a search.
const LONGEST_SEARCH: usize = 64;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::status) enum SortKey {
    /// The worst state first, then the longest backlog.
    #[default]
    Trouble,
    Name,
    Waiting,
    Oldest,
    Delivered,
    DeadLetters,
}

impl SortKey {
    pub(in crate::status) const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Trouble, "trouble", "Trouble first"),
        (Self::Name, "name", "Name"),
        (Self::Waiting, "waiting", "Most waiting"),
        (Self::Oldest, "oldest", "Oldest event"),
        (Self::Delivered, "delivered", "Most delivered"),
        (Self::DeadLetters, "dead_letters", "Most dead letters"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(key, ..)| *key == self).map_or("trouble", |(_, word, _)| word)
    }
}

/// Which accounts are shown, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::status) struct ListQuery {
    /// A part of the name.
    pub(in crate::status) q: String,
    /// One state alone; a word of the metric, or `stuck`.
    pub(in crate::status) state: Option<&'static str>,
    pub(in crate::status) sort: SortKey,
    /// From 1.
    pub(in crate::status) page: usize,
}

/// States that can be chosen.
pub(in crate::status) fn states() -> Vec<StateWords> {
    let lanes = [
        LaneState::Unauthorized,
        LaneState::Retrying,
        LaneState::WaitingForSchema,
        LaneState::Throttled,
        LaneState::Flowing,
        LaneState::Standby,
    ];
    std::iter::once(words::STUCK).chain(lanes.map(words::state)).collect()
}

impl ListQuery {
    /// Out of an address' query. What cannot be understood is as if it were not there.
    pub(in crate::status) fn parse(query: &str) -> Self {
        let mut parsed = Self { page: 1, ..Self::default() };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "q" => {
                    let text: String = value.to_lowercase().chars().take(LONGEST_SEARCH).collect();
                    text.trim().clone_into(&mut parsed.q);
                }
                "state" => {
                    parsed.state = states().iter().map(|state| state.key).find(|state| *state == value);
                }
                "sort" => {
                    let known = SortKey::ALL.iter().find(|(_, word, _)| *word == value);
                    parsed.sort = known.map(|(key, ..)| *key).unwrap_or_default();
                }
                "page" => parsed.page = value.parse().unwrap_or(1).max(1),
                _ => {}
            }
        }
        parsed
    }

    /// The address' query for another page of the same list.
    pub(in crate::status) fn query(&self, page: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.q.is_empty() {
            query.append_pair("q", &self.q);
        }
        if let Some(state) = self.state {
            query.append_pair("state", state);
        }
        if self.sort != SortKey::default() {
            query.append_pair("sort", self.sort.word());
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        query.finish()
    }

    fn holds(&self, account: &AccountInFleet) -> bool {
        account.account.contains(&self.q) && self.state.is_none_or(|state| shown_state(account).key == state)
    }
}

#[derive(Debug)]
pub(in crate::status) struct ListedAccounts<'a> {
    pub(in crate::status) accounts: Vec<&'a AccountInFleet>,
    /// Of all that match.
    pub(in crate::status) matching: usize,
    /// From 1.
    pub(in crate::status) page: usize,
    pub(in crate::status) pages: usize,
}

/// The accounts that are chosen, in their own order.
pub(in crate::status) fn matching<'a>(
    accounts: &'a [AccountInFleet],
    query: &ListQuery,
) -> Vec<&'a AccountInFleet> {
    accounts.iter().filter(|account| query.holds(account)).collect()
}

pub(in crate::status) fn list<'a>(accounts: &'a [AccountInFleet], query: &ListQuery) -> ListedAccounts<'a> {
    let mut matching = matching(accounts, query);
    let dead_letters =
        |one: &AccountInFleet| one.report.as_ref().map_or(0, |report| report.hour.dead_lettered_in_all());
    let delivered = |one: &AccountInFleet| one.report.as_ref().map_or(0, |report| report.hour.delivered);
    let oldest = |one: &AccountInFleet| one.report.as_ref().and_then(|report| report.oldest);
    matching.sort_by(|one, other| {
        let by_key = match query.sort {
            SortKey::Trouble => trouble(one)
                .cmp(&trouble(other))
                .then_with(|| other.waiting.cmp(&one.waiting))
                .then_with(|| dead_letters(other).cmp(&dead_letters(one))),
            SortKey::Name => std::cmp::Ordering::Equal,
            SortKey::Waiting => other.waiting.cmp(&one.waiting),
            // Those without any come last.
            SortKey::Oldest => {
                (oldest(one).is_none(), oldest(one)).cmp(&(oldest(other).is_none(), oldest(other)))
            }
            SortKey::Delivered => delivered(other).cmp(&delivered(one)),
            SortKey::DeadLetters => dead_letters(other).cmp(&dead_letters(one)),
        };
        by_key.then_with(|| one.account.cmp(&other.account))
    });
    let pages = matching.len().div_ceil(PAGE_LENGTH).max(1);
    let page = query.page.clamp(1, pages);
    let accounts = matching.iter().copied().skip((page - 1) * PAGE_LENGTH).take(PAGE_LENGTH).collect();
    ListedAccounts { accounts, matching: matching.len(), page, pages }
}

/// The state as people see it: being stuck hides the rest.
pub(in crate::status) fn shown_state(account: &AccountInFleet) -> StateWords {
    let stuck = account.report.as_ref().is_some_and(|report| report.stuck.is_some());
    if stuck { words::STUCK } else { words::state(account.state()) }
}

/// Less is worse.
fn trouble(account: &AccountInFleet) -> u8 {
    if account.report.as_ref().is_some_and(|report| report.stuck.is_some()) {
        return 0;
    }
    match account.state() {
        LaneState::Unauthorized => 1,
        LaneState::Standby
            if account.replica.is_none() && account.waiting.is_some_and(|waiting| waiting > 0) =>
        {
            2
        }
        LaneState::Retrying => 3,
        LaneState::WaitingForSchema => 4,
        LaneState::Throttled => 5,
        LaneState::Flowing => 6,
        LaneState::Standby => 7,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::StuckReport;
    use crate::status::view::snapshot::tests::flowing;

    fn accounts() -> Vec<AccountInFleet> {
        let with = |name: &str, state, waiting| {
            let mut account = flowing(name);
            (account.waiting, account.report.as_mut().unwrap().state) = (Some(waiting), state);
            account
        };
        let mut stuck = with("hung", LaneState::Flowing, 0);
        let report = stuck.report.as_mut().unwrap();
        report.stuck = Some(StuckReport { seconds: 1, events: 1, why: String::new() });
        vec![
            with("acme", LaneState::Flowing, 1),
            with("globex", LaneState::Flowing, 500),
            stuck,
            with("initech", LaneState::Unauthorized, 0),
            with("umbrella", LaneState::Throttled, 7),
        ]
    }

    fn names(query: &str) -> String {
        let accounts = accounts();
        let listed = list(&accounts, &ListQuery::parse(query));
        listed.accounts.iter().map(|one| one.account.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_chosen_decides_what_is_shown() {
        for (query, shown) in [
            ("", "hung initech umbrella globex acme"),
            ("sort=name", "acme globex hung initech umbrella"),
            ("sort=waiting", "globex umbrella acme hung initech"),
            ("q=E", "initech umbrella globex acme"),
            ("state=flowing", "globex acme"),
            ("state=stuck", "hung"),
            ("state=nonsense&sort=nonsense&page=nonsense&x=y", "hung initech umbrella globex acme"),
            ("q=nobody", ""),
            ("page=99&sort=name", "acme globex hung initech umbrella"),
        ] {
            assert_eq!(names(query), shown, "{query}");
        }
    }

    #[test]
    fn pages_hold_a_hundred_accounts_each_and_all_of_them_together() {
        let accounts: Vec<AccountInFleet> =
            (0..250).map(|number| flowing(&format!("account-{number:03}"))).collect();
        let mut shown = Vec::new();
        for page in 1..=3 {
            let listed = list(&accounts, &ListQuery { page, ..ListQuery::parse("sort=name") });
            assert_eq!((listed.pages, listed.matching, listed.page), (3, 250, page));
            shown.extend(listed.accounts.iter().map(|one| one.account.clone()));
        }
        assert_eq!(shown, accounts.iter().map(|one| one.account.clone()).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_query_is_understood_and_written_again(text in ".{0,80}", page in 1..1000_usize) {
            let parsed = ListQuery::parse(&text);
            list(&accounts(), &parsed);
            let again = ListQuery::parse(&parsed.query(page));
            prop_assert_eq!(again, ListQuery { page, ..parsed });
        }
    }
}

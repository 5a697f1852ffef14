//! The first page: the fleet in one sentence, what wants a person, and the accounts.

use askama::Template;
use jiff::Timestamp;

use super::frame::Frame;
use super::shown::{ConcernShown, ErrorShown, RemovedShown};
use crate::fleet::{AccountInFleet, HourCounts, LaneReport};
use crate::status::view::chart::sparkline;
use crate::status::view::history::{self, ChartSeries};
use crate::status::view::list::{ListQuery, ListedAccounts, SortKey, list, shown_state, states};
use crate::status::view::quota::{self, QuotaShown};
use crate::status::view::reasons::meaning;
use crate::status::view::snapshot::Snapshot;
use crate::status::view::words::{StateWords, TimeShown, seconds};
use crate::status::view::{concern, headline};
use crate::words::{counted, grouped};

/// How many events, and the most frequent reason.
#[derive(Debug)]
struct TopReason {
    all: String,
    /// It is not the only one.
    among_others: bool,
    reason: String,
    meaning: &'static str,
}

/// As many things that want a person as fit a page; the table of accounts has the others first.
const MOST_CONCERNS: usize = 20;

#[derive(Template)]
#[template(path = "status/templates/index.html")]
struct IndexPage<'a> {
    frame: Frame,
    headline: String,
    numbers: Vec<String>,
    concerns: Vec<ConcernShown>,
    more_concerns: usize,
    query: &'a ListQuery,
    states: Vec<StateWords>,
    sorts: [(SortKey, &'static str, &'static str); 6],
    rows: Vec<Row>,
    any_accounts: bool,
    removed: Vec<RemovedShown>,
    matching: String,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

#[derive(Debug)]
struct Row {
    account: String,
    state: StateWords,
    since: Option<TimeShown>,
    why: String,
    waiting: String,
    oldest: Option<TimeShown>,
    delivered: String,
    spark: String,
    p95: Option<String>,
    skipped: Option<TopReason>,
    dead_letters: Option<TopReason>,
    quota: Option<QuotaShown>,
    replica: String,
    last_error: Option<ErrorShown>,
}

pub(in crate::status) fn index(snapshot: &Snapshot, query: &ListQuery) -> Result<String, askama::Error> {
    let now = snapshot.at;
    let mut concerns = concern::concerns(snapshot);
    let more_concerns = concerns.len().saturating_sub(MOST_CONCERNS);
    concerns.truncate(MOST_CONCERNS);
    let ListedAccounts { accounts, matching, page, pages } = list(&snapshot.fleet.accounts, query);
    let own = query.query(page);
    let (here, json) = if own.is_empty() {
        (String::new(), "api/status".to_owned())
    } else {
        (format!("./?{own}"), format!("api/status?{own}"))
    };
    IndexPage {
        frame: Frame::new(&snapshot.replica, now, &here, &json),
        headline: headline::sentence(snapshot),
        numbers: headline::numbers(snapshot),
        concerns: concerns.into_iter().map(|one| ConcernShown::of(one, now)).collect(),
        more_concerns,
        query,
        states: states(),
        sorts: SortKey::ALL,
        rows: accounts.into_iter().map(|account| row(account, snapshot)).collect(),
        removed: snapshot.removed.iter().map(|one| RemovedShown::of(one, now)).collect(),
        any_accounts: !snapshot.fleet.accounts.is_empty(),
        matching: counted(u64::try_from(matching).unwrap_or(u64::MAX), "account", "accounts"),
        page,
        pages,
        previous: (page > 1).then(|| query.query(page - 1)),
        next: (page < pages).then(|| query.query(page + 1)),
    }
    .render()
}

fn row(account: &AccountInFleet, snapshot: &Snapshot) -> Row {
    let now = snapshot.at;
    let report = account.report.as_ref();
    let none = HourCounts::default();
    let hour = report.map_or(&none, |report| &report.hour);
    Row {
        account: account.account.clone(),
        state: shown_state(account),
        since: account.since.map(|since| TimeShown::relative(since, now)),
        why: why(account),
        waiting: waiting(account),
        oldest: report.and_then(|report| report.oldest).map(|oldest| TimeShown::age(oldest, now)),
        delivered: report.map_or_else(|| "–".to_owned(), |report| grouped(report.hour.delivered)),
        spark: report.map_or_else(String::new, |report| spark(report, snapshot.started, now)),
        p95: report.and_then(|report| report.p95_seconds).map(seconds),
        skipped: top(hour.skipped_in_all(), hour.top_skip()),
        dead_letters: top(hour.dead_lettered_in_all(), hour.top_dead_letter()),
        quota: report.and_then(|report| report.quota.as_ref()).map(|quota| quota::shown(quota, now)),
        replica: account.replica.clone().unwrap_or_else(|| "–".to_owned()),
        last_error: report
            .and_then(|report| report.last_error.as_ref())
            .map(|error| ErrorShown::of(error, now)),
    }
}

fn why(account: &AccountInFleet) -> String {
    let report = account.report.as_ref();
    match report.and_then(|report| report.stuck.as_ref()) {
        Some(stuck) => stuck.why.clone(),
        None if !account.configured => "not configured here".to_owned(),
        None => report.map(|report| report.why.clone()).unwrap_or_default(),
    }
}

fn spark(report: &LaneReport, started: Timestamp, now: Timestamp) -> String {
    let Some(details) = &report.details else { return String::new() };
    sparkline(&history::hour(details, ChartSeries::Delivered, started, now), "Delivered")
}

fn top(all: u64, top: Option<(&str, u64)>) -> Option<TopReason> {
    top.map(|(reason, most)| TopReason {
        all: grouped(all),
        among_others: most < all,
        reason: reason.to_owned(),
        meaning: meaning(reason),
    })
}

/// What waits in the lane's queue, and what the lane holds.
fn waiting(account: &AccountInFleet) -> String {
    let queued = account.waiting.map_or_else(|| "–".to_owned(), grouped);
    match account.report.as_ref().map_or(0, |report| report.in_flight) {
        0 => queued,
        held => format!("{queued}, {} in flight", grouped(held)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::LaneState;
    use crate::status::assets::without_digests;
    use crate::status::view::snapshot::tests::{flowing, snapshot};

    fn shown(accounts: Vec<AccountInFleet>, query: &str) -> String {
        index(&snapshot(accounts), &ListQuery::parse(query)).unwrap()
    }

    #[test]
    fn the_first_page_of_a_fleet_without_trouble() {
        insta::assert_snapshot!(without_digests(&shown(vec![flowing("acme"), flowing("globex")], "")));
    }

    #[test]
    fn a_fleet_without_accounts_says_so() {
        let page = shown(Vec::new(), "");
        assert!(page.contains("No account is configured."), "{page}");
    }

    #[test]
    fn what_others_say_is_escaped_and_nothing_is_inline() {
        let mut account = flowing("acme");
        let report = account.report.as_mut().unwrap();
        report.state = LaneState::Unauthorized;
        report.why = "<script>alert('x')</script>\"&".to_owned();
        account.replica = Some("<b>one</b>".to_owned());
        let page = shown(vec![account], "q=<i>&state=&sort=");
        assert!(!page.contains("<script>alert") && !page.contains("<b>") && !page.contains("<i>"), "{page}");
        assert!(!page.contains("style=") && !page.contains("onclick"), "{page}");
        assert!(page.contains("&#60;script&#62;"), "{page}");
    }

    #[test]
    fn five_hundred_accounts_are_shown_a_hundred_at_a_time_and_the_worst_first() {
        let mut accounts: Vec<_> = (0..500).map(|number| flowing(&format!("account-{number:03}"))).collect();
        accounts[321].report.as_mut().unwrap().state = LaneState::Unauthorized;
        let page = shown(accounts, "");
        let rows: Vec<&str> = page.split("<th scope=\"row\">").skip(1).collect();
        assert_eq!(rows.len(), 100);
        assert!(rows[0].contains("accounts/account-321"), "{}", rows[0]);
        assert!(page.contains("500 accounts, page 1 of 5") && page.contains("./?page=2"), "{page}");
    }
}

//! The dead letters by account and reason, and the replay that somebody started here.

use std::collections::HashMap;

use askama::Template;
use jiff::Timestamp;
use url::form_urlencoded;

use super::frame::Frame;
use super::shown::RunbookLink;
use crate::broker::{LetterProgress, LetterState, StayingLetters};
use crate::dead_letter::LetterGroup;
use crate::delivery::UNROUTED;
use crate::fleet::QueueCounts;
use crate::outcome::{DeadLetterReason, Problem};
use crate::status::letters::{LetterView, LettersState, ReplayView, remedy};
use crate::status::view::reasons::meaning;
use crate::status::view::words::{TimeShown, slug};
use crate::words::{counted, grouped};

/// As many rows as fit a page; the command line shows all.
const MOST_ROWS: usize = 200;
/// Traits that are named in one row.
const MOST_TRAITS: usize = 3;
/// The most characters of a problem.
const LONGEST_CELL: usize = 160;
const RUNBOOK: &str = "FreshetDeadLettersRising";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::status) enum Viewer {
    /// Nobody may do more than look.
    Reader,
    /// Somebody who has not signed in.
    Stranger,
    /// Somebody who has the admin token.
    Admin,
}

#[derive(Template)]
#[template(path = "status/templates/dead_letters.html")]
struct DeadLettersPage {
    frame: Frame,
    headline: String,
    facts: Vec<String>,
    read: Option<TimeShown>,
    problem: Option<String>,
    viewer: Viewer,
    by_file: bool,
    replay: Option<ReplayShown>,
    rows: Vec<LetterRow>,
    more: usize,
    runbook: RunbookLink,
    command: Option<String>,
}

#[derive(Debug)]
struct LetterRow {
    account: String,
    reason: String,
    meaning: &'static str,
    letters: String,
    first: Option<TimeShown>,
    last: Option<TimeShown>,
    what: Vec<String>,
    remedy: &'static str,
    /// The query of the page that sends them back, where that can be.
    query: Option<String>,
}

#[derive(Debug)]
struct ReplayShown {
    runs: bool,
    /// What goes on, or what came of it.
    words: String,
    meant: String,
    when: TimeShown,
    seen: u64,
    at_start: u64,
    causes: Vec<String>,
}

/// What a page of the dead letters is made of.
pub(in crate::status) struct LettersShown<'a> {
    pub(in crate::status) replica: &'a str,
    pub(in crate::status) now: Timestamp,
    /// `None` where events come from a file.
    pub(in crate::status) state: Option<&'a LettersState>,
    pub(in crate::status) queues: &'a QueueCounts,
}

pub(in crate::status) fn dead_letters(
    shown: &LettersShown<'_>,
    viewer: Viewer,
) -> Result<String, askama::Error> {
    let LettersShown { replica, now, state, queues } = *shown;
    let nothing = LettersState::default();
    let by_file = state.is_none();
    let state = state.unwrap_or(&nothing);
    let view = state.view.as_deref();
    let mut rows = rows(view.map(|view| view.groups.as_slice()).unwrap_or_default(), now);
    let more = rows.len().saturating_sub(MOST_ROWS);
    let command = view.and_then(|view| view.groups.first()).and_then(command);
    let headline = if by_file {
        "Events come from a file here: what cannot be delivered is in the file of --dead-letters.".to_owned()
    } else {
        headline(state, rows.len())
    };
    rows.truncate(MOST_ROWS);
    DeadLettersPage {
        frame: Frame::new(replica, now, "dead-letters", "api/dead-letters"),
        headline,
        facts: facts(view, queues, now),
        read: view.map(|view| TimeShown::relative(view.read_at, now)),
        problem: state.problem.as_ref().map(|(why, at)| problem(why, *at, now)),
        viewer,
        by_file,
        replay: state.replay.as_ref().map(|replay| replay_shown(replay, now)),
        rows,
        more,
        runbook: RunbookLink { slug: slug(RUNBOOK), title: RUNBOOK },
        command,
    }
    .render()
}

fn headline(state: &LettersState, rows: usize) -> String {
    match &state.view {
        None if state.replays() => {
            "Letters are being sent back; what waits is counted afterwards.".to_owned()
        }
        None if state.problem.is_some() => "The dead letters could not be read.".to_owned(),
        None => "The dead letters are being read; this takes a moment.".to_owned(),
        Some(view) if view.seen.seen == 0 => "No dead letters wait.".to_owned(),
        Some(view) => {
            let letters = counted(view.seen.seen, "dead letter waits", "dead letters wait");
            let groups = u64::try_from(rows).unwrap_or(u64::MAX);
            format!("{letters}, in {}.", counted(groups, "group", "groups"))
        }
    }
}

fn facts(view: Option<&LetterView>, queues: &QueueCounts, now: Timestamp) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(view) = view {
        let held = view.seen.at_start.saturating_sub(view.seen.seen);
        if held > 0 {
            let letters = counted(held, "letter", "letters");
            facts.push(format!("{letters} could not be read: another program held them"));
        }
    }
    if let (Some(waiting), Some(at)) = (queues.dead_letters_waiting, queues.at) {
        let when = TimeShown::relative(at, now).text();
        facts.push(format!("{} when RabbitMQ was asked {when}", counted(waiting, "letter", "letters")));
    }
    facts
}

fn problem(why: &str, at: Timestamp, now: Timestamp) -> String {
    format!("They could not be read {}: {}", TimeShown::relative(at, now).text(), first_line(why))
}

/// Without the second line of an error, which is a command for a terminal.
fn first_line(why: &str) -> &str {
    why.lines().next().unwrap_or_default().trim_end_matches(':')
}

/// One row for each account and reason, the largest first.
fn rows(groups: &[LetterGroup], now: Timestamp) -> Vec<LetterRow> {
    let mut places: HashMap<(Option<&str>, Option<&str>, bool), usize> = HashMap::new();
    let mut merged: Vec<Vec<&LetterGroup>> = Vec::new();
    for group in groups {
        let key = (group.account.as_deref(), group.reason.as_deref(), group.others);
        let place = *places.entry(key).or_insert(merged.len());
        match merged.get_mut(place) {
            Some(same) => same.push(group),
            None => merged.push(vec![group]),
        }
    }
    let mut rows: Vec<(u64, LetterRow)> = merged.iter().filter_map(|same| row(same, now)).collect();
    rows.sort_by_key(|(letters, _)| std::cmp::Reverse(*letters));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn row(same: &[&LetterGroup], now: Timestamp) -> Option<(u64, LetterRow)> {
    let one = same.first()?;
    let letters = same.iter().map(|group| group.letters).sum();
    let account = one.account.as_deref().unwrap_or(UNROUTED);
    let reason = one.reason.as_deref().and_then(of_word);
    let mut what: Vec<String> =
        same.iter().take(MOST_TRAITS).map(|group| concerned(group, same.len() > 1)).collect();
    what.retain(|text| !text.is_empty());
    if same.len() > MOST_TRAITS {
        let more = u64::try_from(same.len() - MOST_TRAITS).unwrap_or(u64::MAX);
        what.push(format!("and {}", counted(more, "other trait", "other traits")));
    }
    let row = LetterRow {
        account: if one.others { "(others)".to_owned() } else { account.to_owned() },
        reason: one.reason.clone().unwrap_or_else(|| "–".to_owned()),
        meaning: one.reason.as_deref().map_or("", meaning),
        letters: grouped(letters),
        first: same.iter().filter_map(|group| group.first).min().map(|at| TimeShown::relative(at, now)),
        last: same.iter().filter_map(|group| group.last).max().map(|at| TimeShown::relative(at, now)),
        what,
        remedy: match reason {
            Some(reason) => remedy(reason),
            None if one.others => {
                "These are more groups than are told apart; `freshet dead-letters list --all` shows each letter."
            }
            None => "Freshet did not put them there; `freshet dead-letters list --all` shows each.",
        },
        query: reason.map(|reason| query(account, reason)),
    };
    Some((letters, row))
}

fn of_word(word: &str) -> Option<DeadLetterReason> {
    DeadLetterReason::ALL.iter().copied().find(|reason| reason.as_str() == word)
}

fn query(account: &str, reason: DeadLetterReason) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("account", account).append_pair("reason", reason.as_str());
    query.finish()
}

/// What the letters of a group are about, with their number where others are about something else.
fn concerned(group: &LetterGroup, among_others: bool) -> String {
    let mut text = String::new();
    if let Some(name) = &group.trait_path {
        text.push_str(name);
    }
    if among_others {
        let letters = grouped(group.letters);
        text.extend([if text.is_empty() { "(" } else { " (" }, &letters, ")"]);
    }
    if let Some(Problem { problem, expected, got, .. }) = &group.example {
        text.push_str(if text.is_empty() { "" } else { ": " });
        text.push_str(problem);
        for (word, value) in [("expected", expected), ("got", got)] {
            if let Some(value) = value {
                text.extend(["; ", word, " ", value]);
            }
        }
    }
    if text.chars().count() <= LONGEST_CELL {
        return text;
    }
    text.chars().take(LONGEST_CELL - 1).chain(['…']).collect()
}

/// How the command line would send the largest group back.
fn command(group: &LetterGroup) -> Option<String> {
    let reason = group.reason.as_deref().and_then(of_word)?;
    let account = group.account.as_deref().unwrap_or(UNROUTED);
    Some(format!("freshet dead-letters replay --account {account} --reason {reason} --dry-run"))
}

fn replay_shown(replay: &ReplayView, now: Timestamp) -> ReplayShown {
    let LetterProgress {
        at_start,
        seen,
        matched,
        done,
        stay: StayingLetters { failed, causes, .. },
        state,
        ..
    } = replay.progress();
    let sent = counted(done, "letter was sent back", "letters were sent back");
    let stay = matched.saturating_sub(done);
    let words = match state {
        LetterState::Starting => "Letters are about to be sent back.".to_owned(),
        LetterState::Running if replay.stopping => format!("It is being stopped; {sent} so far."),
        LetterState::Running => format!("Letters are being sent back; {} so far.", grouped(done)),
        LetterState::Done if matched == 0 => "No letter matched; none was sent back.".to_owned(),
        LetterState::Done if stay == 0 => format!("{sent}."),
        LetterState::Done => {
            format!("{sent}; {} could not be, and stay.", counted(failed, "letter", "letters"))
        }
        LetterState::Stopped => format!("It was stopped; {sent}, the others stay."),
        LetterState::Failed(why) => {
            format!("{sent}, then it ended early, and the others stay: {}", first_line(&why))
        }
    };
    let meant = crate::dead_letter::LetterFilter { message_id: None, ..replay.filter.clone() };
    ReplayShown {
        runs: replay.runs(),
        words,
        meant: meant.to_string(),
        when: TimeShown::relative(replay.ended.unwrap_or(replay.started), now),
        seen,
        at_start,
        causes: causes
            .iter()
            .map(|(why, letters)| format!("{}: {why}", counted(*letters, "letter", "letters")))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::*;
    use crate::broker::LettersSeen;
    use crate::dead_letter::LetterFilter;
    use crate::status::assets::without_digests;
    use crate::status::pages::{confirm_replay, login};

    /// Without the frame that all pages have.
    fn main(page: &str) -> &str {
        page.split_once("<main>").unwrap().1.split_once("</main>").unwrap().0
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn group(
        account: Option<&str>,
        reason: Option<&str>,
        trait_path: Option<&str>,
        letters: u64,
    ) -> LetterGroup {
        LetterGroup {
            account: account.map(str::to_owned),
            reason: reason.map(str::to_owned),
            trait_path: trait_path.map(str::to_owned),
            letters,
            first: Some(at("2026-03-01T09:12:00Z")),
            last: Some(at("2026-03-10T11:58:00Z")),
            example: trait_path.map(|_| Problem {
                problem: "is none of the field's choices".into(),
                expected: Some("one of gold, silver".into()),
                got: Some("a string of 6 characters".into()),
                ..Problem::default()
            }),
            trait_cut: false,
            others: false,
        }
    }

    #[test]
    fn a_trait_whose_name_was_cut_is_not_offered_as_it_would_match_nothing() {
        let reason = Some("invalid_custom_field");
        let groups = vec![
            group(Some("acme"), reason, Some("cfPlan"), 3),
            LetterGroup { trait_cut: true, ..group(Some("acme"), reason, Some("cfLong"), 2) },
        ];
        let now = at("2026-03-10T12:00:00Z");
        let view = LetterView { groups, seen: LettersSeen { at_start: 5, seen: 5 }, read_at: now };
        let state = LettersState { view: Some(Arc::new(view)), ..LettersState::default() };
        let filter = LetterFilter { account: Some("acme".into()), ..LetterFilter::default() };
        let page = confirm_replay("one", now, &filter, &state).unwrap();
        assert!(page.contains("cfPlan") && !page.contains("cfLong") && page.contains("5 letters"), "{page}");
    }

    fn state() -> LettersState {
        let reason = Some("invalid_custom_field");
        let groups = vec![
            group(Some("acme"), reason, Some("cfPlan"), 4213),
            group(None, Some("unknown_account"), None, 13),
            group(Some("acme"), reason, Some("cfSeats"), 12),
            group(Some("globex"), Some("rejected"), Some("<img src=x onerror=alert(1)>"), 2),
            group(None, None, None, 1),
            LetterGroup { others: true, letters: 1, ..LetterGroup::default() },
        ];
        let seen = LettersSeen { at_start: 4245, seen: 4242 };
        let view = LetterView { groups, seen, read_at: at("2026-03-10T11:59:48Z") };
        LettersState { view: Some(Arc::new(view)), ..LettersState::default() }
    }

    fn shown(state: Option<&LettersState>, viewer: Viewer) -> String {
        let queues = QueueCounts {
            dead_letters_waiting: Some(4245),
            at: Some(at("2026-03-10T11:59:55Z")),
            ..QueueCounts::default()
        };
        let now = at("2026-03-10T12:00:00Z");
        without_digests(
            &dead_letters(&LettersShown { replica: "one", now, state, queues: &queues }, viewer).unwrap(),
        )
    }

    fn replay(progress: LetterProgress) -> (LettersState, watch::Sender<LetterProgress>) {
        let sender = watch::Sender::new(progress);
        let filter = LetterFilter {
            account: Some("acme".into()),
            message_id: Some("m-1".into()),
            ..LetterFilter::default()
        };
        let mut replay = ReplayView::new(filter, None, sender.subscribe());
        replay.started = at("2026-03-10T11:59:00Z");
        (LettersState { replay: Some(replay), ..state() }, sender)
    }

    #[test]
    fn the_page_for_somebody_who_may_send_letters_back() {
        insta::assert_snapshot!(main(&shown(Some(&state()), Viewer::Admin)));
    }

    #[test]
    fn the_page_while_letters_are_sent_back_and_after_that() {
        let causes = [("account gone is not in the configuration".to_owned(), 3)].into();
        let progress = LetterProgress {
            at_start: 4245,
            seen: 1000,
            matched: 903,
            done: 900,
            stay: StayingLetters { failed: 3, causes, ..StayingLetters::default() },
            state: LetterState::Running,
            first: Some("first-id".into()),
            last: Some("last-id".into()),
        };
        let (mut state, sender) = replay(progress);
        let page = shown(Some(&state), Viewer::Admin);
        assert!(!page.contains("m-1") && !page.contains("-id"), "ids are shown: {page}");
        insta::assert_snapshot!(main(&page));
        assert!(page.contains("http-equiv=\"refresh\""), "without a script it is asked for again: {page}");
        assert!(!shown(Some(&state), Viewer::Stranger).contains("dead-letters/stop"));
        let said = |state: &LettersState| {
            let page = shown(Some(state), Viewer::Reader);
            let part = page.split_once("<h2 id=\"replay\">").unwrap().1;
            part.split_once("<span").unwrap().0.replace("</h2>\n<p>", ": ").trim().to_owned()
        };
        let mut told = Vec::new();
        state.replay.as_mut().unwrap().stopping = true;
        told.push(said(&state));
        state.replay.as_mut().unwrap().ended = Some(at("2026-03-10T11:59:30Z"));
        for end in [
            LetterState::Starting,
            LetterState::Stopped,
            LetterState::Done,
            LetterState::Failed("q.lane.acme takes no more messages; is it full?".into()),
        ] {
            sender.send_modify(|progress| progress.state = end);
            told.push(said(&state));
        }
        sender.send_modify(|progress| {
            (progress.state, progress.stay.failed, progress.matched) = (LetterState::Done, 0, 900);
        });
        told.push(said(&state));
        sender.send_modify(|progress| (progress.done, progress.matched) = (0, 0));
        told.push(said(&state));
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_may_be_done_is_shown_to_whom_may_do_it() {
        for (viewer, shows, hides) in [
            (Viewer::Reader, "This page only shows", "dead-letters/replay?"),
            (Viewer::Stranger, "href=\"login\"", "dead-letters/replay?"),
            (
                Viewer::Admin,
                "dead-letters/replay?account=acme&#38;reason=invalid_custom_field",
                "href=\"login\"",
            ),
        ] {
            let page = shown(Some(&state()), viewer);
            assert!(page.contains(shows) && !page.contains(hides), "{viewer:?}: {page}");
            assert!(!page.contains("<img"), "{page}");
        }
    }

    #[test]
    fn the_page_says_so_where_there_is_nothing_to_show() {
        let headline = |state: Option<&LettersState>| {
            let page = shown(state, Viewer::Reader);
            page.split_once("role=\"status\">").unwrap().1.split_once("</p>").unwrap().0.to_owned()
        };
        let nothing = LettersState::default();
        let away = LettersState {
            problem: Some(("cannot reach the broker: refused".into(), at("2026-03-10T11:59:48Z"))),
            ..LettersState::default()
        };
        let seen = LettersSeen { at_start: 0, seen: 0 };
        let view = LetterView { groups: Vec::new(), seen, read_at: at("2026-03-10T11:59:48Z") };
        let empty = LettersState { view: Some(Arc::new(view)), ..LettersState::default() };
        let (running, _sender) = replay(LetterProgress::default());
        let running = LettersState { view: None, ..running };
        let told = [None, Some(&nothing), Some(&away), Some(&empty), Some(&running)].map(headline);
        insta::assert_snapshot!(told.join("\n"));
        let page = shown(Some(&away), Viewer::Reader);
        assert!(
            page.contains("They could not be read 12 s ago: cannot reach the broker: refused<"),
            "{page}"
        );
    }

    #[test]
    fn the_page_is_no_larger_than_a_person_can_read() {
        let groups = (0..1001)
            .map(|number| group(Some(&format!("a{number}")), Some("rejected"), Some("t"), 1))
            .collect();
        let seen = LettersSeen { at_start: 1001, seen: 1001 };
        let view = LetterView { groups, seen, read_at: at("2026-03-10T11:59:48Z") };
        let page = shown(Some(&LettersState { view: Some(Arc::new(view)), ..state() }), Viewer::Admin);
        assert_eq!(page.matches("<tr>").count(), MOST_ROWS + 1);
        assert!(page.contains("And 801 more groups"), "{page}");
    }

    #[test]
    fn the_pages_with_forms() {
        let now = at("2026-03-10T12:00:00Z");
        let filter = LetterFilter {
            account: Some("acme".into()),
            reason: Some("invalid_custom_field".into()),
            ..LetterFilter::default()
        };
        insta::assert_snapshot!("confirm", main(&confirm_replay("one", now, &filter, &state()).unwrap()));
        insta::assert_snapshot!("login", main(&login("one", now, Some("this is not the token")).unwrap()));
    }
}

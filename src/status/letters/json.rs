//! The dead letters as JSON. A key that is there keeps its name and meaning as long as `schema_version` stays.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::state::{LettersState, ReplayView};
use crate::broker::{LetterProgress, LetterState};
use crate::dead_letter::{LetterFilter, LetterGroup};
use crate::fleet::QueueCounts;

const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Serialize)]
struct LettersJson<'a> {
    schema_version: u32,
    replica: &'a str,
    /// When the groups were read; null before the first time.
    read_at: Option<Timestamp>,
    /// They are being read now.
    reading: bool,
    /// Why they could not be read when that was last tried.
    problem: Option<&'a str>,
    /// Letters that were read.
    letters: Option<u64>,
    /// Letters that were there and could not be read, as somebody else held them.
    held_elsewhere: Option<u64>,
    /// As the replica that routes counts them, from time to time.
    waiting: Option<u64>,
    groups: &'a [LetterGroup],
    replay: ReplayJson<'a>,
}

/// What waits, by group.
pub(in crate::status) fn letters(
    replica: &str,
    state: &LettersState,
    queues: &QueueCounts,
) -> serde_json::Result<Vec<u8>> {
    let view = state.view.as_deref();
    serde_json::to_vec(&LettersJson {
        schema_version: SCHEMA_VERSION,
        replica,
        read_at: view.map(|view| view.read_at),
        reading: state.looking,
        problem: state.problem.as_ref().map(|(why, _)| why.as_str()),
        letters: view.map(|view| view.seen.seen),
        held_elsewhere: view.map(|view| view.seen.at_start.saturating_sub(view.seen.seen)),
        waiting: queues.dead_letters_waiting,
        groups: view.map(|view| view.groups.as_slice()).unwrap_or_default(),
        replay: ReplayJson::of(state.replay.as_ref()),
    })
}

#[derive(Debug, Serialize)]
struct ReplayAnswer<'a> {
    schema_version: u32,
    replica: &'a str,
    #[serde(flatten)]
    replay: ReplayJson<'a>,
}

/// How far the last replay is that was started at this replica.
pub(in crate::status) fn progress(replica: &str, state: &LettersState) -> serde_json::Result<Vec<u8>> {
    let replay = ReplayJson::of(state.replay.as_ref());
    serde_json::to_vec(&ReplayAnswer { schema_version: SCHEMA_VERSION, replica, replay })
}

/// Without the ids of letters: everybody may ask.
#[derive(Debug, Default, Serialize)]
struct ReplayJson<'a> {
    /// `none`, `starting`, `running`, `stopping`, `done`, `stopped`, `failed`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(flatten)]
    details: Option<ReplayDetails<'a>>,
}

#[derive(Debug, Serialize)]
struct ReplayDetails<'a> {
    filter: LetterFilter,
    rate: Option<f64>,
    started: &'a Timestamp,
    ended: Option<&'a Timestamp>,
    at_start: u64,
    seen: u64,
    matched: u64,
    done: u64,
    failed: u64,
    causes: BTreeMap<String, u64>,
}

impl<'a> ReplayJson<'a> {
    fn of(replay: Option<&'a ReplayView>) -> Self {
        let Some(replay) = replay else { return Self { state: "none", ..Self::default() } };
        let LetterProgress { at_start, seen, matched, done, stay, state, .. } = replay.progress();
        let (state, why) = match state {
            LetterState::Starting | LetterState::Running if replay.stopping => ("stopping", None),
            LetterState::Starting => ("starting", None),
            LetterState::Running => ("running", None),
            LetterState::Done => ("done", None),
            LetterState::Stopped => ("stopped", None),
            LetterState::Failed(why) => ("failed", Some(why)),
        };
        let details = ReplayDetails {
            filter: LetterFilter { message_id: None, ..replay.filter.clone() },
            rate: replay.rate,
            started: &replay.started,
            ended: replay.ended.as_ref(),
            at_start,
            seen,
            matched,
            done,
            failed: stay.failed,
            causes: stay.causes,
        };
        Self { state, why, details: Some(details) }
    }
}

//! `dead-letters replay --dry-run`: how many letters, and how long they would take.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::ending::{judged, told_causes};
use crate::broker::{LetterJudge, StayingLetters};
use crate::cli::letters::command::{LetterCommand, failure, nothing_matched};
use crate::cli::letters::told;
use crate::cli::terminal::output::{Failure, print};
use crate::cli::terminal::table::table;
use crate::config::AccountLimits;
use crate::dead_letter::LetterFilter;
use crate::delivery::UNROUTED;

/// Letters of one account, and what they cost at the most where each identify needs one call. Events with a company or a
/// deal need more; three and more identifies go together and need less.
#[derive(Debug, Default, Serialize)]
struct Estimate {
    account: Option<String>,
    letters: u64,
    /// To the API, about.
    calls: u64,
    /// To the tracking endpoints.
    tracking_calls: u64,
    /// At the account's quota; none where the letters would stay.
    seconds: Option<u64>,
}

impl Estimate {
    fn duration(&self, limits: &AccountLimits) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let (calls, reports) = (self.calls as f64, self.tracking_calls as f64);
        let api = calls * 3600.0 / limits.requests_per_hour;
        let tracking = reports * 60.0 / limits.tracking_requests_per_minute;
        Duration::try_from_secs_f64(api.max(tracking)).unwrap_or(Duration::MAX)
    }
}

pub(super) async fn estimate(
    command: &LetterCommand,
    filter: LetterFilter,
    judge: Option<LetterJudge>,
    json: bool,
) -> Result<(), Failure> {
    let selection = filter.selection(Timestamp::now());
    let mut accounts: BTreeMap<Option<String>, Estimate> = BTreeMap::new();
    let (mut matched, mut stay) = (0, StayingLetters::default());
    let looked = command
        .queue
        .look(&command.who, &command.stop, |letter, whole| {
            let mut goes = || judge.as_ref().is_none_or(|judge| stay.may_go(judge(whole, letter)));
            if selection.holds(letter) && goes() {
                matched += 1;
                let account = accounts.entry(letter.account.clone()).or_default();
                account.letters += 1;
                match letter.event_type.as_deref() {
                    Some("track" | "page") => account.tracking_calls += 1,
                    Some(_) | None => account.calls += 1,
                }
            }
            let enough = matched >= selection.limit();
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .await
        .map_err(failure)?;
    let unsent = stay.count();
    if matched == 0 && unsent == 0 {
        return Err(nothing_matched(&command.queue.name()));
    }
    let estimates = accounts.into_iter().map(|(account, estimate)| {
        let limits = command.config.accounts.iter().find(|known| Some(&*known.name) == account.as_deref());
        let seconds = limits.map(|known| estimate.duration(&known.limits).as_secs());
        Estimate { account, seconds, ..estimate }
    });
    let estimates: Vec<Estimate> = estimates.collect();
    if json {
        let mut lines = String::new();
        for estimate in &estimates {
            lines.push_str(&serde_json::to_string(estimate).map_err(Failure::failed)?);
            lines.push('\n');
        }
        print(lines)?;
    } else {
        let mut text = told_estimates(&estimates, matched, &command.config.broker.queue);
        if unsent > 0 {
            text.extend(["\n", &told::letters(unsent), " would stay\n", &told_causes(&stay)]);
        }
        print(text)?;
    }
    if matched < selection.limit() {
        command.whole(looked)?;
    }
    judged(&stay)
}

fn told_estimates(estimates: &[Estimate], matched: u64, queue: &str) -> String {
    let rows = estimates.iter().map(|estimate| {
        let to = match (&estimate.account, estimate.seconds) {
            (Some(account), Some(_)) => format!("{queue}.lane.{account}"),
            (Some(_), None) => "nowhere: the account is not in the configuration".to_owned(),
            (None, _) => queue.to_owned(),
        };
        vec![
            estimate.account.clone().unwrap_or_else(|| UNROUTED.to_owned()),
            told::count(estimate.letters),
            told::count(estimate.calls + estimate.tracking_calls),
            estimate.seconds.map_or_else(|| "-".to_owned(), told::duration),
            to,
        ]
    });
    if matched == 0 {
        return "No letter would be sent back.\n".to_owned();
    }
    format!(
        "{} would be sent back; none was.\n\n{}\n\
         CALLS and TIME are about right for events without company and deal, if the quota is free.\n",
        told::letters(matched),
        table(&["ACCOUNT", "LETTERS", "CALLS", "TIME", "TO"], rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_both_quotas_counts() {
        let limits = AccountLimits {
            requests_per_hour: 900.0,
            quota_share: 0.9,
            tracking_requests_per_minute: 400.0,
            bulk_jobs: 6,
        };
        for (calls, tracking_calls, seconds) in
            [(900, 0, 3600), (0, 400, 60), (900, 400, 3600), (9, 4000, 600)]
        {
            let estimate = Estimate { calls, tracking_calls, ..Estimate::default() };
            assert_eq!(estimate.duration(&limits).as_secs(), seconds);
        }
    }

    #[test]
    fn an_estimate_says_where_letters_would_go() {
        let of = |account: Option<&str>, seconds| Estimate {
            account: account.map(str::to_owned),
            letters: 1200,
            calls: 1200,
            seconds,
            ..Estimate::default()
        };
        let estimates = [of(None, None), of(Some("acme"), Some(4800)), of(Some("gone"), None)];
        insta::assert_snapshot!(told_estimates(&estimates, 3600, "segment.events"));
    }
}

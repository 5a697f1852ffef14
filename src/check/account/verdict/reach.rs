//! Whether the account answers, takes the key, and has calls left.

use std::time::Duration;

use crate::check::account::answers::{AccountAnswers, EndedEarly, ServerSeen};
use crate::check::finding::CheckFindings;
use crate::check::words::AGAIN;
use crate::config::AccountConfig;
use crate::freshsales::ReachStep;
use crate::words::{counted, grouped};

/// A clock that is off by more makes timestamps and quota windows wrong.
const CLOCK_TOLERANCE: i64 = 30;

pub(super) fn connection(account: &AccountConfig, answers: &AccountAnswers, findings: &mut CheckFindings) {
    const CHECK: &str = "connection";
    let url = &account.access.url;
    match &answers.ended_early {
        Some(EndedEarly::Unreached(unreached)) if !answers.server.reached => {
            let (what, remedy) = match unreached.step {
                ReachStep::Name => {
                    ("its name cannot be resolved", "correct url, or look at the DNS of this machine")
                }
                ReachStep::Network => (
                    "no connection",
                    "correct url; may this machine reach the internet, or does it need HTTPS_PROXY?",
                ),
                ReachStep::Tls => (
                    "no TLS",
                    "ca_file names the authority of a proxy that opens TLS; else compare what openssl s_client shows",
                ),
                ReachStep::Answer => ("no answer", "try url in a browser; check again later"),
            };
            findings.fail(CHECK, format!("{url}: {what}: {}", unreached.why), remedy);
        }
        Some(EndedEarly::NotFreshsales(what, advice)) => {
            let to = answers.server.redirected_to.as_ref().map(|to| format!(", which leads to {to}"));
            let message = format!("{url} answers with {what}{}", to.unwrap_or_default());
            let path = if url.may_lack_path() { "; is /crm/sales missing?" } else { "" };
            findings.fail(CHECK, message, format!("{advice}{path}"));
        }
        Some(EndedEarly::Unreached(unreached)) => findings.warn(
            CHECK,
            format!("{url} answered at first, and then no more: {}", unreached.why),
            "check again; if it stays, look at the network between",
        ),
        Some(EndedEarly::Unavailable(why)) => {
            findings.fail(CHECK, format!("{url}: {why}"), "check again later; events wait meanwhile");
        }
        Some(EndedEarly::Unauthorized(_) | EndedEarly::NoQuota(_)) | None => {
            let tls = if answers.server.certificate.is_some() { " over TLS" } else { "" };
            findings.ok(CHECK, format!("{url} answers{tls}"));
        }
    }
}

pub(super) fn clock(server: &ServerSeen, findings: &mut CheckFindings) {
    const CHECK: &str = "clock";
    match server.clock_ahead {
        None => {
            findings.skip(
                CHECK,
                "the answers have no Date",
                "compare this machine's clock yourself: date -u",
            );
        }
        Some(ahead) if ahead.abs() > CLOCK_TOLERANCE => {
            let by = counted(ahead.unsigned_abs(), "second", "seconds");
            let what = if ahead > 0 { "behind" } else { "ahead of" };
            findings.warn(
                CHECK,
                format!("this machine's clock is {by} {what} Freshsales'"),
                "set it by NTP: quota windows and the times in dead letters depend on it",
            );
        }
        Some(_) => findings.ok(CHECK, "agrees with Freshsales'"),
    }
}

/// Whether anything can be said of what the key may do.
pub(super) fn api_key(answers: &AccountAnswers, findings: &mut CheckFindings) -> bool {
    const CHECK: &str = "api_key";
    if let Some(EndedEarly::Unauthorized(status)) = answers.ended_early {
        findings.fail(
            CHECK,
            format!("not accepted (status {status})"),
            "copy it again from Profile settings > API settings of this very account; its user must be active",
        );
        false
    } else if answers.accepted {
        findings.ok(CHECK, "accepted");
        true
    } else {
        findings.skip(CHECK, "Freshsales did not say whether it takes the key", AGAIN);
        false
    }
}

pub(super) fn quota(account: &AccountConfig, answers: &AccountAnswers, findings: &mut CheckFindings) {
    const CHECK: &str = "quota";
    let limits = account.limits;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most ten million")]
    let (used, planned) =
        (limits.requests_per_hour as u64, (limits.requests_per_hour / limits.quota_share).round() as u64);
    let uses = format!("Freshet uses {} calls an hour (quota_share {})", grouped(used), limits.quota_share);
    let Some(limit) = answers.quota.limit else {
        return findings.skip(
            CHECK,
            format!("Freshsales does not say what it allows; {uses}"),
            "compare `plan` with Admin settings > Plans and billing",
        );
    };
    let left = answers.quota.remaining.map(|left| format!(", {} left", grouped(u64::from(left))));
    let allowed =
        format!("Freshsales allows {} calls an hour{}", grouped(u64::from(limit)), left.unwrap_or_default());
    let limit = u64::from(limit);
    if let Some(EndedEarly::NoQuota(wait)) = &answers.ended_early {
        let refill = wait.map_or_else(String::new, |wait| format!("; it refills in {}", minutes(wait)));
        findings.warn(
            CHECK,
            format!("{allowed}: too few to look at everything{refill}"),
            "events wait for quota; give Freshet a smaller quota_share if other programs need theirs, and check again later",
        );
    } else if limit < planned {
        findings.warn(
            CHECK,
            format!("{allowed}, and the configuration expects {}", grouped(planned)),
            format!("say requests_per_hour = {limit}, or the account's plan"),
        );
    } else if limit > planned {
        findings.warn(
            CHECK,
            format!("{allowed}, and the configuration expects only {}", grouped(planned)),
            format!("say requests_per_hour = {limit}, or the account's plan, to use them all"),
        );
    } else {
        findings.ok(CHECK, format!("{allowed}; {uses}"));
    }
}

fn minutes(wait: Duration) -> String {
    match wait.as_secs() {
        seconds @ ..120 => counted(seconds, "second", "seconds"),
        seconds => counted(seconds.div_ceil(60), "minute", "minutes"),
    }
}

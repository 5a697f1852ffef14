//! What an account's answers mean. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::answers::{AccountAnswers, EndedEarly, Tried, place};
use crate::check::certificate;
use crate::check::finding::{Finding, Findings, Subject};
use crate::check::words::{counted, grouped, listed};
use crate::config::AccountConfig;
use crate::freshsales::{EndpointFamily, ReachStep};
use crate::mapping::{Mapper, SchemaGap};
use crate::schema::Entity;
use crate::segment::EventType;

/// A clock that is off by more makes timestamps and quota windows wrong.
const CLOCK_TOLERANCE: i64 = 30;
const AGAIN: &str = "mend that first, then check again";

/// Says what the account answered.
pub fn account(account: &AccountConfig, answers: &AccountAnswers, now: Timestamp) -> Vec<Finding> {
    let mut findings = Findings::about(Subject::Account(account.name.clone()));
    connection(account, answers, &mut findings);
    if let Some(der) = &answers.certificate {
        certificate::judge(&host(account), der, now, &mut findings);
    }
    if !answers.reached {
        return findings.finish();
    }
    clock(answers, &mut findings);
    if !api_key(answers, &mut findings) {
        return findings.finish();
    }
    quota(account, answers, &mut findings);
    for entity in Entity::ALL {
        rights(*entity, answers, &mut findings);
    }
    others(answers, &mut findings);
    findings.skip(
        "writing",
        "creating and changing records, singly and in bulk: no attempt would leave the account as it is",
        "after the first events, the lane's state and freshet_api_requests_total show refusals; docs/RUNBOOK.md",
    );
    app_token(account, &mut findings);
    rules(account, answers, &mut findings);
    findings.finish()
}

fn host(account: &AccountConfig) -> String {
    let url = url::Url::parse(account.url.as_str()).ok();
    let host = url.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    host.unwrap_or_else(|| account.url.to_string())
}

fn connection(account: &AccountConfig, answers: &AccountAnswers, findings: &mut Findings) {
    const CHECK: &str = "connection";
    let url = &account.url;
    match &answers.ended_early {
        Some(EndedEarly::Unreached(unreached)) if !answers.reached => {
            let (what, remedy) = match unreached.step {
                ReachStep::Name => ("its name cannot be resolved", "correct url, or look at the DNS of this machine"),
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
            let to = answers.redirected_to.as_ref().map(|to| format!(", which leads to {to}"));
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
            let tls = if answers.certificate.is_some() { " over TLS" } else { "" };
            findings.ok(CHECK, format!("{url} answers{tls}"));
        }
    }
}

fn clock(answers: &AccountAnswers, findings: &mut Findings) {
    const CHECK: &str = "clock";
    match answers.clock_ahead {
        None => findings.skip(CHECK, "the answers have no Date", "compare this machine's clock yourself: date -u"),
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
fn api_key(answers: &AccountAnswers, findings: &mut Findings) -> bool {
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

fn quota(account: &AccountConfig, answers: &AccountAnswers, findings: &mut Findings) {
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
    let allowed = format!("Freshsales allows {} calls an hour{}", grouped(u64::from(limit)), left.unwrap_or_default());
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

const fn check_of(entity: Entity) -> &'static str {
    match entity {
        Entity::Contact => "contacts",
        Entity::SalesAccount => "sales_accounts",
        Entity::Deal => "deals",
    }
}

fn rights(entity: Entity, answers: &AccountAnswers, findings: &mut Findings) {
    let check = check_of(entity);
    let (Some(fields), Some(record)) = (answers.fields.get(place(entity)), answers.records.get(place(entity))) else {
        return;
    };
    let plural = entity.plural().replace('_', " ");
    let family = match entity {
        Entity::Contact => EndpointFamily::Contacts,
        Entity::SalesAccount => EndpointFamily::SalesAccounts,
        Entity::Deal => EndpointFamily::Deals,
    };
    let user = format!(
        "make the key of a user who may {} and {}",
        EndpointFamily::Fields.permission(),
        family.permission()
    );
    let (what, why) = match (fields, record) {
        (Tried::Works(count), Tried::Works(()) | Tried::Not) => {
            let read = if *record == Tried::Not { "" } else { ", and records can be read" };
            let fields = counted(*count as u64, "field", "fields");
            return findings.ok(check, format!("{fields}{read}"));
        }
        (Tried::Not, _) => return findings.skip(check, format!("{plural} were not tried"), AGAIN),
        (Tried::Forbidden(why) | Tried::Odd(why), _) => ("the fields", why),
        (Tried::Works(_), Tried::Forbidden(why) | Tried::Odd(why)) => ("records", why),
    };
    let message = format!("{what} of {plural} cannot be read: {why}");
    match entity {
        Entity::Contact => findings.fail(check, message, user),
        // Only events with a company or a deal need them.
        Entity::SalesAccount | Entity::Deal => {
            let kind = if entity == Entity::Deal { "a deal" } else { "a company" };
            findings.warn(check, message, format!("{user}: events with {kind} wait or become dead letters"));
        }
    }
}

fn others(answers: &AccountAnswers, findings: &mut Findings) {
    let both = [
        ("lookups", &answers.lookup, EndpointFamily::Lookups, "contacts can be looked up", "tracks by userId"),
        ("jobs", &answers.jobs, EndpointFamily::Jobs, "the status of bulk jobs can be read", "bulk upserts"),
    ];
    for (check, tried, family, works, needs) in both {
        let user = format!("make the key of a user who may {}: {needs} need it", family.permission());
        match tried {
            Tried::Works(()) => findings.ok(check, works),
            Tried::Forbidden(why) => findings.warn(check, format!("no right to {}: {why}", family.permission()), user),
            Tried::Odd(why) => findings.warn(check, format!("an odd answer: {why}"), user),
            Tried::Not => findings.skip(check, "not tried", AGAIN),
        }
    }
}

fn app_token(account: &AccountConfig, findings: &mut Findings) {
    const CHECK: &str = "app_token";
    let tracks = account.events.iter().any(|event| matches!(event, EventType::Track | EventType::Page));
    match (tracks, &account.app_token) {
        (_, Some(_)) => findings.skip(
            CHECK,
            "it cannot be tried without reporting an event on a contact's timeline",
            "publish one track event of your own, and look at your contact's timeline",
        ),
        (true, None) => findings.warn(
            CHECK,
            "none, and `events` has track or page: these become dead letters",
            "add app_token (Admin settings > Integrations > Freshsales for Web), or say events = [\"identify\"]",
        ),
        (false, None) => findings.ok(CHECK, "none, and none is needed"),
    }
}

/// What the configuration says about fields that were read.
fn rules(account: &AccountConfig, answers: &AccountAnswers, findings: &mut Findings) {
    let unread = |entity: &&Entity| !matches!(answers.fields.get(place(**entity)), Some(Tried::Works(_)));
    let gaps: Vec<_> = Entity::ALL.iter().filter(unread).map(|entity| (*entity, SchemaGap::NotYet)).collect();
    if gaps.len() == Entity::ALL.len() {
        findings.skip("fields", "what the configuration says about fields: none could be read", AGAIN);
        return;
    }
    let is_read = |entity: Entity| gaps.iter().all(|(other, _)| *other != entity);
    let mapper = Mapper::new(account.mapping.clone(), answers.schema.clone()).with_gaps(gaps.clone());
    required(&mapper, is_read, findings);
    overrides(&mapper, is_read, findings);
    defaults(&mapper, findings);
    if !answers.left_out.is_empty() {
        let fields: Vec<String> =
            answers.left_out.iter().map(|left| format!("{} ({})", left.name, left.why)).collect();
        findings.warn(
            "fields",
            format!("left out, because their metadata is odd: {}", listed(&fields)),
            "their traits are ignored; look at these fields in Admin settings",
        );
    }
}

fn required(mapper: &Mapper, is_read: impl Fn(Entity) -> bool, findings: &mut Findings) {
    const CHECK: &str = "required_fields";
    for entity in Entity::ALL.iter().filter(|entity| is_read(**entity)) {
        let traits = mapper.required_without_default(*entity);
        if !traits.is_empty() {
            let (prefix, table) = match entity {
                Entity::Contact => ("", "accounts.defaults"),
                Entity::SalesAccount => ("company.", "accounts.company_defaults"),
                Entity::Deal => ("deal.", "accounts.deal_defaults"),
            };
            let traits: Vec<String> = traits.iter().map(|name| format!("{prefix}{name}")).collect();
            findings.warn(
                CHECK,
                format!("new {} need these traits: {}", entity.plural().replace('_', " "), listed(&traits)),
                format!("send them in every event, or set [{table}]: without, new records are refused"),
            );
        }
    }
    if findings.nothing_for(CHECK) {
        findings.ok(CHECK, "none without a default");
    }
}

fn overrides(mapper: &Mapper, is_read: impl Fn(Entity) -> bool, findings: &mut Findings) {
    const CHECK: &str = "overrides";
    for dead in mapper.dead_overrides().into_iter().filter(|dead| is_read(dead.entity)) {
        let table = match dead.entity {
            Entity::Contact => "accounts.fields",
            Entity::SalesAccount => "accounts.company_fields",
            Entity::Deal => "accounts.deal_fields",
        };
        let remedy = match &dead.nearest {
            Some(nearest) => format!("did you mean `{nearest}`? Correct or delete it in [{table}]"),
            None => format!("correct or delete it in [{table}]"),
        };
        findings.fail(CHECK, format!("\"{}\" = \"{}\": {}", dead.path, dead.field, dead.why), remedy);
    }
    if findings.nothing_for(CHECK) {
        findings.ok(CHECK, "each leads to a field");
    }
}

fn defaults(mapper: &Mapper, findings: &mut Findings) {
    const CHECK: &str = "defaults";
    for bad in mapper.bad_defaults() {
        findings.fail(
            CHECK,
            format!("the default of {} `{}`: {}", bad.entity.singular().replace('_', " "), bad.key, bad.why),
            "correct or delete it: it is not used as it is",
        );
    }
    if findings.nothing_for(CHECK) {
        findings.ok(CHECK, "each fits its field");
    }
}

#[cfg(test)]
mod tests;

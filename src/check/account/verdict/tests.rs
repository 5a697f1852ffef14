use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::check::CheckStatus::{self, Failed, Ok as Good, Skipped, Warning};
use crate::check::account::answers::{EndedEarly, ServerSeen};
use crate::check::account::tried::{FieldsTried, RightsTried, Tried};
use crate::config::{SecretsNeeded, parse};
use crate::freshsales::{RateLimit, ReachStep, Unreached};
use crate::schema::{Fields, PerEntity, Schema};

fn config(more: &str) -> AccountConfig {
    let text = format!(
        "[[accounts]]\nname = \"acme\"\nurl = \"acme\"\napi_key = {{ env = \"KEY\" }}\nrequests_per_hour = 1000\n{more}"
    );
    let config = parse(&text, Path::new("freshet.toml"), &|_| None, SecretsNeeded::None).unwrap();
    config.accounts.into_iter().next().unwrap()
}

/// As a sound account answers.
fn sound() -> AccountAnswers {
    let read = |fields| Fields::read(&json!({ "fields": fields })).unwrap().0;
    AccountAnswers {
        server: ServerSeen { reached: true, clock_ahead: Some(0), ..ServerSeen::default() },
        accepted: true,
        quota: RateLimit { limit: Some(1000), remaining: Some(900), reset: None },
        fields: FieldsTried {
            counts: PerEntity::each(|_| Tried::Works(2)),
            schema: Schema {
                contact: read(json!([{"name": "cf_plan", "type": "text", "default": false}])),
                sales_account: read(json!([{"name": "name", "type": "text"}])),
                deal: read(json!([{"name": "name", "type": "text"}])),
            },
            left_out: Vec::new(),
        },
        rights: RightsTried {
            records: PerEntity::each(|_| Tried::Works(())),
            lookup: Tried::Works(()),
            jobs: Tried::Works(()),
            search: Tried::Works(()),
        },
        ..AccountAnswers::default()
    }
}

fn found(config: &AccountConfig, answers: &AccountAnswers) -> Vec<Finding> {
    let found = account(config, answers, "2026-03-01T12:00:00Z".parse().unwrap());
    for finding in &found {
        assert_eq!(finding.remedy.is_none(), finding.status == Good, "{finding:?}");
    }
    found
}

fn of(found: &[Finding], check: &str) -> Vec<CheckStatus> {
    found.iter().filter(|finding| finding.check == check).map(|finding| finding.status).collect()
}

fn changed(check: &str, change: impl FnOnce(&mut AccountAnswers)) -> Vec<CheckStatus> {
    let mut answers = sound();
    change(&mut answers);
    of(&found(&config(""), &answers), check)
}

#[test]
fn of_a_sound_account_only_what_cannot_be_tried_is_skipped() {
    let found = found(&config("app_token = { env = \"T\" }"), &sound());
    let others = found.iter().filter(|finding| finding.status != Good);
    assert_eq!(others.map(|finding| finding.check).collect::<Vec<_>>(), ["writing", "app_token"]);
}

#[test]
fn an_account_that_cannot_be_reached_is_told_by_the_step_that_failed() {
    for (step, part) in [
        (ReachStep::Name, "DNS"),
        (ReachStep::Network, "HTTPS_PROXY"),
        (ReachStep::Tls, "ca_file"),
        (ReachStep::Answer, "browser"),
    ] {
        let unreached = EndedEarly::Unreached(Unreached { step, why: "why".to_owned() });
        let answers = AccountAnswers { ended_early: Some(unreached), ..AccountAnswers::default() };
        let found = found(&config(""), &answers);
        assert_eq!(found.iter().map(|finding| finding.status).collect::<Vec<_>>(), [Failed]);
        assert!(found[0].remedy.as_ref().unwrap().contains(part), "{step:?}");
    }
    let late = Unreached { step: ReachStep::Answer, why: "late".to_owned() };
    let midway = changed("connection", |answers| {
        answers.ended_early = Some(EndedEarly::Unreached(late));
        *answers.fields.counts.of_mut(Entity::Deal) = Tried::Not;
    });
    assert_eq!(midway, [Warning]);
}

#[test]
fn what_ends_the_attempts_has_a_verdict_and_nothing_else_is_guessed() {
    let ended = |ended| {
        let server = ServerSeen { reached: true, ..ServerSeen::default() };
        AccountAnswers { server, ended_early: Some(ended), ..AccountAnswers::default() }
    };
    for (ended_early, connection, key) in [
        (EndedEarly::Unauthorized(401), Good, Failed),
        (EndedEarly::NotFreshsales("a web page".to_owned(), "check url"), Failed, Skipped),
        (EndedEarly::Unavailable("status 503".to_owned()), Failed, Skipped),
        (EndedEarly::NoQuota(None), Good, Skipped),
    ] {
        let found = found(&config(""), &ended(ended_early.clone()));
        assert_eq!((of(&found, "connection"), of(&found, "api_key")), (vec![connection], vec![key]));
        assert!(of(&found, "contacts").is_empty(), "{ended_early:?}");
    }
}

#[test]
fn the_clock_may_be_off_by_half_a_minute() {
    for (ahead, status) in [
        (Some(0), Good),
        (Some(30), Good),
        (Some(-30), Good),
        (Some(31), Warning),
        (Some(-31), Warning),
        (None, Skipped),
    ] {
        assert_eq!(changed("clock", |answers| answers.server.clock_ahead = ahead), [status], "{ahead:?}");
    }
}

#[test]
fn the_quota_is_held_against_the_plan() {
    for (limit, status) in [(Some(1000), Good), (Some(999), Warning), (Some(5000), Warning), (None, Skipped)]
    {
        assert_eq!(changed("quota", |answers| answers.quota.limit = limit), [status], "{limit:?}");
    }
    let none_left = changed("quota", |answers| {
        answers.ended_early = Some(EndedEarly::NoQuota(Some(Duration::from_mins(10))));
    });
    assert_eq!(none_left, [Warning]);
}

#[test]
fn only_contacts_are_needed_by_every_identify() {
    let no = || Tried::Forbidden("no".to_owned());
    for (entity, check, status) in [
        (Entity::Contact, "contacts", Failed),
        (Entity::SalesAccount, "sales_accounts", Warning),
        (Entity::Deal, "deals", Warning),
    ] {
        let fields = |tried| changed(check, |answers| *answers.fields.counts.of_mut(entity) = tried);
        assert_eq!(changed(check, |answers| *answers.rights.records.of_mut(entity) = no()), [status]);
        assert_eq!(fields(Tried::Forbidden("no".to_owned())), [status]);
        assert_eq!(fields(Tried::Odd("odd".to_owned())), [status]);
        assert_eq!(fields(Tried::Not), [Skipped]);
    }
    for (tried, status) in [(no(), Warning), (Tried::Odd("odd".to_owned()), Warning), (Tried::Not, Skipped)] {
        assert_eq!(changed("lookups", |answers| answers.rights.lookup = tried.clone()), [status]);
        assert_eq!(changed("jobs", |answers| answers.rights.jobs = tried.clone()), [status]);
        assert_eq!(changed("searches", |answers| answers.rights.search = tried.clone()), [status]);
    }
}

#[test]
fn an_app_token_is_needed_for_tracks_only() {
    for (more, status) in
        [("", Warning), ("app_token = { env = \"T\" }", Skipped), ("events = [\"identify\"]", Good)]
    {
        assert_eq!(of(&found(&config(more), &sound()), "app_token"), [status], "{more}");
    }
}

#[test]
fn rules_are_held_against_the_fields_that_were_read() {
    let rules = "[accounts.fields]\n\"tier\" = \"cf_plna\"\n[accounts.deal_fields]\n\"x\" = \"cf_x\"\n[accounts.defaults]\n\"cf_none\" = 1\n";
    let config = config(rules);
    let all = found(&config, &sound());
    assert_eq!(of(&all, "overrides"), [Failed, Failed]);
    assert_eq!(of(&all, "defaults"), [Failed]);
    let nearest = all.iter().find(|finding| finding.message.contains("cf_plna")).unwrap();
    assert!(nearest.remedy.as_ref().unwrap().contains("cfPlan"), "{nearest:?}");
    // Nothing is said of fields that were not read.
    let mut unread = sound();
    *unread.fields.counts.of_mut(Entity::Deal) = Tried::Not;
    assert_eq!(of(&found(&config, &unread), "overrides"), [Failed]);
    unread.fields.counts = PerEntity::default();
    assert_eq!(of(&found(&config, &unread), "fields"), [Skipped]);
    assert!(of(&found(&config, &unread), "overrides").is_empty());
}

#[test]
fn required_fields_that_were_not_read_are_not_taken_for_none() {
    let mut answers = sound();
    *answers.fields.counts.of_mut(Entity::Deal) = Tried::Not;
    let found = found(&config(""), &answers);
    assert_eq!(of(&found, "required_fields"), [Skipped]);
    let told = found.iter().find(|finding| finding.check == "required_fields").unwrap();
    assert!(told.message.contains("deals") && !told.message.contains("contacts"), "{told:?}");
    let forbidden = changed("required_fields", |answers| {
        *answers.fields.counts.of_mut(Entity::SalesAccount) = Tried::Forbidden("no".to_owned());
    });
    assert_eq!(forbidden, [Skipped]);
    assert_eq!(changed("required_fields", |_| {}), [Good]);
}

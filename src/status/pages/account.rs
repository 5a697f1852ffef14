//! The page of one account.

use std::sync::Arc;

use askama::Template;
use jiff::Timestamp;

use super::applied::settings_shown;
use super::frame::Frame;
use super::shown::{ConcernShown, ErrorShown, RemovedShown};
use crate::fleet::{
    AccountInFleet, CallCount, ChangedField, FailedEvent, HourCounts, LaneDetails, LaneReport,
};
use crate::lane::{AppliedSettings, BulkFeature};
use crate::status::view::chart::chart;
use crate::status::view::concern;
use crate::status::view::history::{ChartSeries, hour};
use crate::status::view::list::shown_state;
use crate::status::view::quota::{self, QuotaShown};
use crate::status::view::reasons::meaning;
use crate::status::view::snapshot::Snapshot;
use crate::status::view::words::{StateWords, TimeShown, change, seconds};
use crate::words::{counted, grouped};

#[derive(Template)]
#[template(path = "status/templates/account.html")]
struct AccountPage {
    frame: Frame,
    account: String,
    state: StateWords,
    why: String,
    since: Option<TimeShown>,
    removed: Option<RemovedShown>,
    facts: Vec<String>,
    last_error: Option<ErrorShown>,
    concerns: Vec<ConcernShown>,
    stages: Vec<Stage>,
    totals: String,
    charts: Vec<ChartShown>,
    failures: Vec<FailureShown>,
    quota: Option<QuotaShown>,
    tracking_quota: Option<QuotaShown>,
    calls: Vec<CallsShown>,
    bulk_features: Vec<BulkFeatureShown>,
    fields: Option<FieldsShown>,
    field_changes: Vec<FieldChangeShown>,
    settings: Vec<(String, String)>,
    /// There is more to show than that it was removed.
    known: bool,
}

#[derive(Debug)]
struct Stage {
    what: &'static str,
    count: String,
    change: String,
    reasons: Vec<ReasonShown>,
}

#[derive(Debug)]
struct ReasonShown {
    /// As in metrics, headers and filters.
    reason: String,
    meaning: &'static str,
    events: String,
}

#[derive(Debug)]
struct ChartShown {
    title: &'static str,
    svg: String,
}

#[derive(Debug)]
struct FailureShown {
    at: TimeShown,
    event_type: String,
    reason: String,
    meaning: &'static str,
    concerned: String,
    problem: String,
    expected: String,
    got: String,
}

#[derive(Debug)]
struct CallsShown {
    endpoint: String,
    outcome: String,
    number: String,
}

#[derive(Debug)]
struct BulkFeatureShown {
    feature: String,
    works: bool,
    meaning: &'static str,
}

#[derive(Debug)]
struct FieldChangeShown {
    at: TimeShown,
    entity: String,
    field: String,
    change: String,
    before: String,
    now: String,
}

#[derive(Debug)]
struct FieldsShown {
    at: TimeShown,
    words: String,
}

/// `None` if nothing is known of an account of this name.
pub(in crate::status) fn account(
    snapshot: &Snapshot,
    name: &str,
    settings: Option<Arc<AppliedSettings>>,
) -> Option<Result<String, askama::Error>> {
    let now = snapshot.at;
    let removed = snapshot.removed.iter().find(|one| &*one.account == name);
    let nothing_told = removed.map(|removed| AccountInFleet {
        account: name.to_owned(),
        replica: None,
        configured: false,
        since: Some(removed.removed),
        waiting: None,
        report: None,
    });
    let account = snapshot.account(name).or(nothing_told.as_ref())?;
    let report = account.report.as_ref();
    let details = report.and_then(|report| report.details.as_ref());
    let none = HourCounts::default();
    let (current, before) = report.map_or((&none, &none), |report| (&report.hour, &report.hour_before));
    let about_it = concern::concerns(snapshot).into_iter().filter(|one| one.account.as_deref() == Some(name));
    let page = AccountPage {
        frame: Frame::new(&snapshot.replica, now, name, &format!("api/accounts/{name}")).below(1),
        account: name.to_owned(),
        state: shown_state(account),
        why: report.map(|report| report.why.clone()).unwrap_or_default(),
        since: account.since.map(|since| TimeShown::relative(since, now)),
        removed: removed.map(|removed| RemovedShown::of(removed, now)),
        facts: facts(account),
        last_error: report
            .and_then(|report| report.last_error.as_ref())
            .map(|error| ErrorShown::of(error, now)),
        concerns: about_it.map(|one| ConcernShown::of(one, now)).collect(),
        stages: stages(current, before),
        totals: report.map_or_else(|| "nothing".to_owned(), |report| totals(&report.total)),
        charts: details.map(|details| charts(details, snapshot.started, now)).unwrap_or_default(),
        failures: details.into_iter().flat_map(|one| &one.failures).map(|one| failure(one, now)).collect(),
        quota: report.and_then(|report| report.quota.as_ref()).map(|quota| quota::shown(quota, now)),
        tracking_quota: report
            .and_then(|report| report.tracking_quota.as_ref())
            .map(|quota| quota::shown(quota, now)),
        calls: details.into_iter().flat_map(|details| &details.calls).map(calls).collect(),
        bulk_features: details.into_iter().flat_map(|one| &one.bulk_features).map(bulk_feature).collect(),
        fields: report.and_then(|report| fields(report, now)),
        field_changes: details
            .into_iter()
            .flat_map(|one| &one.field_changes)
            .map(|one| field_change(one, now))
            .collect(),
        settings: settings.map(|settings| settings_shown(&settings)).unwrap_or_default(),
        known: removed.is_none() || report.is_some(),
    };
    Some(page.render())
}

fn facts(account: &AccountInFleet) -> Vec<String> {
    let mut facts = Vec::new();
    match &account.replica {
        Some(replica) => facts.push(format!("worked by {replica}")),
        None => facts.push("worked by no replica now".to_owned()),
    }
    if !account.configured {
        facts.push("not configured here".to_owned());
    }
    if let Some(waiting) = account.waiting {
        facts.push(format!("{} in the lane", counted(waiting, "event", "events")));
    }
    if let Some(report) = &account.report {
        facts.push(format!("{} in flight", grouped(report.in_flight)));
        if let Some(p95) = report.p95_seconds {
            facts.push(format!("95 % settled within {}", seconds(p95)));
        }
    }
    facts
}

/// What became of the events of the last hour.
fn stages(now: &HourCounts, before: &HourCounts) -> Vec<Stage> {
    let plain = |what, now: u64, before: u64| Stage {
        what,
        count: grouped(now),
        change: change(now, before),
        reasons: Vec::new(),
    };
    let reasons = |counts: &std::collections::BTreeMap<String, u64>| {
        let mut counts: Vec<_> = counts.iter().filter(|(_, events)| **events > 0).collect();
        counts.sort_by_key(|(reason, events)| (std::cmp::Reverse(**events), *reason));
        let shown = |(reason, events): (&String, &u64)| ReasonShown {
            reason: reason.clone(),
            meaning: meaning(reason),
            events: grouped(*events),
        };
        counts.into_iter().map(shown).collect()
    };
    vec![
        plain("Received", now.received, before.received),
        Stage {
            reasons: reasons(&now.skipped),
            ..plain("Skipped", now.skipped_in_all(), before.skipped_in_all())
        },
        Stage {
            reasons: reasons(&now.dead_lettered),
            ..plain("Dead letters", now.dead_lettered_in_all(), before.dead_lettered_in_all())
        },
        plain("Delivered", now.delivered, before.delivered),
    ]
}

fn totals(total: &HourCounts) -> String {
    format!(
        "{} received, {} skipped, {}, {} delivered",
        grouped(total.received),
        grouped(total.skipped_in_all()),
        counted(total.dead_lettered_in_all(), "dead letter", "dead letters"),
        grouped(total.delivered)
    )
}

fn charts(details: &LaneDetails, since: Timestamp, now: Timestamp) -> Vec<ChartShown> {
    let drawn = |title, series| ChartShown { title, svg: chart(&hour(details, series, since, now), title) };
    vec![
        drawn("Delivered", ChartSeries::Delivered),
        drawn("Waiting in the lane", ChartSeries::Waiting),
        drawn("API calls left", ChartSeries::QuotaLeft),
    ]
}

fn failure(failed: &FailedEvent, now: Timestamp) -> FailureShown {
    let FailedEvent { at, event_type, reason, trait_path, field, problem, expected, got, .. } = failed;
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    FailureShown {
        at: TimeShown::relative(*at, now),
        event_type: event_type.clone(),
        reason: reason.clone(),
        meaning: meaning(reason),
        concerned: trait_path.clone().or_else(|| field.clone()).unwrap_or_else(|| "–".to_owned()),
        problem: problem.clone(),
        expected: or_dash(expected),
        got: or_dash(got),
    }
}

fn calls(count: &CallCount) -> CallsShown {
    CallsShown {
        endpoint: count.endpoint.clone(),
        outcome: count.outcome.clone(),
        number: grouped(count.calls),
    }
}

fn bulk_feature((feature, works): (&String, &bool)) -> BulkFeatureShown {
    // One that only a newer version knows has no meaning here.
    let known = BulkFeature::from_word(feature);
    let meaning = known.map(|known| if *works { known.gain() } else { known.cost() }).unwrap_or_default();
    BulkFeatureShown { feature: feature.clone(), works: *works, meaning }
}

fn fields(report: &LaneReport, now: Timestamp) -> Option<FieldsShown> {
    let read = report.fields.as_ref()?;
    let words = format!(
        "{} of contacts, {} of sales accounts, {} of deals",
        grouped(read.contact),
        grouped(read.sales_account),
        grouped(read.deal)
    );
    Some(FieldsShown { at: TimeShown::relative(read.at, now), words })
}

fn field_change(changed: &ChangedField, now: Timestamp) -> FieldChangeShown {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    FieldChangeShown {
        at: TimeShown::relative(changed.at, now),
        entity: changed.entity.clone(),
        field: changed.field.clone(),
        change: changed.change.clone(),
        before: or_dash(&changed.before),
        now: or_dash(&changed.now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::RemovedAccount;
    use crate::lane::setup::applied::tests::applied;
    use crate::status::assets::without_digests;
    use crate::status::view::snapshot::tests::{flowing, snapshot};

    #[test]
    fn the_page_of_an_account() {
        let shown = snapshot(vec![flowing("acme")]);
        insta::assert_snapshot!(without_digests(&account(&shown, "acme", None).unwrap().unwrap()));
    }

    #[test]
    fn an_account_that_nobody_told_of_has_a_page_and_one_that_is_not_there_has_none() {
        let mut quiet = flowing("acme");
        (quiet.report, quiet.replica) = (None, None);
        let shown = snapshot(vec![quiet]);
        assert!(account(&shown, "acme", None).unwrap().unwrap().contains("worked by no replica now"));
        assert!(account(&shown, "acm", None).is_none());
    }

    #[test]
    fn the_settings_are_shown_with_their_keys_and_without_secrets() {
        let shown: Vec<String> =
            settings_shown(&applied()).iter().map(|(key, value)| format!("{key} = {value}")).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        url = https://acme.myfreshworks.com/crm/sales
        requests_per_hour = 2,000
        quota_share = 0.75
        tracking_requests_per_minute = 400
        bulk_jobs = 6
        app_token = not set
        ca_file = not set
        write_keys = 2
        project_ids = 0
        events = identify, page
        unknown_custom_field = dead_letter
        coercion = lossless
        invalid_value = omit
        anonymous_identify = dead_letter
        null_traits = ignore
        tags = replace
        deal_identity = contact
        links = bulk
        fields = 1
        company_fields = 0
        deal_fields = 0
        defaults = 0
        company_defaults = 0
        deal_defaults = 0
        "#);
        let page = super::account(&snapshot(vec![flowing("acme")]), "acme", Some(Arc::new(applied())))
            .unwrap()
            .unwrap();
        assert!(
            page.contains("https://acme.myfreshworks.com")
                && !page.contains("wk_one")
                && !page.contains("NAME_OF_A_SECRET")
        );
    }

    #[test]
    fn an_account_that_was_removed_has_a_page_that_says_so() {
        let mut shown = snapshot(vec![flowing("acme")]);
        shown.removed = [RemovedAccount { account: "initech".into(), removed: shown.at }].into();
        let page = account(&shown, "initech", None).unwrap().unwrap();
        assert!(
            page.contains("Not configured any more") && page.contains("#an-account-that-was-removed"),
            "{page}"
        );
    }

    #[test]
    fn names_and_words_of_senders_are_escaped() {
        let mut hostile = flowing("acme");
        let failures = &mut hostile.report.as_mut().unwrap().details.as_mut().unwrap().failures;
        failures[0].trait_path = Some("<img src=x onerror=alert(1)>".to_owned());
        let page = account(&snapshot(vec![hostile]), "acme", None).unwrap().unwrap();
        assert!(!page.contains("<img") && page.contains("&#60;img"), "{page}");
    }
}

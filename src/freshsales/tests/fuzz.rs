//! Fuzz tests of answers, headers and job reports: what is read of them is bounded and holds no more than they say.

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::freshsales::records::contact::is_look_up;
use crate::freshsales::*;
use crate::fuzz::{almost_json, any_json, any_text, feed};
use crate::schema::{Entity, Selector};
use std::time::Duration;

/// What answers and reports are made of.
const KEYS: &[&str] = &[
    "errors",
    "error",
    "code",
    "message",
    "messages",
    "description",
    "contact",
    "contacts",
    "sales_account",
    "sales_accounts",
    "deal",
    "id",
    "fields",
    "is_primary",
    "emails",
    "email",
    "value",
    "external_id",
    "status",
    "data",
    "SUCCESS",
    "IN_PROGRESS",
    "record_status",
    "succeeded",
    "failed",
    "detailed_failure_report",
    "record",
    "job_status_url",
];

const ANSWERS: &[&str] = &[
    r#"{"contact":{"id":402000049629,"email":"a@example.com","sales_accounts":[{"id":5,"is_primary":true}]},"meta":null}"#,
    r#"{"errors":{"code":400,"message":["Name has already been taken","Amount is not a number"]}}"#,
    r#"{"code":403,"message":"You are not allowed"}"#,
    r#"{"fields":[{"name":"first_name","type":"text"}]}"#,
    r#"{"contacts":{"contacts":[{"id":"7","external_id":"u-1","emails":[{"value":"A@example.com","is_primary":true}]}]}}"#,
];

const REPORTS: &[&str] = &[
    r#"{"status":"SUCCESS","data":"{\"record_status\":{\"succeeded\":1,\"failed\":1},\"detailed_failure_report\":[{\"record\":{\"emails\":\"a@example.com\"},\"code\":400,\"message\":[\"Bad\"]}]}"}"#,
    r#"{"status":"success","data":{"record_status":{"succeeded":2,"failed":0},"detailed_failure_report":null}}"#,
    r#"{"status":"IN_PROGRESS"}"#,
    r#"{"message":"taken","job_status_url":"https://acme.myfreshworks.com/crm/sales/api/job_statuses/42"}"#,
];

const DAY: Duration = Duration::from_hours(24);

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let mut all = vec![
        Endpoint::JobStatus,
        Endpoint::ContactRead,
        Endpoint::ContactUpdate,
        Endpoint::SalesAccountRead,
        Endpoint::SalesAccountUpdate,
        Endpoint::DealRead,
        Endpoint::DealCreate,
        Endpoint::DealUpdate,
        Endpoint::Lookup,
        Endpoint::TrackEvent,
        Endpoint::TrackPageView,
    ];
    for entity in Entity::ALL {
        all.extend([Endpoint::Fields(*entity), Endpoint::Upsert(*entity), Endpoint::BulkUpsert(*entity)]);
    }
    all.extend(Selector::ALL.iter().copied().map(Endpoint::Selector));
    select(all)
}

fn any_body() -> impl Strategy<Value = Body> {
    let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_or(Body::Unreadable, Body::Json);
    prop_oneof![
        4 => any_json(KEYS).prop_map(Body::Json),
        1 => any_json(KEYS).prop_map(Body::Mislabelled),
        4 => almost_json(ANSWERS).prop_map(read),
        1 => select(vec![Body::Empty, Body::Markup, Body::Unreadable, Body::TooLarge]),
    ]
}

fn any_status() -> impl Strategy<Value = u16> {
    prop_oneof![
        4 => 100_u16..600,
        2 => select(vec![200_u16, 201, 400, 401, 402, 403, 404, 422, 429, 500, 503]),
        1 => any::<u16>(),
    ]
}

fn is_bounded(messages: &[String]) -> Result<(), TestCaseError> {
    prop_assert!((1..=10).contains(&messages.len()), "{messages:?}");
    for message in messages {
        prop_assert!((1..=300).contains(&message.chars().count()) && !message.contains('\n'), "{message:?}");
    }
    Ok(())
}

#[test]
fn any_answer_is_classified() {
    let wait = prop::option::of((0_u64..90_000).prop_map(Duration::from_secs));
    feed("answers", &(any_endpoint(), any_status(), any_body(), wait), |(endpoint, status, body, wait)| {
        let json = match &body {
            Body::Json(json) | Body::Mislabelled(json) => json.clone(),
            Body::Empty | Body::Markup | Body::Unreadable | Body::TooLarge => Value::Null,
        };
        let good = (200..=299).contains(&status);
        let answer = Answer { status, rate_limit: RateLimit::default(), retry_after: wait, body };
        let verdict = classify(endpoint, Ok(answer.clone()));
        prop_assert_eq!(&classify(endpoint, Ok(answer.clone())), &verdict);
        match &verdict {
            Verdict::Done(body) => {
                prop_assert!(good, "{status} is not good");
                prop_assert_eq!(body, &json);
                match endpoint.expected_body() {
                    ExpectedBody::Record(key) => prop_assert!(record_id(body, key).is_some()),
                    ExpectedBody::Key(key) => prop_assert!(body.get(key).is_some()),
                    ExpectedBody::LookUp => prop_assert!(is_look_up(body)),
                    ExpectedBody::Anything => prop_assert!(answer.body != Body::Markup),
                }
            }
            Verdict::Refused { status: code, messages } => {
                prop_assert!(is_about_record(*code) && !(500..600).contains(code));
                prop_assert!(
                    *code == status || (good && json.get("errors").or(json.get("message")).is_some())
                );
                // Nothing but the API's own words is_about_record.
                prop_assert!(matches!(answer.body, Body::Json(_)));
                is_bounded(messages)?;
            }
            Verdict::Denied { status: code, messages } => {
                prop_assert!((403..500).contains(code) && (*code == status || good));
                prop_assert!(matches!(answer.body, Body::Json(_)));
                is_bounded(messages)?;
            }
            Verdict::Unrecognized(sight) => {
                prop_assert!(!(500..600).contains(&status) && !matches!(status, 401 | 402 | 429));
                prop_assert_eq!(sight.status, status);
            }
            Verdict::Unauthorized { status: code } => {
                prop_assert!((401..=402).contains(code) && (*code == status || good));
            }
            Verdict::Throttled { retry_after } => {
                prop_assert!(status == 429 || status == 400 || good);
                prop_assert_eq!(*retry_after, wait);
            }
            Verdict::TooManyJobs => {
                prop_assert!(status == 405 || good);
                prop_assert!(matches!(endpoint, Endpoint::BulkUpsert(_)));
            }
            Verdict::Unavailable { cause, retry_after } => {
                let possible = match cause {
                    UnavailableCause::ServerError(code) => matches!(code, 408 | 500..600),
                    UnavailableCause::UnexpectedStatus(code) => matches!(code, 405 | 425),
                    UnavailableCause::UnexpectedBody(code) => *code == status && good,
                    UnavailableCause::Timeout | UnavailableCause::Connection | UnavailableCause::Panicked => {
                        false
                    }
                };
                prop_assert!(possible, "{cause:?}");
                prop_assert_eq!(*retry_after, wait);
            }
        }
        // What the body says inside counts only with a good status, and with 400.
        match status {
            401 | 402 => prop_assert_eq!(verdict.as_str(), "unauthorized"),
            429 => prop_assert_eq!(verdict.as_str(), "throttled"),
            408 | 425 | 500..=599 => prop_assert_eq!(verdict.as_str(), "server_error"),
            _ => prop_assert!(good || verdict.as_str() != "ok"),
        }
        Ok(())
    });
}

#[test]
fn anything_is_read_out_of_a_good_answer_or_nothing() {
    let bodies = prop_oneof![
        any_json(KEYS),
        almost_json(ANSWERS).prop_map(|bytes| serde_json::from_slice(&bytes).unwrap_or_default()),
    ];
    feed("good answers", &(bodies, any_text()), |(body, user)| {
        if let Some(links) = linked_accounts(&body) {
            let shown = &body["contact"]["sales_accounts"];
            prop_assert_eq!(links.len(), shown.as_array().map_or(0, Vec::len));
        }
        if let Some(email) = found_email(&body, &user) {
            prop_assert_eq!(email.to_lowercase(), email);
        }
        Ok(())
    });
}

#[test]
fn any_rate_limit_header_is_bounded() {
    let number = || {
        prop_oneof![
            any::<u64>().prop_map(|number| number.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
            (0_u64..100_000).prop_map(|number| format!(" {number} ")),
            (1_700_000_000_u64..1_900_000_000).prop_map(|number| number.to_string()),
            (1_700_000_000_000_u64..1_900_000_000_000).prop_map(|number| number.to_string()),
            select(vec!["0.5", "+7", "1e3", "99999999999999999999999", "-0", ""]).prop_map(str::to_owned),
        ]
    };
    let date = (
        select(vec!["Sun", "Mon", "Xyz", ""]),
        0_u32..40,
        select(vec!["Mar", "Feb", "March", "13"]),
        any::<i16>(),
        0_u32..30,
        0_u32..70,
        0_u32..70,
        select(vec!["GMT", "+0000", "-9959", "EST", "Z", ""]),
    )
        .prop_map(|(name, day, month, year, hour, minute, second, zone)| {
            format!("{name}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} {zone}")
        });
    let text = prop_oneof![3 => number(), 3 => date, 1 => any_text()];
    let nows = (-2_000_000_000_i64..4_000_000_000).prop_map(|second| Timestamp::from_second(second).unwrap());
    feed("rate-limit headers", &(text, number(), nows), |(text, number, now)| {
        prop_assert!(retry_after(&text, now).is_none_or(|wait| wait <= DAY), "{text}");
        let read = RateLimit::parse(|name| (name != "x-ratelimit-reset").then_some(number.as_str()), now);
        prop_assert_eq!(read.limit, number.trim().parse().ok());
        prop_assert_eq!(read.remaining, read.limit);
        prop_assert_eq!(read.reset, None);
        let read = RateLimit::parse(|_| Some(text.as_str()), now);
        prop_assert!(read.reset.is_none_or(|wait| wait <= DAY), "{text}");
        Ok(())
    });
}

/// The report inside a job's status, as JSON or as text.
fn inside(body: &Value) -> Value {
    let data = &body["data"];
    data.as_str().map_or_else(|| data.clone(), |text| crate::json::parse(text.as_bytes()).unwrap_or_default())
}

fn check_job(body: &Value) -> Result<(), TestCaseError> {
    let job = read_job_status(body);
    prop_assert_eq!(&read_job_status(body), &job);
    let status = body["status"].as_str().map(str::to_lowercase);
    match job {
        JobStatus::Running { .. } => prop_assert!(status.is_some_and(|status| !status.contains("succe"))),
        JobStatus::Ended { succeeded, failures } => {
            let report = inside(body);
            let counted = |key: &str| report["record_status"][key].as_u64();
            prop_assert_eq!(counted("succeeded"), Some(succeeded));
            prop_assert_eq!(counted("failed"), Some(failures.len() as u64));
            // The lane adds them up.
            prop_assert!(succeeded.checked_add(failures.len() as u64).is_some());
            for failure in &failures {
                if !failure.messages.is_empty() {
                    is_bounded(&failure.messages)?;
                }
            }
        }
        JobStatus::Unclear => {}
    }
    if let Some(id) = job_id(body) {
        prop_assert!((1..=64).contains(&id.len()), "{id}");
        prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{id}");
        prop_assert!(body["job_status_url"].as_str().unwrap().contains(&id));
    }
    Ok(())
}

#[test]
fn any_job_status_is_read_or_said_to_be_unclear() {
    let statuses = prop_oneof![
        any_json(KEYS),
        almost_json(REPORTS).prop_map(|bytes| serde_json::from_slice(&bytes).unwrap_or_default()),
        (any_json(KEYS), any::<bool>()).prop_map(|(report, text)| {
            let data = if text { Value::from(report.to_string()) } else { report };
            json!({"status": "SUCCESS", "data": data})
        }),
    ];
    feed("job statuses", &statuses, |body| check_job(&body));
}

#[test]
fn a_report_is_believed_only_where_it_adds_up_and_its_rows_name_their_records() {
    let count = || prop_oneof![6 => (0_u64..6).prop_map(Some), 1 => (u64::MAX - 3..=u64::MAX).prop_map(Some), 1 => Just(None)];
    let row = (any_text(), any_json(KEYS), prop::collection::vec(any_text(), 0..30));
    let rows = prop::collection::vec(row, 0..5);
    feed("job reports", &(count(), count(), rows, any::<bool>()), |(succeeded, failed, rows, text)| {
        let mut counts = json!({});
        for (key, count) in [("succeeded", succeeded), ("failed", failed)] {
            if let Some(count) = count {
                counts[key] = json!(count);
            }
        }
        let failed_rows: Vec<Value> = rows
            .iter()
            .map(
                |(name, more, message)| json!({"record": {"emails": name, "more": more}, "message": message}),
            )
            .collect();
        let report = json!({"record_status": counts, "detailed_failure_report": failed_rows});
        let data = if text { json!(report.to_string()) } else { report };
        let body = json!({"status": "SUCCESS", "data": data});
        check_job(&body)?;
        let adds_up = failed == Some(rows.len() as u64)
            && succeeded.is_some_and(|succeeded| succeeded.checked_add(rows.len() as u64).is_some());
        match read_job_status(&body) {
            JobStatus::Ended { failures, .. } => {
                prop_assert!(adds_up);
                prop_assert_eq!(failures.len(), rows.len());
                for ((name, ..), failure) in rows.iter().zip(&failures) {
                    prop_assert!(failure.names.contains(&name.to_lowercase()));
                }
            }
            JobStatus::Unclear => prop_assert!(!adds_up),
            JobStatus::Running { .. } => prop_assert!(false, "it ended"),
        }
        Ok(())
    });
}

use super::*;
use crate::schema::Entity;
use serde_json::json;

const UPSERT: Endpoint = Endpoint::Upsert(Entity::Contact);

fn answer(status: u16, body: Body) -> Answer {
    Answer { status, rate_limit: RateLimit::default(), retry_after: None, body }
}

fn judged(endpoint: Endpoint, status: u16, body: Body) -> Verdict {
    classify(endpoint, Ok(answer(status, body)))
}

#[test]
fn each_status_has_its_verdict() {
    let contact = || Body::Json(json!({"contact": {"id": 7}}));
    for (status, expected) in [
        (200, "ok"),
        (201, "ok"),
        (301, "server_error"),
        (302, "server_error"),
        (400, "rejected"),
        (401, "unauthorized"),
        (402, "unauthorized"),
        (403, "unauthorized"),
        (404, "rejected"),
        (405, "server_error"),
        (408, "server_error"),
        (413, "rejected"),
        (422, "rejected"),
        (429, "throttled"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "server_error"),
        (999, "server_error"),
    ] {
        assert_eq!(judged(UPSERT, status, contact()).as_str(), expected, "{status}");
    }
    assert_eq!(classify(UPSERT, Err(NoAnswer::Timeout)).as_str(), "timeout");
    assert_eq!(classify(UPSERT, Err(NoAnswer::Connection)).as_str(), "connection");
}

#[test]
fn a_405_to_a_bulk_upsert_says_that_too_many_jobs_run() {
    let bulk = Endpoint::BulkUpsert(Entity::Deal);
    let said = || Body::Json(json!({"errors": {"code": 405, "message": ["Max of 10 transactions"]}}));
    for (status, body) in [(405, said()), (405, Body::Empty), (200, said())] {
        assert_eq!(judged(bulk, status, body.clone()), Verdict::TooManyJobs, "{status} {body:?}");
        assert_ne!(judged(UPSERT, status, body), Verdict::TooManyJobs);
    }
    assert_ne!(judged(bulk, 405, Body::Markup), Verdict::TooManyJobs, "a proxy's page");
}

#[test]
fn a_good_status_with_a_body_that_is_no_answer_is_not_believed() {
    for body in [
        Body::Empty,
        Body::Unreadable,
        Body::TooLarge,
        Body::Json(json!({})),
        Body::Json(json!([])),
        Body::Json(json!({"contact": null})),
        Body::Json(json!({"contact": {"first_name": "no id"}})),
        Body::Json(json!({"errors": ["something"]})),
    ] {
        assert_eq!(judged(UPSERT, 200, body.clone()).as_str(), "server_error", "{body:?}");
    }
    assert_eq!(judged(UPSERT, 200, Body::Json(json!({"contact": {"id": "402000049629"}}))).as_str(), "ok");
    assert_eq!(judged(Endpoint::TrackEvent, 200, Body::Unreadable).as_str(), "ok");
}

#[test]
fn an_error_body_with_a_good_status_counts_by_its_own_code() {
    let body = |code: u16| Body::Json(json!({"errors": {"code": code, "message": ["No"]}}));
    assert_eq!(judged(UPSERT, 200, body(400)), Verdict::Refused { status: 400, messages: vec!["No".into()] });
    assert_eq!(judged(UPSERT, 200, body(401)).as_str(), "unauthorized");
    assert_eq!(judged(UPSERT, 200, body(500)).as_str(), "server_error");
    assert_eq!(judged(Endpoint::TrackEvent, 200, body(400)).as_str(), "rejected");
}

#[test]
fn messages_are_found_in_every_shape() {
    for (body, expected) in [
        (
            json!({"errors": {"code": 400, "message": ["Name has already been taken"]}}),
            vec!["Name has already been taken"],
        ),
        (
            json!({"errors": {"code": 400, "message": "Amount is not a number"}}),
            vec!["Amount is not a number"],
        ),
        (json!({"errors": [{"message": "a"}, {"message": "b"}]}), vec!["a", "b"]),
        (json!({"code": 400, "message": "old form"}), vec!["old form"]),
        (json!({"description": "d", "errors": ["e"]}), vec!["e", "d"]),
        (json!("nothing"), vec!["status 400 without a message"]),
    ] {
        let verdict = judged(UPSERT, 400, Body::Json(body.clone()));
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(verdict, Verdict::Refused { status: 400, messages: expected }, "{body}");
    }
}

#[test]
fn of_a_body_full_of_messages_only_the_first_are_read() {
    let many: Value =
        (0..100_000).map(|number| (format!("k{number}"), json!(format!("m{number}")))).collect();
    let mut found = Vec::new();
    collect(&many, &mut found);
    assert_eq!((found.len(), found[0].as_str(), found[9].as_str()), (10, "m0", "m9"));
    let Verdict::Refused { messages, .. } = judged(UPSERT, 400, Body::Json(json!({"errors": many}))) else {
        panic!("not refused");
    };
    assert_eq!(messages, found);
}

#[test]
fn retry_after_is_kept() {
    let mut throttled = answer(429, Body::Empty);
    throttled.retry_after = Some(Duration::from_secs(9));
    assert_eq!(
        classify(UPSERT, Ok(throttled.clone())),
        Verdict::Throttled { retry_after: Some(Duration::from_secs(9)) }
    );
    let unavailable = Answer { status: 503, ..throttled };
    assert_eq!(
        classify(UPSERT, Ok(unavailable)),
        Verdict::Unavailable {
            trouble: Trouble::ServerError(503),
            retry_after: Some(Duration::from_secs(9))
        }
    );
}

#[test]
fn links_are_read_or_told_to_be_unknown() {
    let body = json!({"contact": {"id": 1, "sales_accounts": [{"id": 5, "is_primary": true}, {"id": "6"}]}});
    assert_eq!(
        linked_accounts(&body),
        Some(vec![Link { id: 5, primary: true }, Link { id: 6, primary: false }])
    );
    assert_eq!(linked_accounts(&json!({"contact": {"id": 1}})), None);
    assert_eq!(linked_accounts(&json!({"contact": {"id": 1, "sales_accounts": [{}]}})), None);
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_panic_and_every_refusal_has_a_message(status in 100u16..1000, text in "\\PC{0,200}") {
        let json = serde_json::from_str::<Value>(&text).unwrap_or_else(|_| json!({"errors": {"message": text}}));
        for endpoint in [UPSERT, Endpoint::TrackEvent, Endpoint::Lookup] {
            if let Verdict::Refused { messages, .. } = judged(endpoint, status, Body::Json(json.clone())) {
                proptest::prop_assert!(!messages.is_empty());
            }
        }
    }
}

use super::*;
use crate::freshsales::answers::limits::RateLimit;
use crate::freshsales::answers::messages::collect;
use crate::schema::Entity;
use serde_json::json;

const UPSERT: Endpoint = Endpoint::Upsert(Entity::Contact);

fn answer(status: u16, body: Body) -> Answer {
    Answer { status, rate_limit: RateLimit::default(), retry_after: None, body }
}

fn verdict_on(endpoint: Endpoint, status: u16, body: Body) -> Verdict {
    classify(endpoint, Ok(answer(status, body)))
}

#[test]
fn each_status_has_its_verdict() {
    let contact = || Body::Json(json!({"contact": {"id": 7}}));
    let contact = |status: u16| match status {
        200..=299 => contact(),
        _ => Body::Json(json!({"errors": {"code": status, "message": ["No"]}})),
    };
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
        assert_eq!(verdict_on(UPSERT, status, contact(status)).as_str(), expected, "{status}");
    }
    assert_eq!(classify(UPSERT, Err(NoAnswer::Timeout)).as_str(), "timeout");
    assert_eq!(classify(UPSERT, Err(NoAnswer::Connection)).as_str(), "connection");
}

#[test]
fn a_405_to_a_bulk_upsert_says_that_too_many_jobs_run() {
    let bulk = Endpoint::BulkUpsert(Entity::Deal);
    let said = || Body::Json(json!({"errors": {"code": 405, "message": ["Max of 10 transactions"]}}));
    for (status, body) in [(405, said()), (200, said())] {
        assert_eq!(verdict_on(bulk, status, body.clone()), Verdict::TooManyJobs, "{status} {body:?}");
        assert_ne!(verdict_on(UPSERT, status, body), Verdict::TooManyJobs);
    }
    for body in [Body::Markup, Body::Empty, Body::Unreadable] {
        assert_ne!(verdict_on(bulk, 405, body), Verdict::TooManyJobs, "the API's own word is JSON");
    }
}

#[test]
fn a_good_status_with_a_body_that_is_no_answer_is_not_believed() {
    for body in [
        Body::Empty,
        Body::Markup,
        Body::Unreadable,
        Body::TooLarge,
        Body::Json(json!({})),
        Body::Json(json!([])),
        Body::Json(json!({"contact": null})),
        Body::Json(json!({"contact": {"first_name": "no id"}})),
        Body::Json(json!({"errors": ["something"]})),
        Body::Json(json!({"contact": {"id": 0}})),
        Body::Json(json!({"contact": {"id": "-7"}})),
        Body::Json(json!({"contact": {"id": 1e30}})),
    ] {
        assert_eq!(verdict_on(UPSERT, 200, body.clone()).as_str(), "server_error", "{body:?}");
    }
    assert_eq!(
        verdict_on(UPSERT, 200, Body::Json(json!({"contact": {"id": "402000049629"}}))).as_str(),
        "ok"
    );
    assert_eq!(verdict_on(Endpoint::TrackEvent, 200, Body::Unreadable).as_str(), "ok");
    // It would be tried for days, and might take effect each time.
    let foreign = verdict_on(Endpoint::TrackEvent, 200, Body::TooLarge);
    assert!(matches!(foreign, Verdict::Unrecognized(_)), "{foreign:?}");
}

#[test]
fn an_error_body_with_a_good_status_counts_by_its_own_code() {
    let body = |code: u16| Body::Json(json!({"errors": {"code": code, "message": ["No"]}}));
    assert_eq!(
        verdict_on(UPSERT, 200, body(400)),
        Verdict::Refused { status: 400, messages: vec!["No".into()] }
    );
    assert_eq!(verdict_on(UPSERT, 200, body(401)).as_str(), "unauthorized");
    assert_eq!(verdict_on(UPSERT, 200, body(500)).as_str(), "server_error");
    assert_eq!(verdict_on(Endpoint::TrackEvent, 200, body(400)).as_str(), "rejected");
}

#[test]
fn a_tracking_answer_that_says_in_any_way_that_it_failed_is_not_believed() {
    for body in [
        json!({"error": true}),
        json!({"error": "quota"}),
        json!({"error": 17}),
        json!({"errors": true}),
        json!({"errors": 1}),
        json!({"error_code": "x", "message": "m"}),
        json!({"success": false}),
        json!({"success": "false"}),
        json!({"success": 0}),
        json!({"ok": false}),
        json!({"status": "Failed"}),
        json!({"status": "unauthorized"}),
        json!({"status": 500}),
        json!({"status": "404"}),
        json!({"code": 500}),
        json!({"login": "failed"}),
        json!([{"error": "x"}]),
        json!("error"),
    ] {
        let verdict = verdict_on(Endpoint::TrackEvent, 200, Body::Json(body.clone()));
        assert_ne!(verdict.as_str(), "ok", "{body}");
    }
    for body in [
        json!({}),
        json!([]),
        json!(null),
        json!(true),
        json!("OK"),
        json!({"success": true, "error": null, "errors": []}),
        json!({"success": "true", "error": false, "error_code": 0}),
        json!({"success": null}),
        json!({"status": "success", "code": 200}),
        json!({"status": 200, "message": "done"}),
        json!({"ok": 1}),
        json!({"result": "ok", "error": ""}),
    ] {
        assert_eq!(
            verdict_on(Endpoint::TrackPageView, 200, Body::Json(body.clone())).as_str(),
            "ok",
            "{body}"
        );
    }
}

#[test]
fn a_look_up_that_is_not_understood_does_not_mean_that_nobody_was_found() {
    for body in [
        json!({"contacts": {}}),
        json!({"contacts": "error"}),
        json!({"contacts": []}),
        json!({"contacts": null}),
        json!({"contacts": {"contacts": null}}),
        json!({"contacts": {"contacts": {}}}),
        json!({"contacts": {"contacts": [null]}}),
        json!({"contacts": {"contacts": [{"id": null}]}}),
    ] {
        assert_eq!(
            verdict_on(Endpoint::Lookup, 200, Body::Json(body.clone())).as_str(),
            "server_error",
            "{body}"
        );
    }
    for body in [
        json!({"contacts": {"contacts": []}}),
        json!({"contacts": {"contacts": [{"id": "7"}], "meta": {}}}),
        json!({"contacts": {"contacts": [{"external_id": "u"}, {"email": "a@x.com"}]}}),
    ] {
        assert_eq!(verdict_on(Endpoint::Lookup, 200, Body::Json(body.clone())).as_str(), "ok", "{body}");
    }
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
        (json!({"errors": {"code": 400}}), vec!["status 400 without a message"]),
    ] {
        let verdict = verdict_on(UPSERT, 400, Body::Json(body.clone()));
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
    let Verdict::Refused { messages, .. } = verdict_on(UPSERT, 400, Body::Json(json!({"errors": many})))
    else {
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
            cause: UnavailableCause::ServerError(503),
            retry_after: Some(Duration::from_secs(9))
        }
    );
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_panic_and_every_refusal_has_a_message(status in 100u16..1000, text in "\\PC{0,200}") {
        let json = serde_json::from_str::<Value>(&text).unwrap_or_else(|_| json!({"errors": {"message": text}}));
        for endpoint in [UPSERT, Endpoint::TrackEvent, Endpoint::Lookup] {
            if let Verdict::Refused { messages, .. } = verdict_on(endpoint, status, Body::Json(json.clone())) {
                proptest::prop_assert!(!messages.is_empty());
            }
        }
    }
}

/// Every kind of answer to a contact's upsert.
#[test]
fn each_kind_of_answer_has_its_verdict() {
    let said = |code: u16| Body::Json(json!({"errors": {"code": code, "message": ["No"]}}));
    let gateway = || Body::Json(json!({"message": "no Route matched with those values"}));
    let labelled = || Body::Mislabelled(json!({"errors": {"code": 400, "message": ["No"]}}));
    let behind = |inner: &str| {
        let text =
            format!("UCR contact fetch failure :: response_code :: {inner} :: response :: Too many requests");
        Body::Json(json!({"errors": {"message": [text]}}))
    };
    let cases: Vec<(u16, Body, &str)> = vec![
        // Freshsales' own.
        (400, said(400), "refused"),
        (409, said(409), "refused"),
        (413, said(413), "refused"),
        (422, said(422), "refused"),
        (200, said(400), "refused"),
        (400, behind("404"), "refused"),
        (400, behind("none"), "refused"),
        (401, said(401), "unauthorized"),
        (402, said(402), "unauthorized"),
        (401, Body::Json(json!({"login": "failed"})), "unauthorized"),
        (401, Body::Markup, "unauthorized"),
        (403, said(403), "denied"),
        (200, said(403), "denied"),
        (404, said(404), "denied"),
        (410, said(410), "denied"),
        (415, said(415), "denied"),
        (404, gateway(), "denied"),
        (403, gateway(), "denied"),
        (429, said(429), "throttled"),
        (429, Body::Markup, "throttled"),
        (400, said(429), "throttled"),
        (400, behind("429"), "throttled"),
        (400, behind("503"), "server_error"),
        (400, said(503), "server_error"),
        (405, said(405), "server_error"),
        (408, Body::Empty, "server_error"),
        (500, said(500), "server_error"),
        (503, Body::Markup, "server_error"),
        // From something in front of it.
        (302, Body::Empty, "a redirect, status 302"),
        (308, Body::Markup, "a redirect, status 308"),
        (400, Body::Markup, "a web page with status 400"),
        (403, Body::Markup, "a web page with status 403"),
        (404, Body::Markup, "a web page with status 404"),
        (405, Body::Markup, "a web page with status 405"),
        (410, Body::Markup, "a web page with status 410"),
        (407, Body::Markup, "a web page with status 407"),
        (413, Body::Markup, "a web page with status 413"),
        (422, Body::Markup, "a web page with status 422"),
        (999, Body::Markup, "a web page with status 999"),
        (200, Body::Markup, "a web page with status 200"),
        (403, Body::Unreadable, "something that is no JSON, with status 403"),
        (403, Body::TooLarge, "something that is no JSON, with status 403"),
        (404, Body::Empty, "an empty answer with status 404"),
        (200, Body::Empty, "an empty answer with status 200"),
        (204, Body::Empty, "an empty answer with status 204"),
        (400, labelled(), "JSON that is not the API's, with status 400"),
        (400, Body::Json(json!({"detail": 1})), "JSON that is not the API's, with status 400"),
        (404, Body::Json(json!("nothing")), "JSON that is not the API's, with status 404"),
        (200, Body::Json(json!({"errors": ["No"]})), "status 200 and a body that says that it failed"),
        // A good status and an incomplete answer: the call may have taken effect.
        (200, Body::Unreadable, "server_error"),
        (200, Body::TooLarge, "server_error"),
        (200, Body::Json(json!({})), "server_error"),
        (200, Body::Mislabelled(json!({"contact": {"id": 7}})), "ok"),
    ];
    for (status, body, expected) in cases {
        let verdict = verdict_on(UPSERT, status, body.clone());
        let shown = match &verdict {
            Verdict::Refused { .. } => "refused".to_owned(),
            Verdict::Denied { .. } => "denied".to_owned(),
            Verdict::Unrecognized(sight) => sight.to_string(),
            Verdict::Done(_)
            | Verdict::Unauthorized { .. }
            | Verdict::Throttled { .. }
            | Verdict::TooManyJobs
            | Verdict::Unavailable { .. } => verdict.as_str().to_owned(),
        };
        assert_eq!(shown, expected, "{status} {body:?}");
    }
}

#[test]
fn a_404_is_about_the_record_only_where_the_path_holds_its_id() {
    let gone = || Body::Json(json!({"errors": {"code": 404, "message": ["Not found"]}}));
    for endpoint in [
        Endpoint::ContactRead,
        Endpoint::ContactUpdate,
        Endpoint::DealRead,
        Endpoint::DealUpdate,
        Endpoint::JobStatus,
    ] {
        assert!(
            matches!(verdict_on(endpoint, 404, gone()), Verdict::Refused { status: 404, .. }),
            "{endpoint:?}"
        );
        assert!(matches!(verdict_on(endpoint, 404, Body::Markup), Verdict::Unrecognized(_)), "{endpoint:?}");
    }
    for endpoint in
        [UPSERT, Endpoint::DealCreate, Endpoint::Lookup, Endpoint::TrackEvent, Endpoint::Fields(Entity::Deal)]
    {
        assert!(
            matches!(verdict_on(endpoint, 404, gone()), Verdict::Denied { status: 404, .. }),
            "{endpoint:?}"
        );
    }
}

#[test]
fn an_activity_is_delivered_unless_a_page_or_a_failure_comes_back() {
    for body in [
        Body::Empty,
        Body::Unreadable,
        Body::Json(json!({})),
        Body::Json(json!("OK")),
        Body::Json(json!(true)),
        Body::Json(Value::Null),
        Body::Json(json!({"status": "success"})),
        Body::Json(json!({"success": true, "errors": []})),
        Body::Mislabelled(json!({"message": "ok"})),
    ] {
        assert_eq!(verdict_on(Endpoint::TrackEvent, 200, body.clone()).as_str(), "ok", "{body:?}");
    }
    for body in [
        Body::Markup,
        Body::TooLarge,
        Body::Json(json!({"success": false})),
        Body::Json(json!({"ok": false})),
        Body::Json(json!({"status": "Error"})),
        Body::Json(json!({"error": "invalid token"})),
        Body::Json(json!({"errors": ["No"]})),
    ] {
        assert_eq!(
            verdict_on(Endpoint::TrackPageView, 200, body.clone()).as_str(),
            "server_error",
            "{body:?}"
        );
    }
}

#[test]
fn a_message_is_masked_and_so_are_the_rows_of_a_job() {
    let body =
        json!({"errors": {"message": ["ada@example.com already exists.", "+1 926 555-9503 is taken"]}});
    let Verdict::Refused { messages, .. } = verdict_on(UPSERT, 400, Body::Json(body)) else {
        panic!("not refused")
    };
    assert_eq!(messages, ["[e-mail] already exists.", "[phone] is taken"]);
    // An address that the cut goes through.
    let long = format!("{} ada@example.com", "x ".repeat(293));
    let Verdict::Refused { messages, .. } = verdict_on(UPSERT, 400, Body::Json(json!({"message": long})))
    else {
        panic!("not refused")
    };
    assert!(!messages[0].contains("ada"), "{messages:?}");
}

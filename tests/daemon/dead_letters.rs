//! What cannot be delivered: nothing of it is lost, and everything is said about it.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use serde_json::{Value, json};

use crate::events::{identify, repeats, track};
use crate::support::{Freshet, header, soon, table, text};
use crate::world::{World, sum};

const LIMIT: usize = 1_048_576;
/// Stands where a value is wrong, and must never stand in a letter's detail.
const PRIVATE: &str = "told-to-nobody";
/// The destination's documentation, as printed: typographic quotes, and a brace short.
const PAGE_AS_PRINTED: &str = "{\n  “type”: “page”,\n  “userId”: “john.doe@example.com”,\n  “name”: “Page view”,\n  \
                               “properties”: {\n    “title”: “Pricing”,\n    “url”: “https://example.com”\n  }\n";

/// One thing that can be wrong, and what its letter says.
struct Case {
    reason: &'static str,
    /// The account in the routing key.
    account: Option<&'static str>,
    body: Vec<u8>,
    /// `freshsales-account`.
    header: Option<&'static str>,
    /// Of the first problem: `field` and `trait`.
    names: [Option<&'static str>; 2],
    event_type: Option<&'static str>,
    message_id: Option<&'static str>,
    http_status: Option<i64>,
    /// Calls to Freshsales.
    attempts: i64,
}

impl Case {
    fn new(reason: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            reason,
            account: Some("acme"),
            body: body.into(),
            header: Some("acme"),
            names: [None, None],
            event_type: None,
            message_id: None,
            http_status: None,
            attempts: 0,
        }
    }

    /// An event with its `messageId`, of which type and id can be read.
    fn event(reason: &'static str, event_type: &'static str, more: Value) -> Self {
        let mut body = json!({"type": event_type, "userId": "u-1", "messageId": "m-1"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut case = Self::new(reason, body.to_string());
        (case.event_type, case.message_id) = (Some(event_type), Some("m-1"));
        case
    }

    /// An identify with these traits and an address.
    fn traits(reason: &'static str, field: &'static str, name: &'static str, mut traits: Value) -> Self {
        traits["email"] = json!("someone@example.com");
        Self::event(reason, "identify", json!({"traits": traits})).naming(Some(field), Some(name))
    }

    fn naming(mut self, field: Option<&'static str>, name: Option<&'static str>) -> Self {
        self.names = [field, name];
        self
    }

    fn of(mut self, account: &'static str) -> Self {
        (self.account, self.header) = (Some(account), Some(account));
        self
    }

    fn unrouted(mut self, header: Option<&'static str>) -> Self {
        (self.account, self.header) = (None, header);
        self
    }

    fn refused(mut self, status: i64, attempts: i64) -> Self {
        (self.http_status, self.attempts) = (Some(status), attempts);
        self
    }

    /// So many calls are made for it: who has the `userId` is looked up, again because the lane has just begun.
    fn after(mut self, attempts: i64) -> Self {
        self.attempts = attempts;
        self
    }

    fn called(mut self, message_id: &'static str) -> Self {
        self.message_id = Some(message_id);
        self
    }

    fn key(&self) -> String {
        format!("{}.{}", self.account.unwrap_or("_unrouted"), self.reason)
    }

    /// Everything a sender can say beside the body, but for what makes the broker act.
    fn properties(&self, number: usize) -> BasicProperties {
        let mut headers = sent_headers();
        if let Some(account) = self.header {
            headers.insert("freshsales-account".into(), text(account));
        }
        BasicProperties::default()
            .with_content_type("application/json; charset=utf-8".into())
            .with_content_encoding("identity".into())
            .with_correlation_id(number.to_string().into())
            .with_message_id(format!("amqp-{number}").into())
            .with_app_id("segment-bridge".into())
            .with_timestamp(1_772_366_400)
            .with_type("segment".into())
            .with_reply_to("nobody".into())
            .with_priority(3)
            .with_headers(headers)
    }
}

fn sent_headers() -> FieldTable {
    let mut list = FieldArray::default();
    list.push(text("a"));
    list.push(AMQPValue::LongInt(2));
    table(&[
        ("tenant", text("t1")),
        ("attempt", AMQPValue::LongInt(7)),
        ("live", AMQPValue::Boolean(true)),
        ("nothing", AMQPValue::Void),
        ("list", AMQPValue::FieldArray(list)),
        ("nested", AMQPValue::FieldTable(table(&[("deep", AMQPValue::Double(0.5))]))),
        ("bytes", AMQPValue::LongString(vec![0xff, 0x00, 0xfe].into())),
    ])
}

fn deep(levels: usize) -> String {
    let body = json!({"type": "identify", "messageId": "m-1", "userId": "u-1"}).to_string();
    let traits = format!(",\"traits\":{}1{}}}", "{\"a\":".repeat(levels), "}".repeat(levels));
    format!("{}{traits}", body.strip_suffix('}').unwrap())
}

fn padded(length: usize) -> Vec<u8> {
    let mut body = track(9, 9).to_string().into_bytes();
    body.resize(length, b' ');
    body
}

fn cases() -> Vec<Case> {
    let url = json!({"url": "https://example.com"});
    let mut cases = vec![
        // The body.
        Case {
            event_type: Some("track"),
            ..Case::new("malformed_json", b"{\"type\":\"track\",\"event\":\"\xff\xfe\",  \r\n\t \0".to_vec())
        },
        Case::new("malformed_json", PAGE_AS_PRINTED),
        Case::new("malformed_json", "").unrouted(None),
        Case::new("invalid_event", b"\xef\xbb\xbf{}\n\n".to_vec()).naming(None, Some("type")),
        Case::new("malformed_json", "[{\"type\":\"track\"}").unrouted(None),
        Case::new("malformed_json", "{\"batch\":[{\"type\":\"track\"}}"),
        Case::new("invalid_event", "[ ]\n").unrouted(None),
        Case::new("invalid_event", " {\"batch\":[],\"writeKey\":\"wk_bare\"}").of("bare"),
        Case::new("malformed_json", " \"text\" "),
        Case {
            event_type: Some("track"),
            ..Case::new("malformed_json", "{\"type\":\"track\"} {}")
        },
        Case::new("malformed_json", "{\"type\":NaN}"),
        Case::new("malformed_json", "[".repeat(100_000)),
        Case {
            event_type: Some("identify"),
            message_id: Some("m-1"),
            ..Case::new("malformed_json", deep(5000))
        },
        Case {
            event_type: Some("track"),
            message_id: Some("track 9 9"),
            ..Case::new("too_large", padded(LIMIT + 1))
        },
        Case {
            event_type: Some("track"),
            message_id: Some("track 9 9"),
            ..Case::new("too_large", padded(LIMIT + 1)).unrouted(None)
        },
        // The envelope.
        Case::new("invalid_event", "{}").naming(None, Some("type")),
        Case::new("invalid_event", "{\"type\":7}").naming(None, Some("type")),
        Case::event("invalid_event", "track", json!({})).naming(None, Some("event")),
        Case::event("invalid_event", "track", json!({"event": [PRIVATE]})).naming(None, Some("event")),
        Case::event("invalid_event", "page", json!({})).naming(None, Some("properties.url")),
        Case::event("invalid_event", "identify", json!({"traits": PRIVATE})).naming(None, Some("traits")),
        Case::event("invalid_event", "identify", json!({"userId": {"id": PRIVATE}})).naming(None, Some("userId")),
        Case::event("invalid_event", "identify", json!({"userId": 1.5})).naming(None, Some("userId")),
        Case::event("invalid_event", "identify", json!({"context": [PRIVATE]})).naming(None, Some("context")),
        Case::event("invalid_event", "track", json!({"event": "e", "integrations": PRIVATE}))
            .naming(None, Some("integrations")),
        Case::event("invalid_event", "track", json!({"event": "e", "writeKey": 5}))
            .naming(None, Some("writeKey"))
            .unrouted(None),
        // The account.
        Case::event("unknown_account", "track", json!({"event": "e"})).unrouted(None),
        Case::event("unknown_account", "track", json!({"event": "e", "writeKey": PRIVATE})).unrouted(None),
        Case::event("unknown_account", "track", json!({"event": "e", "writeKey": "wk_acme"}))
            .unrouted(Some("initech")),
        // Who it is.
        Case::event("missing_user_id", "identify", json!({"userId": null, "traits": {"email": "a@b.co"}}))
            .naming(None, Some("userId")),
        Case::event("missing_email", "identify", json!({"userId": "u-9", "traits": null}))
            .naming(Some("emails"), Some("email"))
            .after(2),
        Case::event("missing_email", "identify", json!({"userId": 12_345_678_901_234_567_890_u64}))
            .naming(Some("emails"), Some("email"))
            .after(2),
        Case::event("invalid_email", "identify", json!({"traits": {"email": PRIVATE}}))
            .naming(Some("emails"), Some("email")),
        Case::event("invalid_email", "identify", json!({"traits": {"email": 12}}))
            .naming(Some("emails"), Some("email")),
        // The fields.
        Case::traits("unknown_custom_field", "", "cfShoeSize", json!({"cfShoeSize": PRIVATE}))
            // There is no field to name.
            .naming(None, Some("cfShoeSize")),
        Case::traits("invalid_custom_field", "cf_seats", "cfSeats", json!({"cfSeats": PRIVATE})),
        Case::traits("invalid_custom_field", "cf_plan", "cfPlan", json!({"cfPlan": PRIVATE})),
        Case::traits("invalid_custom_field", "cf_newsletter", "cfNewsletter", json!({"cfNewsletter": 1})),
        Case::traits("invalid_custom_field", "cf_trial_ends_on", "cfTrialEndsOn", json!({"cfTrialEndsOn": 17})),
        Case::traits("invalid_field", "first_name", "firstName", json!({"firstName": PRIVATE.repeat(20)})),
        Case::traits("invalid_field", "lifecycle_stage_id", "lifecycleStageId", json!({"lifecycleStageId": PRIVATE})),
        Case::traits("invalid_field", "amount", "deal.amount", json!({"deal": {"name": "Bad", "amount": PRIVATE}})),
        Case::traits("invalid_field", "name", "company.name", json!({"company": {"city": PRIVATE}})),
        // What the account cannot do.
        Case::event("tracking_not_configured", "track", json!({"event": "e"})).of("bare"),
        Case::event("tracking_not_configured", "page", json!({"properties": url})).of("bare"),
        // What only Freshsales can tell: the contact is written before its deal is refused.
        Case::event(
            "rejected",
            "identify",
            // An id of its own: those whose userId is looked up are still on their way.
            json!({"messageId": "m-2", "traits": {"email": "marc@example.com", "deal": {"name": "Sure", "amount": 1, "probability": 150}}}),
        )
        .called("m-2")
        .refused(400, 3),
    ];
    for header in [None, Some("acme")] {
        let bytes = b"\xff\xfe\x00 \n \n".to_vec();
        let case = Case::new("malformed_json", bytes);
        cases.push(if header.is_none() { case.unrouted(None) } else { case });
    }
    cases
}

async fn two_accounts() -> World {
    World::shared()
        .await
        .account("acme", "write_keys = [\"wk_acme\"]")
        .await
        .account("bare", "write_keys = [\"wk_bare\"] # no app_token")
        .await
}

fn number_of(letter: &Delivery) -> usize {
    letter.properties.correlation_id().as_ref().unwrap().as_str().parse().unwrap()
}

fn integer(letter: &Delivery, name: &str) -> Option<i64> {
    let value = letter.properties.headers().as_ref()?.inner().get(name)?;
    Some(value.as_long_long_int().unwrap_or_else(|| panic!("{name} is {value:?}")))
}

#[tokio::test]
async fn each_reason_ends_in_a_letter_with_the_same_bytes_and_everything_that_is_known() {
    let world = two_accounts().await;
    let replica = world.start("one").await;
    let cases = cases();
    let started = Timestamp::now();
    let sent: Vec<BasicProperties> =
        cases.iter().enumerate().map(|(number, case)| case.properties(number)).collect();
    let messages = cases.iter().zip(&sent).map(|(case, properties)| (&case.body, properties.clone()));
    world.publish_to("", &world.queue(), messages).await;
    world.settled(&[&replica]).await;

    let mut letters = world.dead_letters(cases.len()).await;
    assert_eq!(letters.len(), cases.len());
    letters.sort_by_key(number_of);
    for ((number, case), letter) in cases.iter().enumerate().zip(&letters) {
        let what = format!("{number}: {}", String::from_utf8_lossy(&case.body[..case.body.len().min(200)]));
        assert_eq!(number_of(letter), number);
        assert_eq!(letter.routing_key.as_str(), case.key(), "{what}");
        assert_eq!(letter.exchange.as_str(), world.dead());
        assert!(letter.data == case.body, "the body differs: {what}");
        assert_letter(case, letter, &sent[number], &what);
        let failed_at: Timestamp = header(letter, "freshet-failed-at").unwrap().parse().unwrap();
        assert!(started <= failed_at && failed_at <= Timestamp::now(), "{what}");
    }

    let (_, metrics) = replica.get("/metrics").await;
    for case in &cases {
        let alike = cases.iter().filter(|other| other.key() == case.key()).count();
        let labels = [("account", case.account.unwrap_or("_unrouted")), ("reason", case.reason)];
        let counted = sum(&metrics, "freshet_events_dead_lettered_total", &labels);
        assert_eq!(counted, alike as u64, "{labels:?}");
    }
    // Every reason but the one that only the broker gives, and the one that takes its time.
    for reason in freshet::outcome::DeadLetterReason::ALL {
        let covered = cases.iter().any(|case| case.reason == reason.as_str());
        let elsewhere = ["delivery_limit", "undeliverable"].contains(&reason.as_str());
        assert!(covered || elsewhere, "no case of {reason}");
    }
    world.finish([replica]).await;
}

fn assert_letter(case: &Case, letter: &Delivery, sent: &BasicProperties, what: &str) {
    // The properties: all that were sent, and headers beside those that were sent.
    let got = &letter.properties;
    let bare = |properties: &BasicProperties| properties.clone().with_headers(FieldTable::default());
    assert_eq!(bare(got), bare(&sent.clone().with_delivery_mode(2)), "{what}");
    let headers = got.headers().as_ref().unwrap().inner();
    let mut expected = sent.headers().as_ref().unwrap().inner().clone();
    for (name, value) in headers {
        if name.as_str().starts_with("freshet-") {
            expected.insert(name.clone(), value.clone());
        }
    }
    assert_eq!(headers, &expected, "{what}");
    let mut added: Vec<&str> =
        headers.keys().filter_map(|name| name.as_str().strip_prefix("freshet-")).collect();
    added.sort_unstable();
    let mut known = vec!["attempts", "detail", "failed-at", "reason", "replays"];
    known.extend(case.account.map(|_| "account"));
    known.extend(case.event_type.map(|_| "event-type"));
    known.extend(case.message_id.map(|_| "message-id"));
    known.extend(case.http_status.map(|_| "http-status"));
    known.sort_unstable();
    assert_eq!(added, known, "{what}");

    assert_eq!(header(letter, "freshet-reason").as_deref(), Some(case.reason), "{what}");
    assert_eq!(header(letter, "freshet-account").as_deref(), case.account, "{what}");
    assert_eq!(header(letter, "freshet-event-type").as_deref(), case.event_type, "{what}");
    assert_eq!(header(letter, "freshet-message-id").as_deref(), case.message_id, "{what}");
    assert_eq!(integer(letter, "freshet-attempts"), Some(case.attempts), "{what}");
    assert_eq!(integer(letter, "freshet-replays"), Some(0), "{what}");
    assert_eq!(integer(letter, "freshet-http-status"), case.http_status, "{what}");

    let detail = header(letter, "freshet-detail").unwrap();
    assert!(!detail.contains(PRIVATE), "{detail}");
    let problems: Vec<Value> = serde_json::from_str(&detail).unwrap();
    let first = &problems[0];
    assert!(!first["problem"].as_str().unwrap().is_empty());
    assert_eq!([first["field"].as_str(), first["trait"].as_str()], case.names, "{what}: {detail}");
    assert!(case.reason == "rejected" || first["expected"].is_string(), "{what}: {detail}");
    for problem in &problems {
        let mut keys: Vec<&str> = problem.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["expected", "field", "got", "problem", "trait"], "{detail}");
    }
}

#[tokio::test]
async fn every_problem_of_an_event_is_told_and_the_freshsales_answer_is_quoted() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let traits =
        json!({"email": "a@example.com", "cfSeats": PRIVATE, "firstName": PRIVATE.repeat(20), "cfNone": 1});
    world.publish(json!({"type": "identify", "userId": "u", "traits": traits}).to_string()).await;
    let deal = json!({"email": "b@example.com", "deal": {"name": "Sure", "amount": 1, "probability": 150}});
    world.publish(json!({"type": "identify", "userId": "v", "traits": deal}).to_string()).await;
    world.settled(&[&replica]).await;

    let details: Vec<Value> = world
        .dead_letters(2)
        .await
        .iter()
        .map(|letter| serde_json::from_str(&header(letter, "freshet-detail").unwrap()).unwrap())
        .collect();
    let misfits = details.iter().find(|detail| detail.as_array().unwrap().len() == 3).unwrap();
    let named: Vec<_> =
        misfits.as_array().unwrap().iter().map(|one| one["trait"].as_str().unwrap()).collect();
    assert_eq!(named, ["cfSeats", "firstName", "cfNone"]);
    assert_eq!(misfits[0]["field"], "cf_seats");
    assert_eq!(misfits[1]["got"], format!("string of {} characters", PRIVATE.len() * 20));
    let refused = details.iter().find(|detail| detail.as_array().unwrap().len() == 1).unwrap();
    let said = refused[0]["problem"].as_str().unwrap();
    assert!(
        said.starts_with("Freshsales refused the deal: ") && said.to_lowercase().contains("probability"),
        "{said}"
    );
    world.finish([replica]).await;
}

#[tokio::test]
async fn what_makes_the_broker_act_does_not_act_on_copies() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    let elsewhere = world.vhost.queue("elsewhere");
    world.amqp.declare_classic(&elsewhere).await;
    let mut carbon = FieldArray::default();
    carbon.push(text(&elsewhere));
    let acting = BasicProperties::default()
        .with_headers(table(&[
            ("CC", AMQPValue::FieldArray(carbon.clone())),
            ("BCC", AMQPValue::FieldArray(carbon.clone())),
            ("x-delivery-count", AMQPValue::LongInt(199)),
            ("x-death", text("made up")),
        ]))
        .with_expiration("600000".into())
        .with_user_id("guest".into());
    world.publish_with(track(0, 0).to_string(), acting.clone()).await;
    world.publish_with("broken", acting.clone()).await;
    // A header that is none of an exchange's business, of a kind that no exchange could use.
    let headers = table(&[("freshsales-account", AMQPValue::LongInt(5)), ("tenant", text("t"))]);
    world.publish_with(track(0, 1).to_string(), BasicProperties::default().with_headers(headers)).await;
    world.settled(&[&replica]).await;

    assert_eq!(world.state("acme")["activities"].as_array().unwrap().len(), 1);
    let mut letters = world.dead_letters(2).await;
    letters.sort_by_key(|letter| letter.routing_key.to_string());
    let keys: Vec<_> = letters.iter().map(|letter| letter.routing_key.as_str()).collect();
    assert_eq!(keys, ["_unrouted.unknown_account", "acme.malformed_json"]);
    let letter = &letters[1];
    assert_eq!((letter.properties.expiration(), letter.properties.user_id()), (&None, &None));
    let headers = letter.properties.headers().as_ref().unwrap().inner();
    assert_eq!(headers.get("freshet-original-cc"), Some(&AMQPValue::FieldArray(carbon)));
    assert_eq!(header(letter, "freshet-original-expiration").as_deref(), Some("600000"));
    assert_eq!(header(letter, "freshet-original-user-id").as_deref(), Some("guest"));
    assert_eq!(headers.get("CC"), None);
    // Once for each of CC and BCC, at the first publish; never for the copies.
    let carbon = world.amqp.take_all(&elsewhere).await.len();
    assert_eq!(carbon, 2, "the intake's own carbon copies, one of each message");
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_body_of_the_limit_and_numbers_of_any_size_are_delivered() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    world.publish(padded(LIMIT)).await;
    let huge = r#"{"type":"track","userId":"a@example.com","event":"Huge","timestamp":5,
        "properties":{"number":1e400,"exact":123456789012345678901234567890.10}}"#;
    world.publish(huge).await;
    world.settled(&[&replica]).await;
    let state = world.state("acme");
    let activities = state["activities"].as_array().unwrap();
    assert_eq!(activities.len(), 2);
    let huge = activities.iter().find(|one| one["name"] == "Huge").unwrap();
    assert_eq!(huge["properties"]["number"].to_string(), "1e+400");
    assert_eq!(huge["properties"]["exact"].to_string(), "123456789012345678901234567890.10");
    world.finish([replica]).await;
}

#[tokio::test]
async fn two_hundred_bad_events_hold_up_no_good_one() {
    const CONTACTS: usize = 5;
    const ROUNDS: usize = 20;
    let world = two_accounts().await;
    let replica = world.start("one").await;
    let named = || BasicProperties::default().with_headers(table(&[("freshsales-account", text("acme"))]));
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.body.len() < 10_000).collect();
    let mut bad = cases.iter().cycle().enumerate().take(200);
    let mut buried: Vec<String> = Vec::new();
    let mut messages: Vec<(Vec<u8>, BasicProperties)> = Vec::new();
    for good in (0..ROUNDS).flat_map(|n| (0..CONTACTS).flat_map(move |c| [identify(c, n), track(c, n)])) {
        let (number, case) = bad.next().unwrap();
        let properties = case.properties(number);
        buried.push(case.key());
        // Each with an id of its own: two of one id at once would be duplicates.
        let body = match case.message_id {
            Some(id @ ("m-1" | "m-2")) => {
                let text = String::from_utf8(case.body.clone()).unwrap();
                text.replace(&format!("\"{id}\""), &format!("\"m-{number}\"")).into_bytes()
            }
            Some(_) | None => case.body.clone(),
        };
        messages.push((body, properties));
        messages.push((good.to_string().into_bytes(), named()));
    }
    world.publish_to("", &world.queue(), messages).await;
    world.settled(&[&replica]).await;

    // The refused deals' contact was written; it is none of the stream's.
    let mut state = world.state("acme");
    state["contacts"].as_array_mut().unwrap().retain(|contact| contact["email"] != "marc@example.com");
    assert_eq!(repeats(&state, CONTACTS, ROUNDS), 0);
    let mut keys: Vec<_> =
        world.dead_letters(buried.len()).await.iter().map(|letter| letter.routing_key.to_string()).collect();
    keys.sort_unstable();
    buried.sort_unstable();
    assert_eq!(keys, buried);
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_record_that_never_gets_through_while_others_do_becomes_a_letter() {
    let world = World::with_acme().await;
    let config = world.config_at(world.vhost.url(), "one");
    let config = config.replace("[delivery]\n", "[delivery]\ngive_up_after = \"2s\"\n");
    let replica = Freshet::start(&config, &World::environment());
    replica.ready().await;
    world.fault("acme", json!({"endpoint": "*", "containing": "Never", "action": {"status": 500}})).await;
    let event = |number: usize, name: &str| {
        let traits = json!({"email": format!("c{number}@example.com"), "firstName": name});
        json!({"type": "identify", "userId": format!("u{number}"), "traits": traits}).to_string()
    };
    world.publish(event(0, "Never")).await;
    // Once it has failed, so that the two are not written together.
    let failed =
        "freshet_api_requests_total{account=\"acme\",endpoint=\"contact_upsert\",outcome=\"server_error\"}";
    soon("the first failure", async || replica.metric(failed).await >= 1.0).await;
    world.publish(event(0, "Later")).await;
    let mut number = 0;
    let counted = "freshet_events_dead_lettered_total{account=\"acme\",reason=\"undeliverable\"}";
    soon("it is given up", async || {
        number += 1;
        world.publish(event(number, "Ada")).await;
        let given_up = replica.metric(counted).await;
        if given_up == 1.0 { Ok(()) } else { Err(given_up.to_string()) }
    })
    .await;
    world.settled(&[&replica]).await;
    let letters = world.dead_letters(1).await;
    assert_eq!(header(&letters[0], "freshet-reason").as_deref(), Some("undeliverable"));
    assert_eq!(integer(&letters[0], "freshet-http-status"), Some(500));
    assert!(integer(&letters[0], "freshet-attempts").unwrap() >= 5);
    let detail: Value = serde_json::from_str(&header(&letters[0], "freshet-detail").unwrap()).unwrap();
    let said = detail[0]["problem"].as_str().unwrap();
    assert!(said.starts_with("the contact never got through while others did"), "{said}");
    assert!(said.ends_with("answered with status 500"), "{said}");
    let contacts = world.state("acme")["contacts"].clone();
    let first = contacts.as_array().unwrap().iter().find(|one| one["email"] == "c0@example.com");
    assert_eq!(first.unwrap()["first_name"], "Later", "what stood behind it did not go on");
    world.finish([replica]).await;
}

//! Tests of the model where it decides something, and of what no table shows. They run before every table.

use std::time::Duration;

use freshet::freshsales::{Call, Identifier, SalesAccountLink, Verdict};
use freshet::schema::Entity;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::Api;
use super::endpoints::Request;
use super::kinds::{self, SEARCH_DELAY, terms};

const MOMENT: Duration = Duration::from_millis(1);

pub fn run() {
    search_shows_nothing_that_was_written_within_its_delay();
    links_that_are_not_given_are_gone();
    a_job_writes_when_it_ends_and_no_more_than_ten_run();
    a_deal_is_created_each_time_but_by_name_only_once();
    calls_over_the_quota_of_their_hour_are_refused();
    kinds::take_over_at_once();
}

fn done(api: &mut Api, now: Instant, call: &Call) -> Value {
    let verdict = api.answer(now, call).0;
    let Verdict::Done(body) = verdict else { panic!("{verdict:?}") };
    body
}

/// What search says of `a@x.com`, with its links and deals; null if it shows no such contact.
fn searched(api: &mut Api, now: Instant) -> Value {
    let rule =
        json!({ "attribute": "contact_email.email", "operator": "is_in", "value": ["A@x.com", "b@x.com"] });
    let query = [("per_page", "100".into()), ("include", "sales_accounts,deals".into())];
    let request = Request {
        path: &["api", "filtered_search", "contact"],
        query: &query,
        body: &json!({ "filter_rule": [rule] }),
    };
    let body = api.account.answer(&request, now).unwrap_or_default();
    assert_eq!(body["meta"]["total"], body["contacts"].as_array().map_or(0, Vec::len));
    body["contacts"][0].clone()
}

fn id(body: &Value, entity: Entity) -> i64 {
    body[entity.singular()]["id"].as_i64().expect("an id")
}

/// Links as pairs of id and primary.
fn links(row: &Value) -> Vec<(i64, bool)> {
    let links = row["sales_accounts"].as_array().expect("links are shown");
    links.iter().filter_map(|link| Some((link["id"].as_i64()?, link["is_primary"].as_bool()?))).collect()
}

fn search_shows_nothing_that_was_written_within_its_delay() {
    let start = Instant::now();
    let mut api = Api::new(terms(1000), start);
    let contact = done(&mut api, start, &Call::contact_upsert("a@x.com", "{}"));
    let contact = id(&contact, Entity::Contact);
    assert_eq!(searched(&mut api, start + SEARCH_DELAY - MOMENT), Value::Null);
    let written = start + SEARCH_DELAY;
    assert_eq!(searched(&mut api, written)["id"], contact);

    // A link and a deal, one after the other: until each is shown, what was before it is.
    let account = done(&mut api, written, &Call::named_upsert(Entity::SalesAccount, "X", "{}"));
    let link = SalesAccountLink { id: id(&account, Entity::SalesAccount), primary: true };
    done(&mut api, written, &Call::contact_links(contact, &[link]));
    let later = written + MOMENT;
    let deal = json!({ "name": "D", "contacts_added_list": [contact] }).to_string();
    done(&mut api, later, &Call::deal_create(&deal));
    let of = |row: Value| (links(&row).len(), row["deals"].as_array().map_or(9, Vec::len));
    assert_eq!(of(searched(&mut api, later)), (0, 0));
    assert_eq!(of(searched(&mut api, written + SEARCH_DELAY)), (1, 0));
    assert_eq!(of(searched(&mut api, later + SEARCH_DELAY)), (1, 1));
    // One contact alone is read as it is.
    let read = done(&mut api, later, &Call::contact_read_with_deals(contact));
    assert_eq!((links(&read["contact"]).len(), read["deals"][0]["name"].as_str()), (1, Some("D")));

    let rule = json!({ "attribute": "name", "operator": "is_in", "value": ["x"] });
    let body = json!({ "filter_rule": [rule] });
    let request = Request { path: &["api", "filtered_search", "sales_account"], query: &[], body: &body };
    let found =
        |api: &mut Api, now| api.account.answer(&request, now).unwrap_or_default()["meta"]["total"].take();
    assert_eq!(found(&mut api, written + SEARCH_DELAY - MOMENT), 0);
    assert_eq!(found(&mut api, written + SEARCH_DELAY), 1);
}

fn links_that_are_not_given_are_gone() {
    let now = Instant::now();
    let mut api = Api::new(terms(1000), now);
    let accounts = ["X", "Y"].map(|name| {
        id(&done(&mut api, now, &Call::named_upsert(Entity::SalesAccount, name, "{}")), Entity::SalesAccount)
    });
    let contact = id(&done(&mut api, now, &Call::contact_upsert("a@x.com", "{}")), Entity::Contact);
    let [x, y] = accounts.map(|id| SalesAccountLink { id, primary: true });
    let written =
        done(&mut api, now, &Call::contact_links(contact, &[x, SalesAccountLink { primary: false, ..y }]));
    assert_eq!(links(&written["contact"]), [(x.id, true), (y.id, false)]);
    // In bulk as alone, and only where links are given.
    let data = json!({ "sales_accounts": [{ "id": y.id, "is_primary": true }] }).to_string();
    let bulk =
        |data: &str| Call::bulk_upsert(Entity::Contact, &[(Identifier::Text("a@x.com".into()), data.into())]);
    done(&mut api, now, &bulk(&data));
    let then = now + Duration::from_secs(9);
    let read = done(&mut api, then, &Call::contact_read(contact));
    assert_eq!(links(&read["contact"]), [(y.id, true)]);
    done(&mut api, then, &bulk(r#"{"job_title":"T"}"#));
    let read = done(&mut api, then + Duration::from_secs(9), &Call::contact_read(contact));
    assert_eq!(links(&read["contact"]), [(y.id, true)]);
}

fn a_job_writes_when_it_ends_and_no_more_than_ten_run() {
    let now = Instant::now();
    let mut api = Api::new(terms(1000), now);
    let call =
        |name: &str| Call::bulk_upsert(Entity::SalesAccount, &[(Identifier::Text(name.into()), "{}".into())]);
    for number in 0..10 {
        done(&mut api, now, &call(&number.to_string()));
    }
    assert_eq!(api.answer(now, &call("one more")).0, Verdict::TooManyJobs);
    let first = now + (terms(1000).job_time)(0);
    assert_eq!(done(&mut api, first - MOMENT, &Call::job_status("0"))["status"], "IN_PROGRESS");
    assert_eq!(api.account.by_name(Entity::SalesAccount, "0"), None);
    assert_eq!(done(&mut api, first, &Call::job_status("0"))["status"], "SUCCESS");
    assert!(api.account.by_name(Entity::SalesAccount, "0").is_some());
    done(&mut api, first, &call("one more"));
}

fn a_deal_is_created_each_time_but_by_name_only_once() {
    let now = Instant::now();
    let mut api = Api::new(terms(1000), now);
    let deal = r#"{"name":"D"}"#;
    let created = [(); 2].map(|()| id(&done(&mut api, now, &Call::deal_create(deal)), Entity::Deal));
    let named = id(&done(&mut api, now, &Call::named_upsert(Entity::Deal, "d", deal)), Entity::Deal);
    assert_eq!((api.account.deals().len(), named), (2, created[0]));
    let data = r#"{"amount":2}"#.to_owned();
    done(&mut api, now, &Call::bulk_upsert(Entity::Deal, &[(Identifier::Id(created[1]), data)]));
    api.end_jobs(now + Duration::from_secs(9));
    let amounts: Vec<_> = api.account.deals().iter().map(|deal| deal.fields.get("amount").cloned()).collect();
    assert_eq!(amounts, [None, Some(2.into())]);
}

fn calls_over_the_quota_of_their_hour_are_refused() {
    let now = Instant::now();
    let mut api = Api::new(terms(2), now);
    let call = Call::contact_upsert("a@x.com", "{}");
    let left = [(); 3].map(|()| api.answer(now, &call).1.remaining);
    assert_eq!((left, api.gate.throttled), ([Some(1), Some(0), None], 1));
    assert_eq!(api.answer(now + super::HOUR, &call).1.remaining, Some(1));
}

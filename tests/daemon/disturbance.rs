//! Whatever happens to one account, or is in one message, the other accounts' deliveries go on.
//!
//! Each badness is one account's. While it lasts, the others get one event after another: each is published once the one before
//! has arrived, so that nothing moves if they wait for the bad account. What a message costs them by the work that it makes is
//! not seen here: `others_run_during` tests that, in `src/broker/router` and `src/lane`.

use std::cell::Cell;
use std::collections::BTreeMap;

use lapin::message::Delivery;
use serde_json::{Value, json};

use crate::events::{addressed, arrived, email, track};
use crate::support::{Freshet, Properties, Raw, delete, header, hostile, soon};
use crate::world::World;

/// So many events each of the others gets while one badness lasts.
const ROUNDS: usize = 10;
/// In so many of the first rounds the bad message comes.
const BAD_ROUNDS: usize = 3;
const OTHERS: [&str; 2] = ["globex", "initech"];
const PAGE: &str = "<!DOCTYPE html><html><head><title>Not here</title></head><body>Not here</body></html>";

/// What an account answers while it is bad.
fn answers() -> Vec<(&'static str, Value)> {
    let all = |action: Value| json!({"endpoint": "*", "action": action});
    let to = |endpoint: &str, action: Value| json!({"endpoint": endpoint, "action": action});
    let page =
        |status: u16| json!({"status": status, "headers": {"content-type": "text/html"}, "body": PAGE});
    let refusal = |status: u16, message: &str| json!({"status": status, "body": {"errors": {"code": status, "message": [message]}}});
    let inner = "UCR contact fetch failure :: response_code :: 429 :: response :: Too many requests";
    let signed_out = format!("\u{feff}{PAGE}");
    vec![
        ("API: web pages, 404", all(page(404))),
        ("API: web pages, 403", all(page(403))),
        ("API: web pages, 200", all(page(200))),
        ("API: a sign-in page behind a byte order mark", all(json!({"status": 200, "body": signed_out}))),
        ("API: redirects", all(json!({"status": 302, "headers": {"location": "/login"}}))),
        ("API: 401", all(refusal(401, "no"))),
        ("API: 403 to everything", all(refusal(403, "You are not authorized to perform this action"))),
        ("API: 403 to deals", to("/api/deals", refusal(403, "not authorized"))),
        ("API: 405 to bulk upserts", to("contacts_bulk_upsert", refusal(405, "Max of 10 transactions"))),
        ("API: a throttle inside 400", all(refusal(400, inner))),
        ("API: 429", all(json!({"status": 429, "headers": {"retry-after": "1"}}))),
        ("API: 500", all(json!({"status": 500, "body": "no"}))),
        ("API: breaks off", all(json!({"reset": true}))),
        ("API: slow", all(json!({"delay_ms": 1500}))),
    ]
}

/// The accounts that nothing happens to.
struct Others<'a> {
    world: &'a World,
    rounds: Cell<usize>,
}

impl<'a> Others<'a> {
    fn of(world: &'a World) -> Self {
        Self { world, rounds: Cell::new(0) }
    }

    /// Each gets its events, one by one; before each, the badness strikes.
    async fn go_on(&self, name: &str, mut strike: impl AsyncFnMut(usize)) {
        for round in 0..ROUNDS {
            strike(round).await;
            let number = self.rounds.get();
            self.rounds.set(number + 1);
            for account in OTHERS {
                self.world.publish(addressed(track(0, number), account)).await;
            }
            soon(&format!("the others go on: {name}"), async || {
                OTHERS.iter().all(|account| {
                    let arrived = arrived(&self.world.state(account));
                    arrived.get(&email(0)).is_some_and(|got| got.len() > number)
                })
            })
            .await;
        }
    }

    /// Each event arrived once and in order, and no warning concerns them.
    fn are_undisturbed(&self, replica: &Freshet) {
        let wanted: Vec<u64> = (0..self.rounds.get() as u64).collect();
        for account in OTHERS {
            assert_eq!(arrived(&self.world.state(account))[&email(0)], wanted, "{account}");
        }
        let log = replica.log();
        let of_concern: Vec<&str> = log.lines().filter(|line| of_concern(line)).collect();
        assert!(of_concern.is_empty(), "{of_concern:#?}");
    }
}

/// Whether a line warns of one of the others, or of a connection or channel that was lost. Other warnings may be due to a busy
/// machine.
fn of_concern(line: &str) -> bool {
    const LOST: [&str; 2] = ["not connected to the broker", "a channel broke"];
    let warns = line.contains(" WARN ") || line.contains(" ERROR ");
    warns && OTHERS.iter().chain(&LOST).any(|part| line.contains(part))
}

/// An event as large as can be, with as many traits as it has room for that the account does not have.
fn odd_traits(number: usize) -> Value {
    let traits: serde_json::Map<String, Value> =
        (0..40_000).map(|odd| (format!("cf{odd}"), json!(odd))).collect();
    json!({
        "type": "identify", "userId": "odd@example.com", "messageId": format!("odd {number}"), "traits": traits
    })
}

/// A property that has as much in it as an event may have.
fn wide(number: usize) -> Value {
    let mut event = track(3, number);
    event["properties"]["zeros"] = json!(vec![0; 400_000]);
    event
}

/// Contacts, which go in bulk, with a deal each.
fn people(name: &str, account: &str) -> impl Iterator<Item = String> {
    (0..6).map(move |person| {
        let traits = json!({"firstName": "Ada", "deal": {"name": "Deal", "amount": 100}});
        let (user, id) = (format!("person.{person}@example.com"), format!("{name} {person}"));
        addressed(json!({"type": "identify", "userId": user, "messageId": id, "traits": traits}), account)
    })
}

/// Why a dead letter is one.
fn why(letter: &Delivery) -> String {
    let said = ["freshet-reason", "freshet-detail"].map(|name| header(letter, name).unwrap_or_default());
    said.join(" ").chars().take(300).collect()
}

async fn world_of<'a>(bad: impl IntoIterator<Item = &'a str>) -> World {
    let mut world = World::shared().await;
    for name in bad.into_iter().chain(OTHERS) {
        world = world.account(name, &format!("write_keys = [\"{name}\"]")).await;
    }
    world
}

/// Every account's fields are read before any is bad.
async fn warmed_up(world: &World) {
    for account in &world.accounts {
        world.publish(addressed(track(9, 0), &account.name)).await;
    }
    soon("every account gets events", async || {
        world.accounts.iter().all(|account| !arrived(&world.state(&account.name)).is_empty())
    })
    .await;
}

/// While the account answers so, the others go on.
async fn answering(others: &Others<'_>, name: &str, account: &str, answers: Value) {
    let world = others.world;
    let asked = world.state(account)["total_requests"].as_u64().unwrap();
    world.fault(account, answers).await;
    world.publish_all(people(name, account)).await;
    world.asked(account, asked + 1).await;
    others.go_on(name, async |round| world.publish(addressed(track(0, round), account)).await).await;
}

#[tokio::test]
async fn others_go_on_whatever_is_in_one_message() {
    let world = world_of(["acme"]).await;
    let replica = world.start("one").await;
    let others = Others::of(&world);
    warmed_up(&world).await;
    let mut raw = Raw::connect(&world.vhost.addr(), &world.vhost.name).await;
    let messages = hostile(raw.frame_max()).into_iter().chain([("nothing unusual", Properties::default())]);
    let ways = [(String::new(), world.queue()), (world.lanes(), "acme".to_owned())];
    let mut bad = 0;
    for (name, properties) in messages {
        others
            .go_on(name, async |round| {
                if round >= BAD_ROUNDS {
                    return;
                }
                for (contact, (exchange, key)) in (1..).zip(&ways) {
                    let body = addressed(track(contact, bad), "acme");
                    let (exchange, key) = (exchange.as_bytes(), key.as_bytes());
                    raw.publish(exchange, key, &properties.bytes(), body.as_bytes()).await;
                    world.expect(1);
                }
                bad += 1;
            })
            .await;
    }
    for (name, event) in [
        ("40,000 traits that the account does not have", odd_traits as fn(usize) -> Value),
        ("a property of 800 kB", wide),
    ] {
        others
            .go_on(name, async |round| {
                if round < BAD_ROUNDS {
                    world.publish(addressed(event(round), "acme")).await;
                }
            })
            .await;
    }
    world.settled(&[&replica]).await;
    others.are_undisturbed(&replica);
    let delivered = arrived(&world.state("acme"));
    for (contact, count) in [(1, bad), (2, bad), (3, BAD_ROUNDS)] {
        assert_eq!(delivered[&email(contact)], (0..count as u64).collect::<Vec<_>>(), "contact {contact}");
    }
    let dead = world.dead_letters(BAD_ROUNDS).await;
    assert!(dead.iter().all(|letter| why(letter).starts_with("unknown_custom_field ")));
    world.finish([replica]).await;
}

#[tokio::test]
async fn others_go_on_whatever_an_account_answers() {
    let answers = answers();
    let names: Vec<String> = (0..answers.len()).map(|number| format!("answers-{number}")).collect();
    let world = world_of(names.iter().map(String::as_str)).await;
    let replica = world.start("one").await;
    let others = Others::of(&world);
    warmed_up(&world).await;
    for ((name, answers), account) in answers.into_iter().zip(&names) {
        answering(&others, name, account, answers).await;
        delete(world.at(account).address, "/_sandbox/faults").await.unwrap();
    }
    world.settled(&[&replica]).await;
    others.are_undisturbed(&replica);
    // Nothing becomes a dead letter but what an account had no right to.
    let mut condemned: BTreeMap<String, String> = BTreeMap::new();
    for letter in &world.amqp.take_all(&world.dead()).await {
        let event: Value = serde_json::from_slice(&letter.data).unwrap();
        let id = event["messageId"].as_str().unwrap();
        condemned.insert(id.to_owned(), why(letter));
    }
    // A 403 that ends before Freshet asks what the account allows seems to be about one event, too.
    condemned.retain(|id, why| !(id.starts_with("API: 403") && why.starts_with("rejected ")));
    assert!(condemned.is_empty(), "{condemned:#?}");
    world.finish([replica]).await;
}

#[tokio::test]
async fn others_go_on_while_calls_of_one_hang_and_another_must_wait_for_an_hour() {
    let mut world = world_of(["hangs", "waits"]).await;
    // Longer than this test has patience.
    world.request_timeout = "6m";
    let replica = world.start("one").await;
    let others = Others::of(&world);
    warmed_up(&world).await;
    let hang = json!({"endpoint": "*", "action": {"hang": true}});
    let wait = json!({"endpoint": "*", "action": {"status": 429, "headers": {"retry-after": "3600"}}});
    answering(&others, "API: hangs", "hangs", hang).await;
    answering(&others, "API: 429 for an hour", "waits", wait).await;
    others.are_undisturbed(&replica);
    world.shut_down("hangs");
    let left = u32::try_from(6 + ROUNDS).unwrap();
    world.finish_leaving([replica], &BTreeMap::from([("hangs", left), ("waits", left)])).await;
}

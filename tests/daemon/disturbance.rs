//! Whatever happens to one account, or is in one message, the other accounts' deliveries do not pause.
//!
//! Each badness is one account's. Meanwhile an event comes for it, and for each of two others, every 75 ms; the times at which
//! the others' arrive are in their sandboxes. See [`crate::support::Pauses`] for what is the machine's.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use crate::events::{arrived, track};
use crate::support::{Pauses, Properties, Raw, Stretch, delete, header, hostile, soon};
use crate::world::World;

/// The longest that another account's deliveries may pause, in seconds.
const BOUND: f64 = 1.0;
/// What pauses for longer is staged so often in all, and the shortest pause counts: what a badness causes comes each time,
/// and what a busy machine does to one of two replicas does not.
const STAGINGS: usize = 4;
const EVERY: Duration = Duration::from_millis(75);
/// How long an account stays bad. A lane that others wait for shows within the first second.
const LASTS: Duration = Duration::from_secs(3);
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
        ("API: hangs", all(json!({"hang": true}))),
    ]
}

/// Events for all accounts, all the time, until it is over.
struct Trickle<'a> {
    world: &'a World,
    apart: &'a World,
    /// The account that is bad now.
    bad: RefCell<String>,
    number: Cell<usize>,
    over: Cell<bool>,
}

impl Trickle<'_> {
    async fn run(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.over.get() {
            ticks.tick().await;
            let number = self.number.replace(self.number.get() + 1);
            let bad = self.bad.borrow().clone();
            for account in [&*bad].into_iter().chain(OTHERS) {
                self.world.publish(keyed(track(0, number), account)).await;
            }
            self.apart.publish(track(0, number).to_string()).await;
        }
    }
}

fn keyed(mut event: Value, account: &str) -> String {
    event["writeKey"] = json!(account);
    event.to_string()
}

/// An event as large as can be, with as many traits as it has room for that the account does not have.
fn odd_traits(number: usize) -> String {
    let traits: serde_json::Map<String, Value> =
        (0..40_000).map(|odd| (format!("cf{odd}"), json!(odd))).collect();
    let id = format!("odd {number}");
    keyed(json!({"type": "identify", "userId": "odd@example.com", "messageId": id, "traits": traits}), "acme")
}

/// A property that has as much in it as an event may have.
fn wide(number: usize) -> String {
    let mut event = track(9, number);
    event["properties"]["zeros"] = json!(vec![0; 400_000]);
    keyed(event, "acme")
}

async fn pass(time: Duration) {
    let until = Instant::now() + time;
    soon("it has lasted", async || Instant::now() >= until).await;
}

/// What is done to one account.
enum Badness {
    /// The account's events come with these properties, to the intake and to its lane.
    Sent(Box<Properties>),
    Large(fn(usize) -> String),
    /// An account of its own answers so: some answers are remembered for longer than they last.
    Answers(String, Value),
}

impl Badness {
    fn own_account(&self) -> Option<&str> {
        if let Self::Answers(account, _) = self { Some(account) } else { None }
    }
}

struct Stage<'a> {
    world: &'a World,
    apart: &'a World,
    raw: Raw,
    stagings: usize,
}

impl Stage<'_> {
    /// How long the others paused meanwhile.
    async fn pauses(&mut self, name: &str, badness: &Badness) -> Pauses {
        self.stagings += 1;
        let from = Timestamp::now();
        match badness {
            Badness::Sent(properties) => self.send(name, properties).await,
            Badness::Large(body) => {
                for number in 0..3 {
                    self.world.publish(body(10 * self.stagings + number)).await;
                }
                self.world.publish(keyed(track(3, self.stagings), "acme")).await;
                self.is_delivered(name, &[3]).await;
                pass(LASTS).await;
            }
            Badness::Answers(account, answers) => self.answer(name, account, answers).await,
        }
        let others = OTHERS.map(|name| self.world.state(name));
        Pauses::of(&others, &self.apart.state("bystander"), Stretch { from, until: Timestamp::now() })
    }

    async fn send(&mut self, name: &str, properties: &Properties) {
        let number = self.stagings;
        for (place, (exchange, key)) in
            [(String::new(), self.world.queue()), (self.world.lanes(), "acme".to_owned())].iter().enumerate()
        {
            let body = keyed(track(1 + place, number), "acme");
            let (exchange, key) = (exchange.as_bytes(), key.as_bytes());
            self.raw.publish(exchange, key, &properties.bytes(), body.as_bytes()).await;
            self.world.expect(1);
        }
        self.is_delivered(name, &[1, 2]).await;
    }

    /// Waits for this staging's tracks of these contacts.
    async fn is_delivered(&self, name: &str, contacts: &[usize]) {
        let wanted = u64::try_from(self.stagings).unwrap();
        soon(&format!("{name} is delivered"), async || {
            let arrived = arrived(&self.world.state("acme"));
            contacts.iter().all(|contact| {
                arrived.get(&crate::events::email(*contact)).is_some_and(|got| got.contains(&wanted))
            })
        })
        .await;
    }

    async fn answer(&self, name: &str, account: &str, answers: &Value) {
        let asked = self.world.state(account)["total_requests"].as_u64().unwrap();
        self.world.fault(account, answers.clone()).await;
        // Contacts, a bulk call of them, and a deal, beside the activities that come all the time.
        let people = (0..6).map(|person| {
            let traits = json!({"firstName": "Ada", "deal": {"name": "Deal", "amount": 100}});
            let id = format!("{name} {}.{person}", self.stagings);
            let user = format!("person.{person}@example.com");
            let event = json!({"type": "identify", "userId": user, "messageId": id, "traits": traits});
            keyed(event, account)
        });
        self.world.publish_all(people).await;
        self.world.asked(account, asked + 1).await;
        pass(LASTS).await;
        delete(self.world.at(account).address, "/_sandbox/faults").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_do_not_pause_whatever_happens_to_one_account_or_is_in_one_message() {
    let mut world = World::shared().await;
    let answers = answers().into_iter().enumerate();
    let answering: Vec<(&str, Badness)> = answers
        .map(|(number, (name, answers))| (name, Badness::Answers(format!("answers-{number}"), answers)))
        .collect();
    let bad = answering.iter().filter_map(|(_, badness)| badness.own_account());
    for name in bad.chain(["acme"]).chain(OTHERS) {
        world = world.account(name, &format!("write_keys = [\"{name}\"]")).await;
    }
    let mut apart = World::shared().await.account("bystander", "").await;
    (world.request_timeout, apart.request_timeout) = ("30s", "30s");
    let (replica, replica_apart) = (world.start("one").await, apart.start("apart").await);
    let bad = RefCell::new("acme".to_owned());
    let trickle = Trickle { world: &world, apart: &apart, bad, number: Cell::new(0), over: Cell::new(false) };
    let raw = Raw::connect(&world.vhost.addr(), &world.vhost.name).await;
    let sent = hostile(raw.frame_max()).into_iter().chain([("nothing unusual", Properties::default())]);
    let mut badnesses: Vec<(&str, Badness)> =
        sent.map(|(name, properties)| (name, Badness::Sent(Box::new(properties)))).collect();
    badnesses.push(("40,000 traits that the account does not have", Badness::Large(odd_traits)));
    badnesses.push(("a property of 800 kB", Badness::Large(wide)));
    badnesses.extend(answering);
    let mut stage = Stage { world: &world, apart: &apart, raw, stagings: 0 };
    let mut shortest: Vec<(&str, Pauses)> = Vec::new();
    let staging = async {
        // Their fields are read before they are bad.
        for account in &world.accounts {
            world.publish(keyed(track(4, 0), &account.name)).await;
        }
        soon("every account gets events", async || {
            let begun = |world: &World, name: &str| !arrived(&world.state(name)).is_empty();
            world.accounts.iter().all(|account| begun(&world, &account.name)) && begun(&apart, "bystander")
        })
        .await;
        for (name, badness) in &badnesses {
            trickle.bad.replace(badness.own_account().unwrap_or("acme").to_owned());
            let mut pauses = stage.pauses(name, badness).await;
            for _ in 1..STAGINGS {
                if pauses.net() <= BOUND {
                    break;
                }
                println!("{name}, staged again after {pauses}");
                let again = stage.pauses(name, badness).await;
                if again.net() < pauses.net() {
                    pauses = again;
                }
            }
            shortest.push((name, pauses));
        }
        trickle.over.set(true);
    };
    tokio::join!(staging, trickle.run());
    println!(
        "| what happens to one account | the others pause | a bystander | less that |\n|---|---|---|---|"
    );
    for (name, pauses) in &shortest {
        println!("| {name} | {pauses} |");
    }
    let too_long: Vec<_> = shortest.iter().filter(|(_, pauses)| pauses.net() > BOUND).collect();
    assert!(too_long.is_empty(), "{too_long:?}");
    world.settled(&[&replica]).await;
    apart.settled(&[&replica_apart]).await;
    let others: Vec<Value> = OTHERS.iter().map(|name| world.state(name)).collect();
    let bystander = apart.state("bystander");
    let wanted: Vec<u64> = (0..trickle.number.get() as u64).collect();
    for state in others.iter().chain([&bystander]) {
        assert_eq!(arrived(state)[&crate::events::email(0)], wanted, "each once and in order");
    }
    // Nothing is condemned but what was wrong with it, and what the account had no right to.
    let dead = world.amqp.take_all(&world.dead()).await;
    let mut condemned: BTreeMap<String, String> = BTreeMap::new();
    for letter in &dead {
        let event: Value = serde_json::from_slice(&letter.data).unwrap();
        let id = event["messageId"].as_str().unwrap();
        let what = id.rsplit_once(' ').map_or(id, |(what, _)| what);
        let said = ["freshet-reason", "freshet-detail"].map(|name| header(letter, name).unwrap_or_default());
        condemned.insert(what.to_owned(), said.join(" ").chars().take(300).collect());
    }
    condemned.retain(|what, _| !["odd", "API: 403 to deals"].contains(&what.as_str()));
    assert!(condemned.is_empty(), "{condemned:#?}");
    world.finish([replica]).await;
    apart.finish([replica_apart]).await;
}

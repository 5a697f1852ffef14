//! What senders and the API do, apart from machines and networks: messages that nobody expects, and answers that are none
//! or that concern one record only.

use std::time::Duration;

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::fault::Kind;
use crate::model::Event;
use crate::producers::Producers;
use crate::staging::flows;
use crate::support::{Distortion, Doubler, Properties, Raw, eventually, hostile};
use crate::world::{QUEUE, TWICE, World};

const PAGE: &str = "<!DOCTYPE html><html><head><title>Not here</title></head><body>Not here</body></html>";
/// A record is refused for good after several tries; two minutes are allowed.
const VERDICT: Duration = Duration::from_mins(3);
/// Traits that an event has room for.
const LARGEST: usize = 40_000;

fn refusal(status: u16, message: &str) -> Value {
    json!({"status": status, "body": {"errors": {"code": status, "message": [message]}}})
}

fn page(status: u16) -> Value {
    json!({"status": status, "headers": {"content-type": "text/html"}, "body": PAGE})
}

/// What an account answers to everything, or to all bulk upserts.
pub fn answers(kind: Kind, dice: &mut Dice) -> Value {
    let everything = |action: Value| json!({"endpoint": "*", "action": action});
    match kind {
        Kind::ApiMarkup => everything(match dice.below(6) {
            0 => page(404),
            1 => page(410),
            2 => page(400),
            3 => page(200),
            4 => json!({"status": 200, "body": format!("\u{feff}{PAGE}")}),
            _ => json!({"status": 302, "headers": {"location": "/login"}}),
        }),
        Kind::ApiJobsFull => {
            json!({"endpoint": "contacts_bulk_upsert", "action": refusal(405, "Max of 10 transactions")})
        }
        Kind::ApiInnerThrottle => everything(refusal(
            400,
            "UCR contact fetch failure :: response_code :: 429 :: response :: Too many requests",
        )),
        // Once: a lane that gets this answer asks no more until the wait is over.
        Kind::ApiGatewayWaits => json!({
            "endpoint": "*", "next": 1,
            "action": {"status": 429, "headers": {"retry-after": "6", "content-type": "text/html"}, "body": PAGE}
        }),
        other => panic!("{other:?} is no answer to everything"),
    }
}

/// Answers that concern one record, or deals only; returns when what must be condemned for them is.
pub async fn records(world: &World, producers: &Producers, kind: Kind, account: usize, dice: &mut Dice) {
    let site = &world.sites[account];
    let (contact, text) = producers.ledger().marked(account, "marked-");
    let forbidden = if dice.percent(50) {
        page(403)
    } else {
        refusal(403, "You are not authorized to perform this action")
    };
    let (fault, events, wanted): (Value, Vec<Event>, u64) = match kind {
        Kind::ApiForbidsRecord => {
            let fault = json!({"endpoint": "*", "containing": text, "action": forbidden});
            (fault, producers.ledger().refused(contact).into(), 2)
        }
        Kind::ApiForbidsDeals => {
            let fault = json!({"endpoint": "/api/deals", "action": refusal(403, "not authorized")});
            (fault, vec![producers.ledger().deal(contact)], 1)
        }
        Kind::ApiRecordFails => {
            let fault = json!({"endpoint": "*", "containing": text, "action": {"status": 500, "body": "no"}});
            (fault, producers.ledger().pair(contact, dice).into(), 0)
        }
        other => panic!("{other:?} concerns more than a record"),
    };
    site.fault(fault).await;
    let before = condemned(world, site.name, "rejected").await;
    for event in &events {
        producers.publish(account, event).await;
    }
    eventually(VERDICT, "what is refused for good is condemned", async || {
        let now = condemned(world, site.name, "rejected").await;
        if now >= before + wanted { Ok(()) } else { Err(format!("{} of {wanted}", now - before)) }
    })
    .await;
}

/// An account's dead letters with a reason.
async fn condemned(world: &World, account: &str, reason: &str) -> u64 {
    let mut count = 0;
    for replica in &world.replicas {
        count += replica.refused(reason).await.get(account).copied().unwrap_or_default();
    }
    count
}

/// Good events with properties that nobody expects, to the intake or the lane.
pub async fn hostile_messages(world: &World, producers: &Producers, account: usize, dice: &mut Dice) {
    let mut raw = Raw::connect(&world.vhost.addr(), &world.vhost.name).await;
    let mut all = hostile(raw.frame_max());
    all.push(("nothing unusual", Properties::default()));
    dice.shuffle(&mut all);
    for (_, properties) in all {
        let event = {
            let mut ledger = producers.ledger();
            let contact = ledger.contact(account, false);
            ledger.track(contact)
        };
        let (exchange, key) = if dice.percent(50) {
            (String::new(), QUEUE)
        } else {
            (format!("{QUEUE}.lanes"), world.sites[account].name)
        };
        let (exchange, key) = (exchange.as_bytes(), key.as_bytes());
        raw.publish(exchange, key, &properties.bytes(), event.body.as_bytes()).await;
        producers.ledger().confirm(&event, true);
    }
}

/// An event over which every connection ends that it is delivered to, until it is condemned.
pub async fn unreadable_messages(world: &World, producers: &Producers, account: usize, dice: &mut Dice) {
    let (contact, text) = producers.ledger().marked(account, "marked-");
    let event = producers.ledger().unreadable(contact);
    let distortion = match dice.below(3) {
        0 => Distortion::HeaderEnd,
        1 => Distortion::Arguments,
        _ => Distortion::BodyEnd,
    };
    for replica in &world.replicas {
        for line in &replica.lines {
            line.distortions().add(&text, distortion);
            // Only connections made from now on are distorted.
            line.cut();
        }
    }
    for account in 0..world.sites.len() {
        producers.probe(account).await;
    }
    for replica in &world.replicas {
        replica.ready().await;
    }
    // Found on the intake, where it belongs to no account yet.
    let name = "_unrouted";
    let before = condemned(world, name, "delivery_limit").await;
    producers.publish(account, &event).await;
    let struck = || {
        let lines = world.replicas.iter().flat_map(|replica| &replica.lines);
        lines.map(|line| line.distortions().struck(&text)).sum::<usize>()
    };
    eventually(VERDICT, "the unreadable message is condemned", async || {
        let now = condemned(world, name, "delivery_limit").await;
        if now > before { Ok(()) } else { Err(format!("struck {} times", struck())) }
    })
    .await;
    assert!(struck() > 0, "it was never delivered");
}

/// An event that is handed out twice while its calls do not get through; then the replica that has it is killed. Returns
/// which.
pub async fn doubled(world: &mut World, producers: &Producers, account: usize) -> Option<usize> {
    let (contact, text) = producers.ledger().marked(account, TWICE);
    let event = producers.ledger().track(contact);
    let failing = json!({"endpoint": "*", "containing": text, "action": {"status": 503, "body": "no"}});
    world.sites[account].fault(failing).await;
    let count = |world: &World| -> Vec<usize> {
        let of = |doublers: &Vec<Doubler>| doublers.iter().filter(|doubler| doubler.doubled()).count();
        world.doublers.iter().map(of).collect()
    };
    let before = count(world);
    let mut raw = Raw::connect(&world.vhost.addr(), &world.vhost.name).await;
    let lanes = format!("{QUEUE}.lanes");
    let properties = Properties::default().bytes();
    let key = world.sites[account].name.as_bytes();
    raw.publish(lanes.as_bytes(), key, &properties, event.body.as_bytes()).await;
    producers.ledger().confirm(&event, true);
    eventually(VERDICT, "the event's calls fail", async || world.sites[account].struck().await > 0).await;
    // Behind others of its account: by then the second delivery is settled, if it ever is before the first.
    flows(world, producers, [account]).await;
    // Each line doubles once in a run: later it may be on a line that has.
    let hit = count(world).iter().zip(&before).position(|(now, before)| now > before)?;
    world.replicas[hit].kill().await;
    Some(hit)
}

/// Events that have as many problems as they have room for, and fewer.
pub async fn huge_messages(producers: &Producers, account: usize, dice: &mut Dice) {
    for _ in 0..3 {
        let event = {
            let mut ledger = producers.ledger();
            let contact = ledger.contact(account, false);
            ledger.odd(contact, 1000 + dice.below(LARGEST - 1000))
        };
        producers.publish(account, &event).await;
    }
}

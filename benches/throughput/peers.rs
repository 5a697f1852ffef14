//! What the daemon is measured against. Each is a process of its own, and as short as a good programmer would write it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};

use crate::events::{Events, Kind};
use crate::usage::Stopwatch;

/// Messages that the relay holds, as many as Freshet's router.
const RELAY_PREFETCH: u16 = 500;
const WORKER_PREFETCH: u16 = 100;
/// What the worker does about a 429.
const WORKER_SLEEP: Duration = Duration::from_secs(5);
/// Calls in flight for each account, as `delivery.concurrency` has them.
const CALLS: usize = 8;

/// Runs one, and prints what it measured.
pub fn run(arguments: &[String]) {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let events = words[1].parse().expect("a number of events");
        let stopwatch = Stopwatch::new(std::process::id(), events);
        match words[..] {
            ["relay", _, url, from, ref to @ ..] => relay(url, from, to, stopwatch).await,
            ["calls", _, addresses] => calls(addresses, events, stopwatch).await,
            ["worker", _, url, from, addresses] => {
                worker(url, from, addresses.split(',').map(str::to_owned).collect(), stopwatch).await;
            }
            _ => panic!("no such peer: {words:?}"),
        }
    });
}

/// Counts what has ended; true once that is all.
fn ended(count: &mut usize, stopwatch: &mut Stopwatch) -> bool {
    *count += 1;
    let Some(sample) = stopwatch.look(*count, *count) else { return false };
    println!("{} {} {}", sample.events_per_second, sample.processor_us, sample.peak_mib);
    true
}

async fn consumer(url: &str, queue: &str, prefetch: u16) -> (Channel, lapin::Consumer) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.expect("a prefetch");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), "peer".into(), options, none).await;
    // It closes when its last handle is dropped.
    std::mem::forget(connection);
    (channel, consumer.expect("a consumer"))
}

/// From one queue to each of the next; what reaches the last one has ended.
async fn relay(url: &str, from: &str, to: &[&str], mut stopwatch: Stopwatch) {
    let mut from = from.to_owned();
    let (last, between) = to.split_last().expect("a queue");
    for next in between {
        let (url, next) = (url.to_owned(), (*next).to_owned());
        let source = std::mem::replace(&mut from, next.clone());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        std::thread::spawn(move || runtime.block_on(hop(&url, &source, &next, || false)));
    }
    let mut count = 0;
    hop(url, &from, last, || ended(&mut count, &mut stopwatch)).await;
    let purge = Connection::connect(url, ConnectionProperties::default()).await.expect("a connection");
    let purge = purge.create_channel().await.expect("a channel");
    purge.queue_purge((*last).into(), lapin::options::QueuePurgeOptions::default()).await.expect("emptied");
}

/// Moves messages until `is_done`, which is asked after each.
async fn hop(url: &str, from: &str, to: &str, mut is_done: impl FnMut() -> bool) {
    let (channel, consumer) = consumer(url, from, RELAY_PREFETCH).await;
    let publishing = &channel;
    let relayed = consumer.then(|message| async move {
        let Delivery { data, properties, acker, .. } = message.expect("a message");
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = publishing.basic_publish("".into(), to.into(), options, &data, properties).await;
        (confirm.expect("published"), acker)
    });
    let confirmed = relayed.map(|(confirm, acker)| async move {
        assert!(confirm.await.expect("a confirm").is_ack());
        acker.ack(BasicAckOptions::default()).await.expect("acknowledged");
    });
    let mut confirmed = std::pin::pin!(confirmed.buffer_unordered(usize::from(RELAY_PREFETCH)));
    while confirmed.next().await.is_some() && !is_done() {}
    channel.close(200, "done".into()).await.expect("closed");
}

async fn calls(addresses: &str, events: usize, mut stopwatch: Stopwatch) {
    let client = reqwest::Client::new();
    let urls: Vec<String> =
        addresses.split(',').map(|address| format!("http://{address}/track/events")).collect();
    let body = bytes::Bytes::from(Events::new(Kind::Track, 1).event(0, 0));
    let sent = stream::iter(0..events).map(|number| {
        let request = client
            .post(&urls[number % urls.len()])
            .header("Content-Type", "application/json")
            .body(body.clone());
        async move {
            let answer = request.send().await.expect("an answer");
            assert!(answer.status().is_success());
            answer.bytes().await.expect("a body");
        }
    });
    let mut sent = std::pin::pin!(sent.buffer_unordered(CALLS * urls.len()));
    let mut count = 0;
    while sent.next().await.is_some() && !ended(&mut count, &mut stopwatch) {}
}

async fn worker(url: &str, from: &str, addresses: Vec<String>, mut stopwatch: Stopwatch) {
    let (channel, consumer) = consumer(url, from, WORKER_PREFETCH).await;
    let (client, addresses) = (reqwest::Client::new(), Arc::new(addresses));
    let (client, addresses) = (&client, &addresses);
    let worked = consumer.map(|message| async move {
        let message = message.expect("a message");
        let event: Value = serde_json::from_slice(&message.data).expect("JSON");
        let key = event["writeKey"].as_str().expect("a write key");
        let account: usize = key.trim_start_matches("key-").parse().expect("an account");
        let traits = &event["traits"];
        let body = json!({
            "unique_identifier": {"emails": traits["email"]},
            "contact": {
                "emails": traits["email"], "first_name": traits["firstName"], "last_name": traits["lastName"],
                "job_title": traits["title"], "mobile_number": traits["phone"],
            }
        });
        let address = format!("http://{}/api/contacts/upsert", addresses[account]);
        loop {
            let request = client.post(&address).header("Authorization", "Token token=key").json(&body);
            match request.send().await.expect("an answer").status().as_u16() {
                200 => break,
                429 => tokio::time::sleep(WORKER_SLEEP).await,
                status => panic!("{status}"),
            }
        }
        message.acker.ack(BasicAckOptions::default()).await.expect("acknowledged");
    });
    let mut worked = std::pin::pin!(worked.buffer_unordered(usize::from(WORKER_PREFETCH)));
    let mut count = 0;
    while worked.next().await.is_some() && !ended(&mut count, &mut stopwatch) {}
    channel.close(200, "done".into()).await.expect("closed");
}

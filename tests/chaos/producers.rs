//! Who publishes: with confirms, directly to the cluster, each contact's events one after another.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::dice::Dice;
use crate::model::{Batch, Event, Ledger};
use crate::settings::Settings;
use crate::support::{PATIENCE, Wait, soon, table, text};

/// The header with an event's id.
pub const ID: &str = "chaos-id";
/// How long a confirm may take until the event is published again; a memory alarm is shorter.
const CONFIRM: Duration = Duration::from_secs(8);
const CONNECT: Duration = Duration::from_secs(3);

/// All producers of one run.
pub struct Producers {
    ledger: Arc<Mutex<Ledger>>,
    wires: Vec<Arc<Wire>>,
    /// To the bystander's intake.
    apart: Arc<Wire>,
    /// Events that may be published now.
    budget: Arc<Semaphore>,
    writers: JoinSet<()>,
}

impl Producers {
    /// One wire for each of `urls`, the nodes; `settings.contacts` writers for each account.
    pub fn start(settings: &Settings, ledger: Ledger, urls: &[String], queue: &str, apart: &str) -> Self {
        let accounts = ledger.accounts.len();
        let ledger = Arc::new(Mutex::new(ledger));
        let wires: Vec<_> = (0..urls.len()).map(|home| Arc::new(Wire::new(urls, queue, home))).collect();
        let apart = Arc::new(Wire::new(urls, apart, 0));
        let budget = Arc::new(Semaphore::new(0));
        let mut writers = JoinSet::new();
        for number in 0..accounts * settings.contacts {
            let dice = Dice::of(settings.seed, 1 + number as u64);
            let (wire, account) = (wires[number % wires.len()].clone(), number % accounts);
            writers.spawn(write(ledger.clone(), wire, budget.clone(), account, dice));
        }
        Self { ledger, wires, apart, budget, writers }
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Allows this many more events to be published.
    pub fn allow(&self, events: usize) {
        self.budget.add_permits(events);
    }

    /// One activity of somebody new, for an account.
    pub async fn probe(&self, account: usize) {
        let event = {
            let mut ledger = self.ledger();
            let contact = ledger.contact(account, false);
            ledger.track(contact)
        };
        self.publish(account, &event).await;
    }

    /// An event of an account, once.
    pub async fn publish(&self, account: usize, event: &Event) {
        let certain = self.wires[account % self.wires.len()].publish(event).await;
        self.ledger().confirm(event, certain);
    }

    /// One event after another for each account and for the bystander, until what is returned is stopped.
    pub fn trickle(&self) -> Trickle {
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let accounts = self.ledger().accounts.len();
        for account in 0..accounts {
            let (ledger, wire) = (self.ledger.clone(), self.wires[account % self.wires.len()].clone());
            let over = over.clone();
            tasks.spawn(async move {
                let mut ticks = ticks();
                while !over.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let event = {
                        let mut ledger = lock(&ledger);
                        let contact = ledger.contact(account, false);
                        ledger.track(contact)
                    };
                    let certain = wire.publish(&event).await;
                    lock(&ledger).confirm(&event, certain);
                }
            });
        }
        let (wire, stopped) = (self.apart.clone(), over.clone());
        tasks.spawn(async move {
            let mut ticks = ticks();
            for number in 0_u64.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                ticks.tick().await;
                let id = format!("apart.{number}.{}", jiff::Timestamp::now().as_nanosecond());
                let body = serde_json::json!({
                    "type": "track", "event": "Numbered", "userId": "apart@example.com", "messageId": id,
                    "writeKey": "apart", "properties": {"id": id}
                });
                wire.publish(&Event { id, body: body.to_string(), addressed: None }).await;
            }
        });
        Trickle { over, tasks }
    }

    /// Waits until every allowed event is confirmed.
    pub async fn finish(&mut self) {
        soon("the producers take their last events", async || self.budget.available_permits() == 0).await;
        self.budget.close();
        while let Some(ended) = self.writers.join_next().await {
            ended.expect("a producer ends well");
        }
    }
}

/// Often enough that a pause shows.
fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(Duration::from_millis(75));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Events that come all the time.
pub struct Trickle {
    over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Trickle {
    /// Waits until the last one is confirmed.
    pub async fn stop(mut self) {
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a producer ends well");
        }
    }
}

/// Writes about one contact after another.
async fn write(
    ledger: Arc<Mutex<Ledger>>,
    wire: Arc<Wire>,
    budget: Arc<Semaphore>,
    account: usize,
    mut dice: Dice,
) {
    let mut contact: Option<usize> = None;
    while let Ok(permit) = budget.acquire().await {
        permit.forget();
        let (number, batch) = {
            let mut ledger: MutexGuard<'_, Ledger> = lock(&ledger);
            let number: usize = match contact {
                Some(number) if !ledger.contacts[number].is_over() => number,
                Some(_) | None => ledger.newcomer(account, &mut dice),
            };
            let batch = if dice.percent(6) {
                ledger.batch(number, &mut dice)
            } else {
                let event = ledger.next(number, &mut dice);
                Batch { whole: event.clone(), together: vec![event], alone: Vec::new() }
            };
            (number, batch)
        };
        contact = Some(number);
        let together = (!batch.together.is_empty()).then_some((&batch.whole, &batch.together[..]));
        let alone = batch.alone.iter().map(|event| (event, std::slice::from_ref(event)));
        for (published, events) in together.into_iter().chain(alone) {
            let certain = wire.publish(published).await;
            let mut ledger = lock(&ledger);
            for event in events {
                ledger.confirm(event, certain);
            }
            if !certain {
                ledger.retire(number);
            }
        }
    }
}

/// A connection to the cluster that is made anew, to the next node, when it fails.
struct Wire {
    urls: Vec<String>,
    queue: String,
    next: AtomicUsize,
    line: tokio::sync::Mutex<Option<Line>>,
}

struct Line {
    number: usize,
    channel: Channel,
    _connection: Connection,
}

impl Wire {
    fn new(urls: &[String], queue: &str, home: usize) -> Self {
        Self {
            urls: urls.to_vec(),
            queue: queue.to_owned(),
            next: AtomicUsize::new(home),
            line: tokio::sync::Mutex::new(None),
        }
    }

    /// Publishes until it is confirmed. False if that took more than once: then it may be in the queue twice.
    async fn publish(&self, event: &Event) -> bool {
        let mut headers = Vec::new();
        if !event.id.is_empty() {
            headers.push((ID, text(&event.id)));
        }
        if let Some(account) = &event.addressed {
            headers.push(("freshsales-account", text(account)));
        }
        let properties = BasicProperties::default().with_delivery_mode(2).with_headers(table(&headers));
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut certain = true;
        let mut wait = Wait::up_to(PATIENCE);
        loop {
            let (number, channel) = self.line().await;
            let confirmed = timeout(CONFIRM, async {
                let (queue, body) = (self.queue.as_str().into(), event.body.as_bytes());
                channel.basic_publish("".into(), queue, options, body, properties.clone()).await?.await
            })
            .await;
            let Ok(Ok(Confirmation::Ack(None))) = confirmed else {
                certain = false;
                self.hang_up(number).await;
                wait.again("an event is confirmed", &format!(" ({confirmed:?})")).await;
                continue;
            };
            return certain;
        }
    }

    /// The connection that there is, or a new one to the first node that takes it.
    async fn line(&self) -> (usize, Channel) {
        let mut line = self.line.lock().await;
        let mut wait = Wait::up_to(PATIENCE);
        while line.is_none() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            match timeout(CONNECT, connect(number, &self.urls[number % self.urls.len()])).await {
                Ok(Ok(connected)) => *line = Some(connected),
                failed => {
                    let last = format!(" ({:?})", failed.map(Result::err));
                    wait.again("a node takes a producer", &last).await;
                }
            }
        }
        let line = line.as_ref().unwrap();
        (line.number, line.channel.clone())
    }

    /// Lets the connection of that number go, if it is still the one in use.
    async fn hang_up(&self, number: usize) {
        let mut line = self.line.lock().await;
        if line.as_ref().is_some_and(|line| line.number == number) {
            *line = None;
        }
    }
}

async fn connect(number: usize, url: &str) -> lapin::Result<Line> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(Line { number, channel, _connection: connection })
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

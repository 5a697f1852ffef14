//! The size of a run: the short form that is part of every test run, and the long one.

use std::env;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// The sizes of one run.
#[derive(Debug, Clone)]
pub struct Settings {
    pub seed: u64,
    pub long: bool,
    pub faults: usize,
    pub events: usize,
    pub replicas: usize,
    pub accounts: usize,
    /// Contacts that are written about at the same time, for each account.
    pub contacts: usize,
    /// The largest frame that the cluster takes; a message's properties travel in one.
    pub frame_max: usize,
    /// Only kinds of faults whose names contain this.
    pub only: String,
}

impl Settings {
    /// From `FRESHET_CHAOS` (`long` or nothing), `FRESHET_CHAOS_SEED`, `_FAULTS`, `_EVENTS`, `_REPLICAS`,
    /// `_ACCOUNTS`, `_CONTACTS`, `_FRAME_MAX`, `_ONLY`.
    pub fn read() -> Self {
        let long = env::var("FRESHET_CHAOS").is_ok_and(|form| form == "long");
        let or = |name: &str, short: usize, long_form: usize| {
            number(name).unwrap_or(if long { long_form } else { short })
        };
        let seed = number("SEED").unwrap_or_else(random);
        Self {
            seed,
            // RabbitMQ's own default in every other seed.
            frame_max: number("FRAME_MAX").unwrap_or(if seed % 2 == 0 { 8192 } else { 131_072 }),
            long,
            faults: or("FAULTS", 12, 70),
            events: or("EVENTS", 6_000, 56_000),
            replicas: or("REPLICAS", 2, 3),
            accounts: or("ACCOUNTS", 3, 5),
            contacts: or("CONTACTS", 12, 16),
            only: number("ONLY").unwrap_or_default(),
        }
    }

    /// The account whose events have no deals, where faults strike that concern all of an account's deals.
    pub fn without_deals(&self) -> usize {
        self.accounts.min(3) - 1
    }

    /// The command that draws the same faults and the same events again.
    pub fn command(&self) -> String {
        let Self { seed, long, faults, events, replicas, accounts, contacts, frame_max, only } = self;
        let (form, release) = if *long { ("FRESHET_CHAOS=long ", " --release") } else { ("", "") };
        format!(
            "{form}FRESHET_CHAOS_SEED={seed} FRESHET_CHAOS_FAULTS={faults} FRESHET_CHAOS_EVENTS={events} \
             FRESHET_CHAOS_REPLICAS={replicas} FRESHET_CHAOS_ACCOUNTS={accounts} FRESHET_CHAOS_CONTACTS={contacts} \
             FRESHET_CHAOS_FRAME_MAX={frame_max} FRESHET_CHAOS_ONLY='{only}' \
             cargo test{release} --test chaos -- --nocapture"
        )
    }
}

fn number<T: FromStr>(name: &str) -> Option<T> {
    let name = format!("FRESHET_CHAOS_{name}");
    let text = env::var(&name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}: expected a number")))
}

fn random() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Short enough to be typed.
    u64::from(now.subsec_nanos() ^ std::process::id()) % 1_000_000
}

//! How long accounts received nothing while another one had a fault.
//!
//! Events come all the time, a few in each tenth of a second, so that a pause shows. A machine that is busy makes pauses
//! of its own: an account of a daemon that nothing happens to gets events at the same times, and what it has to wait
//! for is taken off.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

/// Between two moments.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// The longest pauses of one stretch, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// Of the other accounts.
    pub others: f64,
    /// Of the bystander.
    pub bystander: f64,
}

impl Pauses {
    /// From what the sandboxes of the others and of the bystander hold.
    pub fn of<'a>(others: impl IntoIterator<Item = &'a Value>, bystander: &Value, stretch: Stretch) -> Self {
        Self {
            others: others.into_iter().map(|state| longest(state, stretch)).fold(0.0, f64::max),
            bystander: longest(bystander, stretch),
        }
    }

    /// The pause without the part that the busy machine causes.
    pub fn net(&self) -> f64 {
        (self.others - self.bystander).max(0.0)
    }
}

impl fmt::Display for Pauses {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.2} s | {:.2} s | {:.2} s", self.others, self.bystander, self.net())
    }
}

/// The longest time without an activity in a stretch, its ends included.
fn longest(state: &Value, Stretch { from, until }: Stretch) -> f64 {
    let times = state["activities"].as_array().expect("activities").iter();
    let times =
        times.map(|one| one["received_at"].as_str().expect("a time").parse::<Timestamp>().expect("a time"));
    let mut times: Vec<Timestamp> = times.filter(|time| *time > from && *time < until).collect();
    times.push(until);
    times.sort();
    let mut last = from;
    let mut longest = 0.0_f64;
    for time in times {
        longest = longest.max(time.duration_since(last).as_secs_f64());
        last = time;
    }
    longest
}

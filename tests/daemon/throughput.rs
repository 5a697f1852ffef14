//! What was delivered while something was missing, against what the same lanes deliver when nothing is.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use jiff::Timestamp;

use crate::world::Account;

/// Until an account answers: long beside what a busy machine adds.
pub const LATENCY: Duration = Duration::from_millis(800);

/// Calls that a lane has open at once (`delivery.concurrency`).
const AT_ONCE: f64 = 8.0;
/// What a machine that is not busy reaches of the throughput that the accounts' answers allow.
const NEARLY_ALL: f64 = 0.95;

/// A stretch of time, in seconds since the test began.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    pub from: f64,
    pub until: f64,
}

/// The times at which an account's calls were carried out.
pub struct Calls<'a> {
    account: &'a str,
    at: Vec<f64>,
}

impl<'a> Calls<'a> {
    pub fn of(account: &'a Account, began: Timestamp) -> Self {
        let state = account.sandbox.state();
        let times = state["activities"].as_array().unwrap().iter().map(|one| &one["received_at"]);
        let times = times.map(|time| time.as_str().unwrap().parse::<Timestamp>().unwrap());
        Self {
            account: &account.name,
            at: times.map(|time| time.duration_since(began).as_secs_f64()).collect(),
        }
    }

    /// Calls a second. Each counts with the part of its time that lies in the stretch: eight come at once, and where
    /// the stretch begins and ends must not decide over all of them.
    fn rate(&self, stretch: Stretch) -> f64 {
        let latency = LATENCY.as_secs_f64();
        let part = |at: &f64| (at.min(stretch.until) - (at - latency).max(stretch.from)).max(0.0) / latency;
        self.at.iter().map(part).sum::<f64>() / (stretch.until - stretch.from)
    }

    /// The longest time without a call that touches the stretch.
    fn longest_wait(&self, stretch: Stretch) -> f64 {
        let pairs = self.at.windows(2).filter(|pair| pair[1] > stretch.from && pair[0] < stretch.until);
        pairs.map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
    }
}

/// What came of an absence. Parts are of what the same lanes did just before and after it.
#[derive(Debug)]
pub struct Dip {
    seconds: f64,
    /// Calls a second of all lanes, before and after.
    steady: [f64; 2],
    /// The most that the accounts' answers allow.
    possible: f64,
    pub whole: f64,
    pub staying: f64,
    /// Of the lanes that stay, the one that kept up least.
    pub least: f64,
    pub moving: f64,
    pub bystanders: f64,
    /// The longest time without a call of a lane that stays, and of one that moves.
    waits: [f64; 2],
}

impl Dip {
    pub const HEAD: &str = "| away | for | calls a second before, after | the whole keeps | lanes that stay keep \
        | the least of them | its longest wait | lanes that move keep | their longest wait | bystanders keep |\n\
        |---|---|---|---|---|---|---|---|---|---|";

    /// Of these lanes, of which some move, and of others that it does not concern.
    pub fn measure(
        calls: &[Calls],
        moves: impl Fn(&str) -> bool,
        bystanders: &[Calls],
        away: Stretch,
        around: [Stretch; 2],
    ) -> Self {
        let rate = |lanes: &[&Calls], stretch| lanes.iter().map(|one| one.rate(stretch)).sum::<f64>();
        let steady = |lanes: &[&Calls]| around.map(|stretch| rate(lanes, stretch));
        let kept = |lanes: &[&Calls]| rate(lanes, away) * 2.0 / steady(lanes).iter().sum::<f64>();
        let wait = |lanes: &[&Calls]| lanes.iter().map(|one| one.longest_wait(away)).fold(0.0, f64::max);
        let all: Vec<&Calls> = calls.iter().collect();
        let (moving, staying): (Vec<&Calls>, Vec<&Calls>) = all.iter().partition(|one| moves(one.account));
        Self {
            seconds: away.until - away.from,
            steady: steady(&all),
            possible: f64::from(u32::try_from(all.len()).unwrap()) * AT_ONCE / LATENCY.as_secs_f64(),
            whole: kept(&all),
            staying: kept(&staying),
            least: staying.iter().map(|one| kept(&[one])).fold(f64::INFINITY, f64::min),
            moving: kept(&moving),
            bystanders: kept(&bystanders.iter().collect::<Vec<_>>()),
            waits: [wait(&staying), wait(&moving)],
        }
    }

    /// Whether the accounts bounded the throughput before and after, and the bystanders' meanwhile. Where a busy machine does,
    /// the parts tell how busy it was.
    pub fn tells_of_freshet(&self) -> bool {
        let usual = self.steady.iter().all(|rate| *rate >= NEARLY_ALL * self.possible);
        usual && self.bystanders >= NEARLY_ALL
    }
}

impl Display for Dip {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { seconds, steady: [before, after], waits: [stayed, moved], .. } = self;
        let [whole, staying, least, moving, apart] =
            [self.whole, self.staying, self.least, self.moving, self.bystanders]
                .map(|part| format!("{:.1} %", part * 100.0));
        write!(f, "| {seconds:.1} s | {before:.0}, {after:.0} | {whole} | {staying} | {least} ")?;
        write!(f, "| {stayed:.1} s | {moving} | {moved:.1} s | {apart} |")
    }
}

//! Whether RabbitMQ can be reached and takes messages. Readiness, metric, status page and log all come from here.
//!
//! Each source of trouble has a [`StallReporter`] of its own, so that two of them never overwrite each other. The reporter
//! takes its trouble back when it is dropped: a source that is gone cannot leave a stall behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus::{IntCounter, IntGauge, IntGaugeVec};
use serde::Serialize;

use crate::metrics::Metrics;

/// Why a broker that is connected takes no messages, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stall {
    /// A memory or disk alarm. Reported by the session.
    Blocked,
    /// It confirms nothing: most of its nodes may be away. Reported by the confirm probe, and remembered when the
    /// connection is lost.
    Unconfirmed,
    /// The intake is of a kind that cannot be consumed without loss, or may not be consumed. Reported by what consumes it.
    Intake,
    /// What is published for one account's lane is refused or not confirmed. Reported by the router.
    Lane,
    /// The same of dead letters. Reported by each lane's consumer.
    DeadLetters,
}

impl Stall {
    const ALL: [Self; 5] = [Self::Blocked, Self::Unconfirmed, Self::Intake, Self::Lane, Self::DeadLetters];

    /// The metric's label `reason`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Unconfirmed => "unconfirmed",
            Self::Intake => "intake",
            Self::Lane => "lane",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// Readiness holds up a roll-out. One account's lane is no reason for that, nor are dead letters.
    const fn makes_unready(self) -> bool {
        match self {
            Self::Blocked | Self::Unconfirmed | Self::Intake => true,
            Self::Lane | Self::DeadLetters => false,
        }
    }
}

/// The state of the connection. Shared with readiness and the status page.
#[derive(Debug)]
pub struct BrokerHealth {
    connected: IntGauge,
    reconnects: IntCounter,
    stalled: IntGaugeVec,
    name_taken: IntGauge,
    /// The metrics change only under this lock, or they could stay behind.
    state: Mutex<HealthState>,
}

#[derive(Debug)]
struct HealthState {
    connection: Connection,
    since: Timestamp,
    connected_before: bool,
    /// By the number of the reporter.
    stalls: BTreeMap<(Stall, u64), String>,
    reporters: u64,
    name_taken: bool,
}

#[derive(Debug)]
enum Connection {
    Up,
    Down { why: String },
}

impl HealthState {
    fn is_connected(&self) -> bool {
        matches!(self.connection, Connection::Up)
    }

    /// What is shown of a kind of trouble that several sources may report.
    fn why(&self, stall: Stall) -> Option<&str> {
        self.stalls.range((stall, 0)..=(stall, u64::MAX)).next().map(|(_, why)| why.as_str())
    }
}

/// What the status page shows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthView {
    /// There is a connection.
    pub connected: bool,
    /// When it came, or was lost.
    pub since: Timestamp,
    /// Events can come and go, if perhaps not those of one account.
    pub ready: bool,
    /// Why not, in words without secrets; empty if ready.
    pub why: String,
    /// Another connection goes by this replica's name.
    pub name_taken: bool,
}

impl BrokerHealth {
    /// Not connected yet.
    pub fn new(metrics: &Metrics) -> Self {
        for stall in Stall::ALL {
            metrics.broker_stalled.with_label_values(&[stall.as_str()]).set(0);
        }
        Self {
            connected: metrics.broker_connected.clone(),
            reconnects: metrics.broker_reconnects.clone(),
            stalled: metrics.broker_stalled.clone(),
            name_taken: metrics.replica_name_taken.clone(),
            state: Mutex::new(HealthState {
                connection: Connection::Down { why: "connecting to the broker".to_owned() },
                since: Timestamp::now(),
                connected_before: false,
                stalls: BTreeMap::new(),
                reporters: 0,
                name_taken: false,
            }),
        }
    }

    /// What the status page shows now.
    pub fn view(&self) -> HealthView {
        let state = self.lock();
        let why = match (&state.connection, state.stalls.first_key_value()) {
            (Connection::Down { why }, _) => why.clone(),
            (Connection::Up, Some(((Stall::Intake, _), why))) => {
                format!("the intake cannot be used: {why}")
            }
            (
                Connection::Up,
                Some(((Stall::Blocked | Stall::Unconfirmed | Stall::Lane | Stall::DeadLetters, _), why)),
            ) => {
                format!("the broker takes no messages for now: {why}")
            }
            (Connection::Up, None) => String::new(),
        };
        let unready = state.stalls.keys().any(|(stall, _)| stall.makes_unready());
        HealthView {
            connected: state.is_connected(),
            since: state.since,
            ready: state.is_connected() && !unready,
            why,
            name_taken: state.name_taken,
        }
    }

    /// A connection stands, and everything is declared.
    pub(super) fn connected(&self, address: &str) {
        let mut state = self.lock();
        if state.connected_before {
            self.reconnects.inc();
        }
        state.connected_before = true;
        state.connection = Connection::Up;
        state.since = Timestamp::now();
        self.connected.set(1);
        tracing::info!(broker.address = address, "connected to the broker");
    }

    /// The connection is lost, or could not be made. Until the next one nothing is known of stalls, but for a broker that
    /// confirmed nothing: it has to show first that it does.
    pub(super) fn disconnected(&self, why: &str) {
        let mut state = self.lock();
        let known = matches!(&state.connection, Connection::Down { why: before } if before == why);
        if state.is_connected() {
            state.since = Timestamp::now();
        }
        self.connected.set(0);
        state.connection = Connection::Down { why: why.to_owned() };
        state.stalls.retain(|(stall, _), _| *stall == Stall::Unconfirmed);
        for stall in Stall::ALL.into_iter().filter(|stall| *stall != Stall::Unconfirmed) {
            self.stalled.with_label_values(&[stall.as_str()]).set(0);
        }
        if !known {
            tracing::warn!(why, "not connected to the broker; trying again");
        }
    }

    /// For one source of this kind of trouble.
    pub(super) fn reporter(self: &Arc<Self>, stall: Stall) -> StallReporter {
        let mut state = self.lock();
        state.reporters += 1;
        StallReporter { health: self.clone(), stall, number: state.reporters }
    }

    pub(super) fn is_stalled(&self, stall: Stall) -> bool {
        self.lock().why(stall).is_some()
    }

    /// Whether another connection goes by this replica's name.
    pub(super) fn name_taken(&self, taken: bool) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.name_taken, taken) == taken {
            return;
        }
        self.name_taken.set(i64::from(taken));
        if taken {
            tracing::warn!("another connection goes by this replica's name; set broker.replica");
        } else {
            tracing::info!("no other connection goes by this replica's name any more");
        }
    }

    /// Notes what one source reports; true if that changes what is shown of its kind of trouble.
    fn note(&self, state: &mut HealthState, (stall, number): (Stall, u64), why: Option<&str>) -> bool {
        // The tasks of a lost connection live a little longer than it does.
        if why.is_some() && !state.is_connected() {
            return false;
        }
        let before = state.why(stall).map(str::to_owned);
        match why {
            Some(why) => _ = state.stalls.insert((stall, number), why.to_owned()),
            None => _ = state.stalls.remove(&(stall, number)),
        }
        let now = state.why(stall);
        self.stalled.with_label_values(&[stall.as_str()]).set(i64::from(now.is_some()));
        before.as_deref() != now
    }

    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports one source's trouble of one kind.
#[derive(Debug)]
pub(super) struct StallReporter {
    health: Arc<BrokerHealth>,
    stall: Stall,
    number: u64,
}

impl StallReporter {
    /// Messages do not get through, and why, in words without secrets; or they do.
    pub(super) fn report(&self, why: Option<&str>) {
        let mut state = self.health.lock();
        if self.health.note(&mut state, (self.stall, self.number), why) {
            log(self.stall, state.why(self.stall));
        }
    }

    pub(super) fn stalled(&self, why: &str) {
        self.report(Some(why));
    }

    pub(super) fn clear(&self) {
        self.report(None);
    }
}

impl Drop for StallReporter {
    /// Logs nothing: that the source is gone does not say that messages get through.
    fn drop(&mut self) {
        let mut state = self.health.lock();
        self.health.note(&mut state, (self.stall, self.number), None);
    }
}

fn log(stall: Stall, why: Option<&str>) {
    match (stall, why) {
        (Stall::Intake, Some(why)) => {
            tracing::error!(why, "the intake cannot be used; what waits there stays there");
        }
        (Stall::Intake, None) => tracing::info!("the intake can be used again"),
        (Stall::Blocked | Stall::Unconfirmed | Stall::Lane | Stall::DeadLetters, Some(why)) => {
            tracing::warn!(why, stall = stall.as_str(), "the broker takes no messages for now");
        }
        (Stall::Blocked | Stall::Unconfirmed | Stall::Lane | Stall::DeadLetters, None) => {
            tracing::info!(stall = stall.as_str(), "the broker takes messages again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> (Metrics, Arc<BrokerHealth>) {
        let metrics = Metrics::new().unwrap();
        let health = Arc::new(BrokerHealth::new(&metrics));
        health.connected("broker:5672");
        (metrics, health)
    }

    fn gauge(metrics: &Metrics, stall: Stall) -> i64 {
        metrics.broker_stalled.with_label_values(&[stall.as_str()]).get()
    }

    #[test]
    fn one_lane_that_gets_through_again_does_not_speak_for_another() {
        let (metrics, health) = connected();
        let [acme, globex] = [(); 2].map(|()| health.reporter(Stall::DeadLetters));
        acme.stalled("full");
        globex.stalled("full");
        acme.clear();
        assert_eq!(gauge(&metrics, Stall::DeadLetters), 1);
        drop(globex);
        assert_eq!(gauge(&metrics, Stall::DeadLetters), 0);
        assert!(health.view().ready && health.view().why.is_empty());
    }

    #[test]
    fn a_lane_that_reports_after_the_connection_was_lost_leaves_nothing_stalled() {
        let (metrics, health) = connected();
        let lane = health.reporter(Stall::DeadLetters);
        health.disconnected("the connection was closed");
        lane.stalled("full");
        health.connected("broker:5672");
        assert_eq!(gauge(&metrics, Stall::DeadLetters), 0);
        assert!(!health.is_stalled(Stall::DeadLetters));
    }

    #[test]
    fn lanes_that_report_at_the_same_time_leave_nothing_stalled() {
        const ROUNDS: usize = 200;
        let (metrics, health) = connected();
        for _ in 0..ROUNDS {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let lane = health.reporter(Stall::DeadLetters);
                        lane.stalled("full");
                        lane.clear();
                    });
                }
            });
            assert_eq!(gauge(&metrics, Stall::DeadLetters), 0);
        }
    }

    #[test]
    fn a_broker_that_confirmed_nothing_has_to_show_that_it_does() {
        let (metrics, health) = connected();
        let probe = health.reporter(Stall::Unconfirmed);
        probe.stalled("it confirms nothing");
        health.disconnected("the connection was closed");
        health.connected("broker:5672");
        assert_eq!(gauge(&metrics, Stall::Unconfirmed), 1);
        assert!(!health.view().ready);
        probe.clear();
        assert_eq!(gauge(&metrics, Stall::Unconfirmed), 0);
        assert!(health.view().ready);
    }
}

//! What the pages show, read from the parts of the daemon that know it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::html;
use super::renderer::{Rendered, StatusPage};
use super::snapshot::{AccountRow, Status};
use crate::broker::BrokerHealth;
use crate::fleet::Survey;
use crate::lane::{LaneRoster, LaneStatus, Stuck};
use crate::metrics::Metrics;

/// Where the pages read from.
#[derive(Debug)]
pub struct StatusSources {
    /// For `/metrics`, and the numbers of each account.
    pub metrics: Arc<Metrics>,
    /// This replica, and with it the fleet.
    pub fleet: Arc<Survey>,
    /// One per account.
    pub lanes: LaneRoster,
    /// How long a lane may settle nothing before it counts as stuck.
    pub stuck_after: Duration,
    /// `None` if events come from a file.
    pub broker: Option<Arc<BrokerHealth>>,
    /// This replica's name.
    pub replica: String,
    /// When the daemon started.
    pub started: Timestamp,
}

impl StatusSources {
    fn status(&self) -> Status {
        let totals = self.metrics.totals();
        let fleet = self.fleet.fleet(Instant::now(), Timestamp::now());
        let row = |lane: &Arc<LaneStatus>| {
            let stuck = lane.stuck(self.stuck_after);
            let lane = lane.view();
            let totals = totals.get(&*lane.account).copied().unwrap_or_default();
            let known = fleet.accounts.iter().find(|known| *known.account == *lane.account);
            let (replica, waiting) =
                known.map(|known| (known.replica.clone(), known.waiting)).unwrap_or_default();
            AccountRow { lane, stuck, totals, replica, waiting }
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            replica: self.replica.clone(),
            started: self.started,
            broker: self.broker.as_ref().map(|health| health.view()),
            accounts: self.lanes.lanes().iter().map(row).collect(),
            not_configured: self.lanes.removed(),
            replicas: fleet.replicas,
        }
    }

    pub(super) fn render(&self, page: StatusPage) -> Rendered {
        match page {
            StatusPage::Html => {
                html::render(&self.status()).map(Into::into).map_err(|error| error.to_string())
            }
            StatusPage::Json => {
                serde_json::to_vec(&self.status()).map(Into::into).map_err(|error| error.to_string())
            }
            StatusPage::Metrics => self.metrics.render().map(Into::into).map_err(|error| error.to_string()),
        }
    }

    /// Why the daemon must be restarted. Another replica takes over a lane that is stuck for good only then.
    pub(super) fn not_alive(&self) -> Option<String> {
        let lanes = self.lanes.lanes();
        let stuck_for_good = lanes.iter().filter_map(|lane| {
            let Stuck { seconds, events, why, .. } =
                lane.stuck(self.stuck_after).filter(|stuck| stuck.needs_restart)?;
            let account = lane.view().account;
            Some(format!("not alive: {account} is stuck with {events} events for {seconds} s: {why}\n"))
        });
        Some(stuck_for_good.collect()).filter(|lines: &String| !lines.is_empty())
    }

    /// Why no events are consumed and published.
    pub(super) fn not_ready(&self) -> Option<String> {
        let view = self.broker.as_ref().map(|health| health.view()).filter(|view| !view.ready)?;
        Some(format!("not ready: {}\n", view.why))
    }
}

//! What the pages show, read from the parts of the daemon that know it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::admin::AdminAccess;
use super::alive_signal::AliveSignal;
use super::json;
use super::letters::{self, LetterPort};
use super::pages::{self, LettersShown};
use super::renderer::{RenderError, Rendered, StatusPage};
use super::view::snapshot::Snapshot;
use crate::broker::BrokerHealth;
use crate::fleet::Survey;
use crate::lane::{AppliedSettings, LaneRoster, Stuck};
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
    /// `None` if events come from a file.
    pub letters: Option<LetterPort>,
    #[expect(missing_docs, reason = "described at its type")]
    pub admin: AdminAccess,
    /// For whoever watches from outside, if anybody does.
    pub alive_signal: Option<AliveSignal>,
}

impl StatusSources {
    fn snapshot(&self) -> Snapshot {
        let at = Timestamp::now();
        Snapshot {
            at,
            replica: self.fleet.name().to_owned(),
            started: self.fleet.since(),
            broker: self.broker.as_ref().map(|health| health.view()),
            fleet: self.fleet.fleet(Instant::now(), at),
            removed: self.lanes.removed(),
        }
    }

    /// An account's settings, as its lane here applies them.
    fn settings(&self, account: &str) -> Option<Arc<AppliedSettings>> {
        self.lanes.lanes().iter().find(|lane| **lane.account() == *account)?.facts().settings
    }

    pub(super) fn render(&self, page: &StatusPage) -> Rendered {
        let html = |page: Result<String, askama::Error>| page.map(Into::into).map_err(RenderError::failed);
        match page {
            StatusPage::Accounts(query) => html(pages::index(&self.snapshot(), query)),
            StatusPage::Account(name) => match pages::account(&self.snapshot(), name, self.settings(name)) {
                Some(page) => html(page),
                None => Err(RenderError::NotFound),
            },
            StatusPage::Replicas => html(pages::replicas(&self.snapshot())),
            StatusPage::Letters(viewer) => {
                let (now, letters) = (Timestamp::now(), self.letters.as_ref().map(LetterPort::state));
                let queues = self.fleet.fleet(Instant::now(), now).queues;
                let replica = self.fleet.name();
                let shown = LettersShown { replica, now, state: letters.as_ref(), queues: &queues };
                html(pages::dead_letters(&shown, *viewer))
            }
            StatusPage::LettersJson => {
                let letters = self.letters.as_ref().ok_or(RenderError::NotFound)?.state();
                let queues = self.fleet.fleet(Instant::now(), Timestamp::now()).queues;
                letters::json::letters(self.fleet.name(), &letters, &queues)
                    .map(Into::into)
                    .map_err(RenderError::failed)
            }
            StatusPage::Status(query, account) => {
                json::status(&self.snapshot(), &self.metrics.totals(), (query, account.as_deref()))
                    .map(Into::into)
                    .map_err(RenderError::failed)
            }
            StatusPage::AccountStatus(name) => {
                let account = json::account(&self.snapshot(), name, self.settings(name))
                    .ok_or(RenderError::NotFound)?;
                account.map(Into::into).map_err(RenderError::failed)
            }
            StatusPage::Metrics => self.metrics.render().map(Into::into).map_err(RenderError::failed),
        }
    }

    /// Why the daemon must be restarted. Another replica takes over a lane that is stuck for good only then.
    pub(super) fn not_alive(&self) -> Option<String> {
        let lanes = self.lanes.lanes();
        let stuck_for_good = lanes.iter().filter_map(|lane| {
            let Stuck { seconds, events, why, .. } =
                lane.stuck(self.stuck_after).filter(|stuck| stuck.needs_restart)?;
            let account = lane.account();
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

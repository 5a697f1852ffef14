//! The lanes that run, one for each account of the configuration. Starts, changes and ends them, and is the only place
//! where the set of them changes; the broker, the pages and the watchdog are shown each new set.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::broker::LaneSet;
use crate::config::{AccountConfig, AccountSecrets};
use crate::delivery::{AccountName, LaneInlet};
use crate::freshsales::{Client, Credentials, HttpTransport};
use crate::lane::{Lane, LaneChanges, LaneRoster, LaneStatus, RemovedAccount, Settings};
use crate::metrics::Metrics;
use crate::routing::{AccountIndex, AccountKeys};
use crate::tls::Authorities;

/// An account, and what the files and variables hold that its configuration names.
pub(in crate::cli) struct ConfiguredAccount {
    pub(in crate::cli) account: AccountConfig,
    pub(in crate::cli) secrets: AccountSecrets,
    /// Those of `ca_file`.
    pub(in crate::cli) authorities: Option<Authorities>,
}

impl ConfiguredAccount {
    pub(in crate::cli) fn client(&self, transport: &HttpTransport) -> Client {
        let Self { account, secrets, .. } = self;
        let AccountSecrets { api_key, app_token } = secrets.clone();
        let credentials = Credentials { base_url: account.url.as_str().to_owned(), api_key, app_token };
        Client::new(transport, credentials)
    }

    /// A client of its own, for a command: it trusts what `ca_file` names.
    pub(in crate::cli) fn own_client(&self, transport: &HttpTransport) -> Result<Client, String> {
        let Some(authorities) = &self.authorities else { return Ok(self.client(transport)) };
        match transport.trusting(authorities) {
            Ok(trusting) => Ok(self.client(&trusting)),
            Err(error) => Err(format!("account {}: ca_file: {error}", self.account.name)),
        }
    }
}

/// What another configuration changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ChangedLanes {
    pub(in crate::cli) added: Vec<AccountName>,
    pub(in crate::cli) changed: Vec<ChangedLane>,
    pub(in crate::cli) removed: Vec<AccountName>,
    /// How many stayed as they were.
    pub(in crate::cli) unchanged: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct ChangedLane {
    pub(in crate::cli) account: AccountName,
    /// Of `api_key`, `app_token` and `ca_file`, those whose contents are others, even if they are kept in the same place.
    pub(in crate::cli) secrets: Vec<&'static str>,
}

pub(in crate::cli) struct RunningLanes {
    settings: Settings,
    transport: HttpTransport,
    /// One for each different `ca_file` that is in use, so that accounts share connections and certificates.
    trusting: HashMap<Authorities, HttpTransport>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    lanes: HashMap<AccountName, RunningLane>,
    removed: Vec<RemovedAccount>,
    roster: LaneRoster,
    shown: watch::Sender<Arc<LaneSet>>,
    next_number: usize,
    /// One for each lane, also for those that were removed and have calls in flight.
    tasks: JoinSet<()>,
    accounts_of_tasks: HashMap<Id, AccountName>,
}

struct RunningLane {
    number: usize,
    configured: ConfiguredAccount,
    status: Arc<LaneStatus>,
    inlet: LaneInlet,
    changes: LaneChanges,
}

impl RunningLanes {
    /// No lanes yet. Each stops with `stop`.
    pub(in crate::cli) fn new(
        settings: Settings,
        transport: HttpTransport,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            settings,
            transport,
            trusting: HashMap::new(),
            metrics,
            stop,
            lanes: HashMap::new(),
            removed: Vec::new(),
            roster: LaneRoster::default(),
            shown: watch::Sender::default(),
            next_number: 0,
            tasks: JoinSet::new(),
            accounts_of_tasks: HashMap::new(),
        }
    }

    /// The lanes, for those who look at them.
    pub(in crate::cli) fn roster(&self) -> LaneRoster {
        self.roster.clone()
    }

    /// The lanes, for those who feed them.
    pub(in crate::cli) fn shown(&self) -> watch::Receiver<Arc<LaneSet>> {
        self.shown.subscribe()
    }

    /// Has exactly these lanes run, and touches none that stays as it was. A lane whose account has another url is another
    /// lane: what the old one knows is not true of it.
    pub(in crate::cli) fn apply(&mut self, configured: Vec<ConfiguredAccount>) -> ChangedLanes {
        let mut changes = ChangedLanes::default();
        let keys: Vec<_> = configured.iter().map(|configured| keys(&configured.account)).collect();
        let mut before = std::mem::take(&mut self.lanes);
        let mut ended = Vec::new();
        let (mut statuses, mut inlets) = (Vec::new(), Vec::new());
        for configured in configured {
            let name = configured.account.name.clone();
            let lane = match before.remove(&name) {
                None => {
                    changes.added.push(name.clone());
                    self.start(configured)
                }
                Some(lane) => {
                    let secrets = other_contents(&lane.configured, &configured);
                    if secrets.is_empty() && lane.configured.account == configured.account {
                        changes.unchanged += 1;
                        lane
                    } else {
                        changes.changed.push(ChangedLane { account: name.clone(), secrets });
                        if lane.configured.account.url == configured.account.url {
                            self.change(lane, configured)
                        } else {
                            ended.push(lane);
                            self.start(configured)
                        }
                    }
                }
            };
            statuses.push(lane.status.clone());
            inlets.push((lane.number, lane.inlet.clone()));
            self.lanes.insert(name, lane);
        }
        let lanes = &self.lanes;
        let used = |authorities: &Authorities| {
            lanes.values().any(|lane| lane.configured.authorities.as_ref() == Some(authorities))
        };
        self.trusting.retain(|authorities, _| used(authorities));
        self.removed.retain(|removed| !self.lanes.contains_key(&removed.account));
        for (account, lane) in before {
            self.removed.push(RemovedAccount { account: account.clone(), removed: Timestamp::now() });
            changes.removed.push(account);
            ended.push(lane);
        }
        changes.removed.sort();
        let index = Arc::new(AccountIndex::new(&keys));
        self.roster.show(statuses, self.removed.clone());
        // Before the old ones stop, so that nobody consumes their queues again.
        self.shown.send_replace(Arc::new(LaneSet { index, inlets: inlets.into_iter().collect() }));
        for lane in ended {
            lane.inlet.stop.cancel();
        }
        changes
    }

    fn start(&mut self, configured: ConfiguredAccount) -> RunningLane {
        let account = &configured.account;
        let name = account.name.clone();
        let metrics = self.metrics.account(&name);
        let client = self.client(&configured);
        let lane = Lane::new(account, client, metrics.clone(), self.settings);
        let (sessions_in, sessions) = mpsc::channel(1);
        let stop = self.stop.child_token();
        let running = RunningLane {
            number: self.next_number,
            status: lane.status(),
            inlet: LaneInlet { account: name.clone(), sessions: sessions_in, metrics, stop: stop.clone() },
            changes: lane.changes(),
            configured,
        };
        self.next_number += 1;
        // A future that takes a large value whole has room for it twice.
        let task = self.tasks.spawn(Box::new(lane).run(sessions, stop));
        self.accounts_of_tasks.insert(task.id(), name);
        running
    }

    fn change(&mut self, lane: RunningLane, configured: ConfiguredAccount) -> RunningLane {
        lane.changes.apply(configured.account.clone(), self.client(&configured));
        RunningLane { configured, ..lane }
    }

    fn client(&mut self, configured: &ConfiguredAccount) -> Client {
        configured.client(self.transport(configured.authorities.as_ref()))
    }

    fn transport(&mut self, authorities: Option<&Authorities>) -> &HttpTransport {
        let Some(authorities) = authorities else { return &self.transport };
        match self.trusting.entry(authorities.clone()) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => match self.transport.trusting(authorities) {
                Ok(transport) => place.insert(transport),
                Err(error) => {
                    tracing::error!(error = %error, "the certificates of an account's ca_file cannot be used");
                    &self.transport
                }
            },
        }
    }

    /// Waits until a lane has ended; false if none runs. The metrics of an account that was removed go with its lane.
    pub(in crate::cli) async fn one_ended(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next_with_id().await else { return false };
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        if let Some(account) = self.accounts_of_tasks.remove(&id)
            && !self.lanes.contains_key(&account)
            && !self.accounts_of_tasks.values().any(|other| *other == account)
        {
            self.metrics.remove_account(&account);
        }
        true
    }

    /// The lanes' tasks alone: a lane ends when the source of its events has let go of it.
    pub(in crate::cli) fn into_tasks(self) -> JoinSet<()> {
        self.tasks
    }
}

pub(in crate::cli) fn keys(account: &AccountConfig) -> AccountKeys {
    AccountKeys {
        name: account.name.clone(),
        write_keys: account.sources.write_keys.clone(),
        project_ids: account.sources.project_ids.clone(),
    }
}

fn other_contents(before: &ConfiguredAccount, now: &ConfiguredAccount) -> Vec<&'static str> {
    let mut others = Vec::new();
    if before.authorities != now.authorities {
        others.push("ca_file");
    }
    let (before, now) = (&before.secrets, &now.secrets);
    if before.api_key.expose_secret() != now.api_key.expose_secret() {
        others.push("api_key");
    }
    let token =
        |secrets: &AccountSecrets| secrets.app_token.as_ref().map(|token| token.expose_secret().to_owned());
    if token(before) != token(now) {
        others.push("app_token");
    }
    others
}

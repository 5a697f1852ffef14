//! Reads the configuration again at each SIGHUP: checks all of it, and then applies it or leaves everything as it was.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use super::engine;
use super::running_lanes::{ChangedLanes, ConfiguredAccount, RunningLanes};
use super::service_manager::ServiceManager;
use crate::cli::config_file::ConfigFile;
use crate::config::{self, ConfigError, ConfigProblem, SecretsNeeded, WrittenKeys};
use crate::fleet::{ConfigMark, Survey};
use crate::metrics::Metrics;

/// Files may be on a network that hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The most accounts, or mistakes, that are named in the log.
const NAMED: usize = 20;

/// The configuration, from one reading to the next.
pub(in crate::cli) struct Reload {
    file: ConfigFile,
    hangups: Signal,
    service: ServiceManager,
    metrics: Arc<Metrics>,
    survey: Arc<Survey>,
    /// As it was at the start: what is outside `[[accounts]]` is in use like that.
    started: WrittenKeys,
    applied: WrittenKeys,
}

struct Reading {
    written: WrittenKeys,
    accounts: Vec<ConfiguredAccount>,
}

impl Reload {
    /// `started` is in use already.
    pub(in crate::cli) fn new(
        file: ConfigFile,
        hangups: Signal,
        service: ServiceManager,
        metrics: Arc<Metrics>,
        survey: Arc<Survey>,
        started: WrittenKeys,
    ) -> Self {
        let reload = Self { file, hangups, service, metrics, survey, applied: started.clone(), started };
        reload.count_success();
        reload
    }

    /// Reads at each SIGHUP and keeps account of lanes that end, until `stop`.
    pub(in crate::cli) async fn serve(mut self, lanes: &mut RunningLanes, stop: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(()) = self.hangups.recv() => {
                    if stop.run_until_cancelled(self.reload(lanes)).await.is_none() {
                        return;
                    }
                }
                true = lanes.one_ended() => {}
                else => return stop.cancelled().await,
            }
        }
    }

    async fn reload(&mut self, lanes: &mut RunningLanes) {
        self.service.reloading().await;
        self.read_and_apply(lanes).await;
        self.service.ready().await;
    }

    async fn read_and_apply(&mut self, lanes: &mut RunningLanes) {
        match self.read().await {
            Ok(Reading { written, accounts }) => {
                // Nothing waits in between: the broker and the pages see all of it or nothing.
                let changes = lanes.apply(accounts);
                self.log(&changes, &written);
                self.applied = written;
                self.count_success();
            }
            Err(problems) => {
                self.metrics.config_last_reload_successful.set(0);
                for problem in first(problems) {
                    tracing::error!(
                        problem,
                        "the configuration that was read again is wrong; everything stays as it was"
                    );
                }
            }
        }
    }

    async fn read(&self) -> Result<Reading, Vec<String>> {
        let file = self.file.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let config = file.read(SecretsNeeded::All).map_err(problems)?;
            let accounts =
                engine::configured(&config, &config::environment).map_err(|problem| vec![problem])?;
            Ok(Reading { written: config.written, accounts })
        });
        match tokio::time::timeout(READ_TIMEOUT, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => Err(vec![format!("reading it panicked: {error}; this is a bug")]),
            Err(_) => Err(vec![format!(
                "it or a file that it names could not be read within {} s",
                READ_TIMEOUT.as_secs()
            )]),
        }
    }

    fn count_success(&self) {
        let (hash, loaded_at) = (self.applied.digest(), Some(Timestamp::now()));
        self.survey.set_config(ConfigMark { hash, loaded_at });
        self.metrics.config_last_reload_successful.set(1);
        self.metrics.config_last_reload_success_timestamp.set(Timestamp::now().as_duration().as_secs_f64());
    }

    fn log(&self, changes: &ChangedLanes, written: &WrittenKeys) {
        let ChangedLanes { added, changed, removed, unchanged } = changes;
        let changed = changed.iter().map(|lane| {
            let mut keys = self.applied.other_keys_of(written, &lane.account);
            for secret in &lane.secrets {
                if !keys.iter().any(|key| key == secret) {
                    keys.push((*secret).to_owned());
                }
            }
            format!("{} ({})", lane.account, keys.join(", "))
        });
        let restart = self.started.other_keys(written);
        tracing::info!(
            added = named(added.iter().map(ToString::to_string)),
            changed = named(changed),
            removed = named(removed.iter().map(ToString::to_string)),
            unchanged,
            after_restart = named(restart.into_iter()),
            "the configuration was read again"
        );
    }
}

/// The mistakes of a configuration, each in a line.
fn problems(error: ConfigError) -> Vec<String> {
    match error {
        ConfigError::Invalid { problems, .. } => problems.iter().map(ConfigProblem::in_one_line).collect(),
        other @ ConfigError::Unreadable { .. } => vec![other.to_string()],
    }
}

/// The first mistakes, and how many there are more.
fn first(mut problems: Vec<String>) -> Vec<String> {
    let more = problems.len().saturating_sub(NAMED);
    problems.truncate(NAMED);
    if more > 0 {
        problems.push(format!("{more} more; `freshet check --offline` shows all"));
    }
    problems
}

/// The first of them, in words; nothing if there are none.
fn named(mut names: impl Iterator<Item = String>) -> Option<String> {
    let mut text = names.by_ref().take(NAMED).collect::<Vec<_>>().join(", ");
    let more = names.count();
    if more > 0 {
        write!(text, " and {more} more").ok();
    }
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_few_and_counts_the_rest() {
        let names = |count: usize| named((0..count).map(|number| number.to_string()));
        assert_eq!(names(0), None);
        assert_eq!(names(2).as_deref(), Some("0, 1"));
        assert!(names(500).is_some_and(|text| text.ends_with("18, 19 and 480 more")));
    }
}

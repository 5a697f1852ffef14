//! `freshet sandbox`: serves a stand-in for one Freshsales account.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::running::engine;
use super::terminal::output::{Failure, print};
use crate::config::parse_duration;
use crate::sandbox::{self, FieldFiles, JobOptions, Options, ReadOptions};

#[derive(Debug, clap::Args)]
pub(super) struct SandboxArguments {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    #[arg(
        long,
        value_name = "DIR",
        help = "Folder with field metadata: contacts.json, sales_accounts.json, deals.json, sales_activities.json; built-in fields replace missing files"
    )]
    fields: Option<PathBuf>,
    /// API calls allowed per hour [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_hour: Option<u32>,
    /// Delay of every answer, such as 200ms [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = wait)]
    latency: Option<Duration>,
    /// Duration of a bulk job, such as 5s, or 1s..8s for jobs that differ [default: 300ms]
    #[arg(long, value_name = "DURATION", value_parser = waits)]
    job_time: Option<(Duration, Duration)>,
    /// How long look-ups and searches miss new records, such as 20s [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = wait)]
    search_delay: Option<Duration>,
}

/// A duration as in the configuration, or zero.
fn wait(text: &str) -> Result<Duration, String> {
    let nothing = matches!(text.trim(), "0" | "0s" | "0ms");
    if nothing { Ok(Duration::ZERO) } else { parse_duration(text) }
}

/// One duration, or the shortest and the longest.
fn waits(text: &str) -> Result<(Duration, Duration), String> {
    let Some((shortest, longest)) = text.split_once("..") else {
        return wait(text).map(|duration| (duration, duration));
    };
    let waits = (wait(shortest)?, wait(longest)?);
    if waits.0 > waits.1 {
        return Err(format!("{longest} is shorter than {shortest}; write the shorter one first"));
    }
    Ok(waits)
}

pub(super) async fn run(arguments: SandboxArguments) -> Result<(), Failure> {
    let fields = match &arguments.fields {
        Some(folder) => FieldFiles::load(folder).map_err(|error| Failure::Usage(error.to_string()))?,
        None => FieldFiles::built_in(),
    };
    let default = Options::default();
    let (shortest, longest) = arguments.job_time.unwrap_or((default.jobs.shortest, default.jobs.longest));
    let search_delay = arguments.search_delay.unwrap_or_default();
    let options = Options {
        fields,
        requests_per_hour: arguments.requests_per_hour,
        latency: arguments.latency.unwrap_or(default.latency),
        jobs: JobOptions { shortest, longest, ..default.jobs },
        reads: ReadOptions { search_delay, ..default.reads },
        ..default
    };
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        Failure::Failed(format!("cannot listen on {}: {error}; try --listen", arguments.listen))
    })?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    print(format!(
        "The sandbox stands in for a Freshsales account at http://{address}\n\
         What it holds: http://{address}/  as JSON: http://{address}/_sandbox/state\n\
         Any API key and app token will do. Stop it with Ctrl-C.\n"
    ))?;
    let stop = CancellationToken::new();
    let _signals = engine::stop_on_signals(stop.clone())?;
    sandbox::serve(listener, options, stop).await.map_err(Failure::failed)
}

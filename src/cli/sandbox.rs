//! `freshet sandbox`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Failure, engine, say};
use crate::config::parse_duration;
use crate::sandbox::{self, FieldFiles, Options};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    #[arg(
        long,
        value_name = "DIR",
        help = "Field metadata: contacts.json, sales_accounts.json, deals.json; what is missing is built in"
    )]
    fields: Option<PathBuf>,
    /// API calls allowed in an hour; 1000 if not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_hour: Option<u32>,
    /// How long every call takes, such as 200ms
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    latency: Option<Duration>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let fields = match &arguments.fields {
        Some(folder) => FieldFiles::load(folder).map_err(|error| Failure::Usage(error.to_string()))?,
        None => FieldFiles::built_in(),
    };
    let options = Options {
        fields,
        requests_per_hour: arguments.requests_per_hour,
        latency: arguments.latency.unwrap_or_default(),
        ..Options::default()
    };
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        Failure::Failed(format!("cannot listen on {}: {error}; try --listen", arguments.listen))
    })?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    say(format!(
        "The sandbox stands in for a Freshsales account at http://{address}\n\
         What it holds: http://{address}/  as JSON: http://{address}/_sandbox/state\n\
         Any API key and app token will do. Stop it with Ctrl-C.\n"
    ))?;
    let stop = CancellationToken::new();
    let _signals = engine::stop_on_signals(stop.clone())?;
    sandbox::serve(listener, options, stop).await.map_err(Failure::failed)
}

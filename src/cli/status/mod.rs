//! `freshet status`: what a running replica says of itself.

mod shown;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use super::config_file::ConfigFile;
use super::terminal::output::{Failure, print};
use super::terminal::table::printable;
use crate::config::SecretsNeeded;
use crate::status::{self, PageAnswer};
use shown::ReplicaStatus;

/// The pages end a connection after 15 s.
const STATUS_DEADLINE: Duration = Duration::from_secs(15);
/// `/readyz` answers within two seconds even if the daemon hangs.
const READY_DEADLINE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Where the replica serves its pages; without it, the `http.listen` of the configuration
    #[arg(long, value_name = "URL", value_parser = page_url)]
    url: Option<Url>,
    /// Only ask whether the replica is ready: the exit status is 0 or 1, and standard error says why not
    #[arg(long, conflicts_with = "json")]
    ready: bool,
    /// Print what `/api/status` answers, on one line
    #[arg(long)]
    json: bool,
}

fn page_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "expected an address such as http://127.0.0.1:9464".to_owned())?;
    if url.scheme() != "http" {
        return Err("a replica serves plain http only; name it as http://host:port".to_owned());
    }
    if url.host_str().is_none() {
        return Err("the host is missing; expected an address such as http://127.0.0.1:9464".to_owned());
    }
    Ok(url)
}

pub(super) async fn run(arguments: StatusArguments) -> Result<(), Failure> {
    let (authority, prefix) = place(&arguments)?;
    if arguments.ready {
        return ready(&authority, &prefix).await;
    }
    let path = format!("{prefix}/api/status");
    let PageAnswer { status, body } =
        status::ask(&authority, &path, STATUS_DEADLINE).await.map_err(Failure::failed)?;
    let read = (status == 200).then(|| ReplicaStatus::read(&body)).flatten();
    let Some(read) = read else {
        return Err(Failure::Failed(format!(
            "{authority} answers {path} with HTTP {status}, and not as a replica does; another program may listen there"
        )));
    };
    if arguments.json { print(read.one_line() + "\n") } else { print(read.table(Timestamp::now())) }
}

/// Host and port, and what stands before the pages' paths.
fn place(arguments: &StatusArguments) -> Result<(String, String), Failure> {
    if let Some(url) = &arguments.url {
        let host = url.host_str().unwrap_or_default();
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or(80));
        return Ok((authority, url.path().trim_end_matches('/').to_owned()));
    }
    let listen = arguments.config.load(SecretsNeeded::None)?.http.listen;
    if listen.port() == 0 {
        let message = "`http.listen` takes any free port; name the one that the log says with --url";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok((reached(listen).to_string(), String::new()))
}

/// The address under which this machine reaches one that is listened on.
fn reached(listen: SocketAddr) -> SocketAddr {
    let here = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    };
    SocketAddr::new(here, listen.port())
}

async fn ready(authority: &str, prefix: &str) -> Result<(), Failure> {
    let path = format!("{prefix}/readyz");
    let not_ready = |why: String| Failure::Failed(format!("not ready: {why}"));
    let PageAnswer { status, body } =
        status::ask(authority, &path, READY_DEADLINE).await.map_err(|error| not_ready(error.to_string()))?;
    match (status, body.trim()) {
        (200, "ready") => Ok(()),
        (503, why) if why.starts_with("not ready: ") => Err(Failure::Failed(printable(why))),
        (status, _) => Err(not_ready(format!(
            "{authority} answers {path} with HTTP {status}, and not as a replica does; another program may listen there"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_everybody_is_reached_at_home() {
        for (listen, expected) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(reached(listen.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn only_an_address_of_plain_http_is_taken() {
        for (text, taken) in [
            ("http://127.0.0.1:9464", true),
            ("http://worker-0", true),
            ("http://[::1]:9464/freshet/", true),
            ("https://worker-0", false),
            ("127.0.0.1:9464", false),
            ("worker-0", false),
            ("", false),
        ] {
            assert_eq!(page_url(text).is_ok(), taken, "{text}");
        }
    }
}

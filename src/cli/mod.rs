//! The commands, a file each. Here the parts are put together; nothing else knows all of them.

mod demo;
mod engine;
mod feed;
mod files;
mod publish;
mod run;
mod sandbox;
mod summary;

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config;

/// Carries Segment events from RabbitMQ into Freshsales accounts, and loses none.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
#[command(after_help = "Try it without anything else: freshet demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The daemon: consume, deliver, settle, until SIGTERM or SIGINT
    #[command(
        after_help = "Examples:\n  freshet run --config /etc/freshet.toml\n  freshet run --events backfill.ndjson.gz --dead-letters failed.ndjson"
    )]
    Run(run::Arguments),
    /// Shows the whole engine at work on example events; needs nothing else
    #[command(after_help = "Example:\n  freshet demo --keep-running")]
    Demo(demo::Arguments),
    /// Puts events on the queue with publisher confirms
    #[command(after_help = "Example:\n  freshet publish events.ndjson.gz --account acme")]
    Publish(publish::Arguments),
    /// A local stand-in for one Freshsales account
    #[command(
        after_help = "Example:\n  freshet sandbox --listen 127.0.0.1:8090 --requests-per-hour 1000 --latency 200ms"
    )]
    Sandbox(sandbox::Arguments),
    /// Shell completions
    #[command(after_help = "Example:\n  freshet completions bash > /etc/bash_completion.d/freshet")]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    #[arg(long, value_name = "FILE", help = "The configuration; else $FRESHET_CONFIG, else ./freshet.toml")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn load(&self) -> Result<config::Config, Failure> {
        let path = config::path(self.config.clone());
        config::load(&path, &config::environment).map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// Why a command did not do what it was asked to; decides the exit status.
#[derive(Debug)]
enum Failure {
    /// 1
    Failed(String),
    /// 64: wrong usage or configuration.
    Usage(String),
    /// 75: the broker or the API cannot be reached in time.
    Unreachable(String),
}

impl Failure {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

const USAGE: u8 = 64;
const UNREACHABLE: u8 = 75;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way, too.
            let code = if error.use_stderr() { USAGE } else { 0 };
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(cli.run());
    // A thread that reads standard input would keep the process for as long as nobody writes.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (text, code) = match failure {
                Failure::Failed(text) => (text, 1),
                Failure::Usage(text) => (text, USAGE),
                Failure::Unreachable(text) => (text, UNREACHABLE),
            };
            complain(&text);
            ExitCode::from(code)
        }
    }
}

/// Says on standard error what went wrong. Where nobody can be told, the exit status still tells it.
fn complain(text: &str) {
    writeln!(std::io::stderr(), "freshet: {text}").ok();
}

/// Says something on standard output. A reader that has gone has read enough.
fn say(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Cli {
    async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Run(arguments) => run::run(arguments).await,
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Publish(arguments) => publish::run(arguments).await,
            Command::Sandbox(arguments) => sandbox::run(arguments).await,
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "freshet", &mut script);
                say(script)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_shows_an_example() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }

    #[test]
    fn the_sandbox_may_be_told_to_wait_for_nothing() {
        for option in ["--latency", "--job-time", "--search-delay"] {
            for (value, taken) in [("0s", true), ("0", true), ("20s", true), ("20", false), ("x", false)] {
                let parsed = Cli::try_parse_from(["freshet", "sandbox", option, value]);
                assert_eq!(parsed.is_ok(), taken, "{option} {value}");
            }
        }
    }
}

//! The commands, one file each. They put the rooms together, and nothing else may use all of them.

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
    /// Run the daemon: deliver events from RabbitMQ until SIGTERM or SIGINT
    #[command(
        after_help = "Examples:\n  freshet run --config /etc/freshet.toml\n  freshet run --events backfill.ndjson.gz --dead-letters failed.ndjson"
    )]
    Run(run::RunArguments),
    /// Deliver example events to two sandboxes; needs no RabbitMQ and no account
    #[command(after_help = "Example:\n  freshet demo --keep-running")]
    Demo(demo::DemoArguments),
    /// Publish events from a file to the queue, each confirmed by RabbitMQ
    #[command(after_help = "Example:\n  freshet publish events.ndjson.gz --account acme")]
    Publish(publish::PublishArguments),
    /// Serve a local stand-in for one Freshsales account
    #[command(
        after_help = "Example:\n  freshet sandbox --listen 127.0.0.1:8090 --requests-per-hour 1000 --latency 200ms"
    )]
    Sandbox(sandbox::SandboxArguments),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  freshet completions bash > /etc/bash_completion.d/freshet")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    #[arg(
        long,
        value_name = "FILE",
        help = "Configuration file; without it $FRESHET_CONFIG, else ./freshet.toml"
    )]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn load(&self) -> Result<config::Config, Failure> {
        let path = config::path(self.config.clone());
        config::load(&path, &config::environment).map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// Why a command failed, which decides the exit status.
#[derive(Debug)]
enum Failure {
    /// 1
    Failed(String),
    /// 1, after the reason was logged.
    Logged,
    /// 64: wrong arguments or configuration.
    Usage(String),
    /// 75: RabbitMQ cannot be reached.
    Unreachable(String),
}

impl Failure {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

const USAGE: u8 = 64;
const UNREACHABLE: u8 = 75;

/// Runs the command that the process was started with, and returns its exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are errors to clap.
            let code = if error.use_stderr() { USAGE } else { 0 };
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(cli.run());
    // Waiting for a thread that reads standard input could take for ever.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (text, code) = match failure {
                Failure::Logged => return ExitCode::FAILURE,
                Failure::Failed(text) => (text, 1),
                Failure::Usage(text) => (text, USAGE),
                Failure::Unreachable(text) => (text, UNREACHABLE),
            };
            print_error(&text);
            ExitCode::from(code)
        }
    }
}

/// Writes to standard error. If that fails, the exit status remains.
fn print_error(text: &str) {
    writeln!(std::io::stderr(), "freshet: {text}").ok();
}

/// Writes to standard output. A closed pipe is no failure: its reader has read enough.
fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
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
                print(script)
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
    fn the_sandbox_s_waits_may_be_zero() {
        for option in ["--latency", "--job-time", "--search-delay"] {
            for (value, taken) in [("0s", true), ("0", true), ("20s", true), ("20", false), ("x", false)] {
                let parsed = Cli::try_parse_from(["freshet", "sandbox", option, value]);
                assert_eq!(parsed.is_ok(), taken, "{option} {value}");
            }
        }
    }
}

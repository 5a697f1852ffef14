//! The commands, one file each. They put the rooms together, and nothing else may use all of them.

mod check;
mod config_file;
mod dead_letters;
mod demo;
mod explain;
mod fields;
mod letters;
mod man_pages;
mod publish;
mod run;
mod running;
mod sandbox;
mod status;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use terminal::exit_status::with_exit_statuses;
use terminal::output::{Failure, print, print_error};

/// Carries Segment events from RabbitMQ into Freshsales accounts, and loses none.
#[derive(Debug, Parser)]
#[command(version = env!("BUILD_VERSION"), max_term_width = 100)]
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
    /// Look at the configuration, RabbitMQ and every account, and say what to do; changes nothing
    #[command(
        after_help = "Examples:\n  freshet check\n  freshet check --account acme --json\n  freshet check --offline --deny-warnings    # in CI: no network, no secrets"
    )]
    Check(check::CheckArguments),
    /// Deliver example events to two sandboxes; needs no RabbitMQ and no account
    #[command(after_help = "Example:\n  freshet demo --keep-running")]
    Demo(demo::DemoArguments),
    /// Publish events from a file to the queue, each confirmed by RabbitMQ
    #[command(after_help = "Example:\n  freshet publish events.ndjson.gz --account acme")]
    Publish(publish::PublishArguments),
    /// Say what would become of events, and why; sends nothing
    #[command(
        after_help = "Examples:\n  freshet explain events.ndjson --account acme\n  freshet explain plan.ndjson --fields fields/ --only-bad\n  freshet explain plan.ndjson --fields fields/ --deny-warnings    # in CI: no network, no keys\n  freshet explain --dead-letters --account acme --since 2h"
    )]
    Explain(explain::ExplainArguments),
    /// List the fields of accounts as senders must write them
    #[command(
        after_help = "Examples:\n  freshet fields --account acme\n  freshet fields --save fields/\n  freshet fields --diff fields/\n  freshet fields --missing events.ndjson --fields fields/"
    )]
    Fields(fields::FieldsArguments),
    /// Look at dead letters, save them, send them back, or remove them
    #[command(
        name = "dead-letters",
        after_help = "Examples:\n  freshet dead-letters list\n  freshet dead-letters replay --account acme --reason unknown_custom_field --dry-run"
    )]
    DeadLetters(dead_letters::DeadLettersArguments),
    /// Serve a local stand-in for one Freshsales account
    #[command(
        after_help = "Examples:\n  freshet sandbox --listen 127.0.0.1:8090 --requests-per-hour 1000 --latency 200ms\n  curl -X PUT http://127.0.0.1:8090/_sandbox/options -d '{\"search_filter\": \"ignored\"}'    # odd accounts, faults: docs/SANDBOX.md"
    )]
    Sandbox(sandbox::SandboxArguments),
    /// Show what a running replica knows of its accounts, or only whether it is ready
    #[command(
        after_help = "Examples:\n  freshet status\n  freshet status --url http://worker-0:9464\n  freshet status --ready && echo ready"
    )]
    Status(status::StatusArguments),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  freshet completions bash > /etc/bash_completion.d/freshet")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, as packages hold them
    #[command(
        name = "man-pages",
        hide = true,
        after_help = "Example:\n  freshet man-pages /usr/local/share/man/man1"
    )]
    ManPages(man_pages::ManPagesArguments),
}

/// The whole command line.
fn command() -> clap::Command {
    with_exit_statuses(Cli::command())
}

const USAGE: u8 = 64;
const UNREACHABLE: u8 = 75;

/// Runs the command that the process was started with, and returns its exit status.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are errors to clap.
            let code = if error.use_stderr() { USAGE } else { 0 };
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    let runtime = match crate::runtime::build() {
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

impl Cli {
    async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Run(arguments) => run::run(arguments).await,
            Command::Check(arguments) => Box::pin(check::run(arguments)).await,
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Publish(arguments) => publish::run(arguments).await,
            Command::Explain(arguments) => explain::run(arguments).await,
            Command::Fields(arguments) => fields::run(arguments).await,
            Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
            Command::Sandbox(arguments) => sandbox::run(arguments).await,
            Command::Status(arguments) => status::run(arguments).await,
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut command(), "freshet", &mut script);
                print(script)
            }
            Command::ManPages(arguments) => man_pages::run(&arguments, command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_shows_an_example_and_its_exit_statuses() {
        command().debug_assert();
        let all = command();
        for command in all
            .get_subcommands()
            .flat_map(|command| std::iter::once(command).chain(command.get_subcommands()))
        {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
            assert_eq!(help.matches("Exit status: 0 ").count(), 1, "{}: {help}", command.get_name());
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

    #[test]
    fn the_sandbox_s_jobs_may_differ_and_all_else_may_not() {
        let parsed = |option: &str, value: &str| {
            Cli::try_parse_from(["freshet", "sandbox", option, value]).map_err(|error| error.to_string())
        };
        assert!(parsed("--job-time", "1s..8s").is_ok());
        assert!(parsed("--job-time", "0s..500ms").is_ok());
        assert!(parsed("--latency", "1s..8s").is_err());
        let told = parsed("--job-time", "8s..1s").err().unwrap_or_default();
        assert!(told.contains("1s is shorter than 8s; write the shorter one first"), "{told}");
        assert!(parsed("--job-time", "1..8s").is_err_and(|told| told.contains("'1..8s'")));
    }
}

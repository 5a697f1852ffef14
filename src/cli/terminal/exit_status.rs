//! What the exit statuses mean, told in the help of each command.

use clap::Command;

const MEANING_OF_64: &str = "64 wrong usage or configuration";
const MEANING_OF_75: &str = "; 75 RabbitMQ cannot be reached";

/// What 0 and 1 mean of a command, and whether it ends with 75. Commands below `dead-letters` end as that does.
const STATUSES: &[(&str, &str, bool)] = &[
    ("run", "0 stopped in good order, or every event of the file is settled; 1 failed", false),
    ("check", "0 nothing failed; 1 something failed (with --deny-warnings also for a warning)", false),
    ("demo", "0 done; 1 failed", false),
    ("publish", "0 every event is confirmed; 1 failed, or lines are no JSON and become dead letters", true),
    (
        "explain",
        "0 no event would become a dead letter; 1 one would, or fields cannot be read (with --deny-warnings also where that \
         depends on the account)",
        true,
    ),
    (
        "fields",
        "0 done; 1 fields cannot be read; with --diff 1 if something changed, with --missing 1 if a trait has no field",
        false,
    ),
    ("dead-letters", "0 done; 1 nothing matched, or some failed", true),
    ("sandbox", "0 stopped; 1 failed", false),
    ("status", "0 done, and with --ready: ready; 1 no answer, or not ready", false),
    ("completions", "0 done; 1 failed", false),
    ("man-pages", "0 done; 1 failed", false),
];

/// Adds them to the help of all commands.
pub(in crate::cli) fn with_exit_statuses(mut cli: Command) -> Command {
    for (name, meaning, needs_broker) in STATUSES {
        let unreachable = if *needs_broker { MEANING_OF_75 } else { "" };
        let text = format!("Exit status: {meaning}; {MEANING_OF_64}{unreachable}");
        cli = cli.mut_subcommand(name, |command| told(command, &text));
    }
    cli
}

fn told(command: Command, text: &str) -> Command {
    let before = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command.after_help(format!("{before}\n\n{text}")).mut_subcommands(|command| told(command, text))
}

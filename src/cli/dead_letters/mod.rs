//! `freshet dead-letters`: looks at what could not be delivered, saves it, sends it back, or removes it.

mod drop;
mod ending;
mod estimate;
mod export;
mod list;
mod replay;
mod show;

use clap::Subcommand;

use super::terminal::output::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct DeadLettersArguments {
    #[command(subcommand)]
    action: LetterAction,
}

#[derive(Debug, Subcommand)]
enum LetterAction {
    /// Count the letters by account, reason and trait; with a filter, list them
    #[command(
        after_help = "Examples:\n  freshet dead-letters list\n  freshet dead-letters list --reason invalid_custom_field --limit 20\n  freshet dead-letters list --all --json"
    )]
    List(list::ListArguments),
    /// Show what one letter says; its body only with --body, as it may hold personal data
    #[command(
        after_help = "Examples:\n  freshet dead-letters show m-1\n  freshet dead-letters show m-1 --body --json > event.ndjson"
    )]
    Show(show::ShowArguments),
    /// Save letters to a file, whole, and leave them where they are
    #[command(
        after_help = "Examples:\n  freshet dead-letters export letters.ndjson.gz --account acme\n  freshet dead-letters export - --reason rejected | jq .body"
    )]
    Export(export::ExportArguments),
    /// Send letters back to their accounts' lanes
    #[command(
        after_help = "Examples:\n  freshet dead-letters replay --reason unknown_custom_field --dry-run\n  freshet dead-letters replay --account acme --since 2h --if-valid"
    )]
    Replay(replay::ReplayArguments),
    /// Remove letters for good, and save them to a file first
    #[command(
        after_help = "Examples:\n  freshet dead-letters drop --reason malformed_json\n  freshet dead-letters drop --message-id m-1 --discard --yes"
    )]
    Drop(drop::DropArguments),
}

pub(super) async fn run(arguments: DeadLettersArguments) -> Result<(), Failure> {
    match arguments.action {
        LetterAction::List(arguments) => list::run(arguments).await,
        LetterAction::Show(arguments) => show::run(arguments).await,
        LetterAction::Export(arguments) => export::run(arguments).await,
        LetterAction::Replay(arguments) => replay::run(arguments).await,
        LetterAction::Drop(arguments) => drop::run(arguments).await,
    }
}

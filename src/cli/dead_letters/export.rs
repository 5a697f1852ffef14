//! `dead-letters export`: letters as lines of a file, which `publish` and `run --events` take back.

use std::ops::ControlFlow;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::cli::config_file::ConfigFile;
use crate::cli::letters::arguments::FilterArguments;
use crate::cli::letters::command::{LetterCommand, failure, nothing_matched};
use crate::cli::letters::told;
use crate::cli::terminal::files;
use crate::cli::terminal::new_file::NewFile;
use crate::cli::terminal::output::{Failure, print};
use crate::config::SecretsNeeded;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExportArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// A new file; .gz for gzip. It holds the bodies, which may be personal data, and is readable for you alone
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    filter: FilterArguments,
}

pub(super) async fn run(arguments: ExportArguments) -> Result<(), Failure> {
    let ExportArguments { config, file, filter } = arguments;
    let command = LetterCommand::open(config.load(SecretsNeeded::Broker)?)?;
    let mut out = NewFile::create(&file)?;
    let selection = filter.into_filter().selection(Timestamp::now());
    let bar = files::bar();
    let mut written = 0;
    let looked = command
        .queue
        .look(&command.who, &command.stop, |listed, letter| {
            if !selection.holds(listed) {
                return Ok(ControlFlow::Continue(()));
            }
            out.write(&letter.to_line()?)?;
            written += 1;
            if written % 1000 == 0 {
                bar.set_message(format!("{} saved", told::letters(written)));
                bar.tick();
            }
            Ok(if written >= selection.limit() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .await
        .map_err(failure)?;
    bar.finish_and_clear();
    if written == 0 {
        return Err(nothing_matched(&command.queue.name()));
    }
    if written < selection.limit() {
        command.whole(looked)?;
    }
    out.finish().map_err(|error| Failure::Failed(format!("cannot write {}: {error}", file.display())))?;
    print(format!(
        "{} saved to {}, and left in {}\n",
        told::letters(written),
        file.display(),
        command.queue.name()
    ))
}

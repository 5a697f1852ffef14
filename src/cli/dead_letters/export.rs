//! `dead-letters export`: letters as lines of a file, which `publish` and `run --events` take back.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::config_file::ConfigFile;
use crate::cli::letters::arguments::FilterArguments;
use crate::cli::letters::command::{LetterCommand, failure, nothing_matched};
use crate::cli::letters::told;
use crate::cli::terminal::files;
use crate::cli::terminal::new_file::NewFile;
use crate::cli::terminal::output::{Failure, print, print_note};
use crate::cli::terminal::whole_output::WholeOutput;
use crate::config::SecretsNeeded;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExportArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// A new file, readable for you alone; .gz for gzip; - for standard output. The bodies may be personal data
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    filter: FilterArguments,
}

/// Where the letters go.
enum ExportTarget {
    File(NewFile),
    Output(WholeOutput),
}

impl ExportTarget {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            let output = WholeOutput::open().map_err(|error| not_written("standard output", &error))?;
            Ok(Self::Output(output))
        } else {
            NewFile::create(path).map(Self::File)
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write(line),
            Self::Output(output) => output.write(line),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::File(file) => file.finish(),
            Self::Output(output) => output.finish(),
        }
    }
}

fn not_written(place: &str, error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot write the letters to {place}: {error}"))
}

pub(super) async fn run(arguments: ExportArguments) -> Result<(), Failure> {
    let ExportArguments { config, file, filter } = arguments;
    let command = LetterCommand::open(config.load(SecretsNeeded::Broker)?)?;
    let mut out = ExportTarget::open(&file)?;
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
    let is_file = matches!(out, ExportTarget::File(_));
    let place = if is_file { file.display().to_string() } else { "standard output".to_owned() };
    out.finish().map_err(|error| not_written(&place, &error))?;
    let told = format!("{} saved to {place}, and left in {}", told::letters(written), command.queue.name());
    if is_file {
        print(told + "\n")
    } else {
        print_note(&told);
        Ok(())
    }
}

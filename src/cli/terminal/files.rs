//! Opens files of events, and shows progress while they are read.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Failure;
use crate::file_feed::FileId;

pub(in crate::cli) struct Input {
    pub(in crate::cli) events: Box<dyn Read + Send>,
    /// The file, if they come from one on a disk.
    pub(in crate::cli) file: Option<FileId>,
}

/// Opens a file of events, `-` for standard input, and unpacks `.gz`.
pub(in crate::cli) fn open(path: &Path) -> Result<Input, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::Failed(format!("cannot read the events in {}: {error}", path.display()))
    };
    if path == Path::new("-") {
        // `std::io::stdin` takes a standard input that cannot be read for an empty one.
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(unreadable)?;
        let file = identify(&stdin).map_err(unreadable)?;
        return Ok(Input { events: Box::new(stdin), file });
    }
    let file = File::open(path).map_err(unreadable)?;
    let id = identify(&file).map_err(unreadable)?;
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    let events: Box<dyn Read + Send> =
        if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(Input { events, file: id })
}

/// Fails for a folder, which can be opened but not read.
fn identify(file: &File) -> std::io::Result<Option<FileId>> {
    let metadata = file.metadata()?;
    if metadata.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok(FileId::of(&metadata)) }
}

/// A spinner with a message, if standard error is a terminal.
pub(in crate::cli) fn bar() -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, target).with_style(style)
}

//! Event files, and the progress shown while they are read.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Failure;
use crate::file_feed::FileId;

/// Events that are open for reading.
pub(super) struct Input {
    pub(super) events: Box<dyn Read + Send>,
    /// Where they come from, if that is a file on a disk.
    pub(super) file: Option<FileId>,
}

/// Opens events: `-` is standard input, `.gz` is unpacked.
pub(super) fn open(path: &Path) -> Result<Input, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::Failed(format!("cannot read the events in {}: {error}", path.display()))
    };
    if path == Path::new("-") {
        // Not by way of the standard library's own, to which one that cannot be read is an empty one.
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

/// Which file it is. A folder can be opened, but holds no events.
fn identify(file: &File) -> std::io::Result<Option<FileId>> {
    let metadata = file.metadata()?;
    if metadata.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok(FileId::of(&metadata)) }
}

/// A spinner with a message, where somebody looks.
pub(super) fn bar() -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, target).with_style(style)
}

//! Standard output for what must arrive whole: a reader that goes away early is a failure.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;

/// Some of what was written is lost if it is not finished.
pub(in crate::cli) struct WholeOutput(BufWriter<File>);

impl WholeOutput {
    pub(in crate::cli) fn open() -> io::Result<Self> {
        // `std::io::stdout` takes an output that cannot be written to for one that takes everything.
        io::stdout().as_fd().try_clone_to_owned().map(|output| Self(BufWriter::new(output.into())))
    }

    pub(in crate::cli) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Returns when the system has taken all of it, or the disk, if it is a file.
    pub(in crate::cli) fn finish(self) -> io::Result<()> {
        let output = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        if output.metadata()?.is_file() { output.sync_all() } else { Ok(()) }
    }
}

//! How a command fails, and what it prints.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write as _};
use std::ops::ControlFlow;

/// Why a command failed, which decides the exit status.
#[derive(Debug)]
pub(super) enum Failure {
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
    pub(super) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Writes to standard error, in colour only to a terminal. If that fails, the exit status remains.
pub(super) fn print_error(text: &str) {
    writeln!(anstream::stderr(), "freshet: {text}").ok();
}

/// Writes a line that tells what goes on to standard error, so that standard output keeps the result alone.
pub(super) fn print_note(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// Writes to standard output. A closed pipe is no failure: its reader has read enough.
pub(super) fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes many lines to standard output.
#[derive(Debug)]
pub(super) struct LineWriter {
    out: BufWriter<Stdout>,
    is_closed: bool,
}

impl Default for LineWriter {
    fn default() -> Self {
        Self { out: BufWriter::new(io::stdout()), is_closed: false }
    }
}

impl LineWriter {
    /// Breaks when nobody reads on, which is no failure.
    pub(super) fn line(&mut self, line: &str) -> io::Result<ControlFlow<()>> {
        let written = self.out.write_all(line.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        self.unless_closed(written)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.unless_closed(flushed).map(|_| ())
    }

    /// Whether the reader has read enough.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn unless_closed(&mut self, written: io::Result<()>) -> io::Result<ControlFlow<()>> {
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_closed = true,
            written => written?,
        }
        Ok(if self.is_closed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

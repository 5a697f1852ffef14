//! How a command fails, and what it prints.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write as _};
use std::ops::ControlFlow;

/// Why a command failed, which decides the exit status.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
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
    pub(in crate::cli) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Writes to standard error, in colour only to a terminal. If that fails, the exit status remains.
pub(in crate::cli) fn print_error(text: &str) {
    writeln!(anstream::stderr(), "freshet: {text}").ok();
}

/// Writes styled text to standard output, without its styles where that is no terminal or `NO_COLOR` is set.
pub(in crate::cli) fn print_styled(text: &str) -> Result<(), Failure> {
    if anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never {
        return print(text);
    }
    let mut plain = anstream::AutoStream::never(Vec::new());
    plain.write_all(text.as_bytes()).map_err(Failure::failed)?;
    print(plain.into_inner())
}

pub(in crate::cli) fn width() -> u16 {
    terminal_size::terminal_size().map_or(100, |(terminal_size::Width(columns), _)| columns.clamp(60, 160))
}

/// Writes a line that tells what goes on to standard error, so that standard output keeps the result alone.
pub(in crate::cli) fn print_note(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// Writes to standard output. A closed pipe is no failure: its reader has read enough.
pub(in crate::cli) fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
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
pub(in crate::cli) struct LineWriter {
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
    pub(in crate::cli) fn line(&mut self, line: &str) -> io::Result<ControlFlow<()>> {
        let written = self.out.write_all(line.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        self.unless_closed(written)
    }

    pub(in crate::cli) fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.unless_closed(flushed).map(|_| ())
    }

    /// Whether the reader has read enough.
    pub(in crate::cli) fn is_closed(&self) -> bool {
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

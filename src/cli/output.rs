//! How a command fails, and what it prints.

use std::io::{ErrorKind, Write as _};

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

//! Logging to standard error, as text or JSON. The commands start it.
//!
//! Bodies and tokens are never logged. Names and errors may come from outside, so each finished line is limited in length
//! and cleared of e-mail addresses before it is written.

mod line;

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging for the process. `rust_log`, the value of `$RUST_LOG`, replaces `level`.
pub fn start(format: LogFormat, level: &str, rust_log: Option<String>) {
    let filter = EnvFilter::new(rust_log.unwrap_or_else(|| without_lapin(level)));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || Lines(format));
    let started = match format {
        LogFormat::Text => {
            let ansi = std::io::stderr().is_terminal();
            lines.with_ansi(ansi).with_target(false).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(error, "logging was started before");
    }
}

/// `tracing` hands it one whole line at a time.
struct Lines(LogFormat);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let fit: Cow<'_, str> = match self.0 {
            LogFormat::Text => line::text(&text),
            LogFormat::Json => line::json(&text),
        };
        std::io::stderr().lock().write_all(fit.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}

/// lapin logs every broken connection at length; our session logs it in one line.
fn without_lapin(level: &str) -> String {
    format!("lapin=off,async_rs=off,{level}")
}

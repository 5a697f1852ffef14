//! Where log lines go and what they look like: standard error, text or JSON.
//!
//! Lines carry names, counts and states; bodies and tokens are never logged. Each finished line is bounded, and cleared of
//! e-mail addresses, before it is written.

mod line;

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging for the process. `$RUST_LOG` wins over `level`. Called once, by the commands.
pub fn start(format: LogFormat, level: &str, rust_log: Option<String>) {
    let filter = EnvFilter::new(rust_log.unwrap_or_else(|| quieted(level)));
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

/// Writes to standard error. It is handed a whole line at a time.
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

/// The AMQP client tells of every broken connection at length; the session says the same in one line.
fn quieted(level: &str) -> String {
    format!("lapin=off,async_rs=off,{level}")
}

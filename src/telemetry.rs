//! Where log lines go and what they look like: standard error, text or JSON.
//!
//! Lines carry names, counts and states. Bodies, tokens and e-mail addresses are never logged.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging for the process. `$RUST_LOG` wins over `level`. Called once, by the commands.
pub fn start(format: LogFormat, level: &str, rust_log: Option<String>) {
    let filter = EnvFilter::new(rust_log.unwrap_or_else(|| quieted(level)));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
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

/// The AMQP client tells of every broken connection at length; the session says the same in one line.
fn quieted(level: &str) -> String {
    format!("lapin=off,async_rs=off,{level}")
}

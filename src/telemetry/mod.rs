//! Logging to standard error, as text or JSON. The commands start it.
//!
//! Bodies and tokens are never logged. Names and errors may come from outside, so each finished line is limited in length
//! and cleared of e-mail addresses before it is written; and whatever senders or answers cause, like lines are held back
//! and counted after the first few of a minute.

mod kind;
mod line;
mod people;
mod repeats;
mod throttle;

use std::borrow::Cow;
use std::io::Write;

use tokio::task::JoinSet;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::LogFormat;
use people::PeopleFormat;
use throttle::Throttle;

/// Logging, until it is dropped. Then it says how many lines are held back.
#[derive(Debug)]
#[must_use = "lines that are held back would never be counted"]
pub struct Logging {
    throttle: Throttle,
    _reporting: JoinSet<()>,
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.throttle.report_all();
    }
}

/// Starts logging for the process. `rust_log`, the value of `$RUST_LOG`, replaces `level`. Must be called on a runtime.
pub fn start(format: LogFormat, level: &str, rust_log: Option<String>) -> Logging {
    let mut filter = EnvFilter::new(rust_log.unwrap_or_else(|| without_lapin(level)));
    // What was held back had passed the filter, so that the line which counts it has to pass, too.
    if let Ok(directive) = format!("{}=info", throttle::TARGET).parse() {
        filter = filter.add_directive(directive);
    }
    let throttle = Throttle::default();
    let started = Registry::default().with(filter).with(throttle.clone()).with(lines(format)).try_init();
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
    let mut reporting = JoinSet::new();
    reporting.spawn(throttle.clone().report_in_time());
    Logging { throttle, _reporting: reporting }
}

/// Writes the lines. Must be the outermost layer that writes, so that the throttle is asked first.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let lines = fmt::layer().with_writer(move || Lines(format));
    match format {
        LogFormat::Text => lines.event_format(PeopleFormat::of_stderr()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
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

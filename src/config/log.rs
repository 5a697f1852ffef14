//! `[log]`: what is logged, and in which form.

use strum::{EnumString, VariantNames};

use super::reading::reader::Section;

/// `[log]`
#[derive(Debug, Clone)]
pub struct LogConfig {
    #[expect(missing_docs, reason = "described at its type")]
    pub format: LogFormat,
    /// A level, or a filter as in `RUST_LOG`.
    pub level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl LogConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            format: section.word("format"),
            level: section.parsed("level", log_filter).unwrap_or_else(|| "info".to_owned()),
        };
        section.finish();
        config
    }
}

fn log_filter(text: &str) -> Result<String, &'static str> {
    text.parse::<tracing_subscriber::filter::Targets>()
        .map(|_| text.to_owned())
        .map_err(|_| "expected error, warn, info, debug or trace, or a filter such as \"info,freshet=debug\"")
}

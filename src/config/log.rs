//! `[log]`: what is logged, and in which form.

use strum::{EnumString, VariantNames};
use tracing_subscriber::filter::LevelFilter;

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

/// Each part is a level, or a target and its level. A word alone that is no level, such as `warning`, would be read as the only
/// target that is logged; so it is refused, although `RUST_LOG` takes it.
fn log_filter(text: &str) -> Result<String, &'static str> {
    let is_level = |text: &str| !text.is_empty() && text.parse::<LevelFilter>().is_ok();
    let is_target =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_:-".contains(c));
    let is_part = |part: &str| {
        part.split_once('=')
            .map_or_else(|| is_level(part), |(target, level)| is_target(target) && is_level(level))
    };
    if text.split(',').all(is_part) {
        Ok(text.to_owned())
    } else {
        Err("expected error, warn, info, debug or trace, or a filter such as \"info,freshet=debug\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_a_mistake() {
        for good in [
            "error",
            "warn",
            "info",
            "debug",
            "trace",
            "off",
            "WARN",
            "info,freshet=debug",
            "freshet::lane=trace",
        ] {
            assert_eq!(log_filter(good).as_deref(), Ok(good));
            assert!(good.parse::<tracing_subscriber::filter::Targets>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "warning",
            "inof",
            "9",
            "[[[",
            "info,,",
            "info,",
            "=info",
            "info freshet=debug",
            "freshet=loud",
            "freshet",
        ] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }
}

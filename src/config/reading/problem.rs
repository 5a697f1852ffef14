//! Mistakes in a configuration, as they are told: with key, line and column, and the line itself.

use std::fmt::{self, Display};
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// What fits most terminals.
const REPORT_WIDTH: usize = 100;

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// With its section: `accounts[0].api_key`. `None` if the file cannot be read as TOML there.
    pub key: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The environment variable whose value is wrong.
    pub variable: Option<String>,
    /// Where in the file, if it is there.
    pub place: Option<ProblemPlace>,
}

/// Where in the file a mistake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemPlace {
    /// Counted from 1.
    pub line: usize,
    /// Counted in characters, from 1.
    pub column: usize,
    /// The line, with asterisks in place of what may be a secret.
    pub text: String,
    /// The part of `text` that is meant, in bytes.
    pub marked: Range<usize>,
}

impl Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, &self.variable) {
            (Some(key), Some(variable)) => {
                write!(f, "{key}, from the environment variable {variable}: {}", self.message)
            }
            (Some(key), None) => write!(f, "{key}: {}", self.message),
            (None, _) => write!(f, "not valid TOML: {}", self.message),
        }
    }
}

impl ConfigProblem {
    /// With the number of the line, for logs.
    pub fn in_one_line(&self) -> String {
        match &self.place {
            Some(place) => format!("line {}: {self}", place.line),
            None => self.to_string(),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration {}: {source}; name a file with --config, or in $FRESHET_CONFIG", .path.display()
    )]
    Unreadable {
        /// The configuration file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It can be read, and is not right.
    #[error("{}", report(.path, .problems, &Renderer::plain()))]
    Invalid {
        /// The configuration file.
        path: PathBuf,
        /// At least one.
        problems: Vec<ConfigProblem>,
    },
}

impl ConfigError {
    /// For a terminal, in colour.
    pub fn coloured(&self) -> String {
        match self {
            Self::Unreadable { .. } => self.to_string(),
            Self::Invalid { path, problems } => report(path, problems, &Renderer::styled()),
        }
    }
}

fn report(path: &Path, problems: &[ConfigProblem], renderer: &Renderer) -> String {
    let (path, count) = (path.display().to_string(), problems.len());
    let mut text = format!("{path}: {count} problem{}", if count == 1 { "" } else { "s" });
    let renderer = renderer.clone().term_width(REPORT_WIDTH);
    for problem in problems {
        let group = Level::ERROR.primary_title(problem.to_string());
        let group = match &problem.place {
            None => Group::with_title(group),
            Some(place) => {
                let line = Snippet::source(&place.text).line_start(place.line).path(&path);
                group.element(line.annotation(AnnotationKind::Primary.span(place.marked.clone())))
            }
        };
        text.push_str("\n\n");
        text.push_str(&renderer.render(&[group]));
    }
    text
}

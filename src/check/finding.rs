//! One line of the result.

use std::fmt;

use serde::Serialize;

use crate::delivery::AccountName;

/// What a check is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The file, and what belongs to it.
    Configuration,
    /// RabbitMQ.
    Broker,
    /// One account.
    Account(AccountName),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration => f.write_str("configuration"),
            Self::Broker => f.write_str("broker"),
            Self::Account(name) => write!(f, "account:{name}"),
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Events flow, but somebody should look at it.
    Warning,
    /// Events do not flow, or not all.
    Failed,
    /// It could not be tried.
    Skipped,
}

impl CheckStatus {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    #[expect(missing_docs, reason = "described at its type")]
    pub subject: Subject,
    /// The check's name, the same in each release.
    pub check: &'static str,
    #[expect(missing_docs, reason = "described at its type")]
    pub status: CheckStatus,
    /// What was found, without secrets and personal data.
    pub message: String,
    /// What to do; none where all is well.
    pub remedy: Option<String>,
}

/// Collects the findings about one subject.
#[derive(Debug)]
pub(super) struct CheckFindings {
    subject: Subject,
    all: Vec<Finding>,
}

impl CheckFindings {
    pub(super) fn about(subject: Subject) -> Self {
        Self { subject, all: Vec::new() }
    }

    pub(super) fn ok(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, CheckStatus::Ok, message.into(), None);
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, CheckStatus::Warning, message.into(), Some(remedy.into()));
    }

    pub(super) fn fail(
        &mut self,
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, CheckStatus::Failed, message.into(), Some(remedy.into()));
    }

    pub(super) fn skip(
        &mut self,
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, CheckStatus::Skipped, message.into(), Some(remedy.into()));
    }

    /// Whether nothing of this name was found yet.
    pub(super) fn nothing_for(&self, check: &str) -> bool {
        self.all.iter().all(|finding| finding.check != check)
    }

    pub(super) fn finish(self) -> Vec<Finding> {
        self.all
    }

    fn add(&mut self, check: &'static str, status: CheckStatus, message: String, remedy: Option<String>) {
        self.all.push(Finding { subject: self.subject.clone(), check, status, message, remedy });
    }
}

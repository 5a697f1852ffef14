//! Which explanations are shown, and how they end.

use serde_json::json;

use super::text;
use crate::cli::terminal::output::{Failure, print, print_styled};
use crate::explain::{Ends, Explanation, Summary};

#[derive(Debug, clap::Args)]
pub(super) struct Showing {
    /// Show only events that would become dead letters, or may, depending on what the account holds
    #[arg(long)]
    only_bad: bool,
    /// Exit with 1 also for events that may become dead letters, depending on what the account holds
    #[arg(long)]
    deny_warnings: bool,
    /// One JSON object per event, and one with the summary
    #[arg(long)]
    pub(super) json: bool,
}

impl Showing {
    pub(super) fn shows(&self, explanation: &Explanation) -> bool {
        let is_bad = || matches!(explanation.ends, Ends::DeadLetter(_)) || !explanation.risks.is_empty();
        !self.only_bad || is_bad()
    }

    pub(super) fn end(&self, summary: &Summary) -> Result<(), Failure> {
        if self.json {
            print_json(&json!({ "summary": summary }))?;
        } else {
            print_styled(&text::summary(summary))?;
        }
        let bad = summary.dead_letter > 0 || (self.deny_warnings && summary.at_risk > 0);
        if bad { Err(Failure::Logged) } else { Ok(()) }
    }
}

pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let value = value.serialize(serde_json::value::Serializer).map_err(Failure::failed)?;
    print(format!("{value}\n"))
}

//! The events of a file, each explained.

use std::path::Path;

use tokio::sync::mpsc;

use super::Explaining;
use crate::cli::files;
use crate::cli::output::Failure;
use crate::cli::running_lanes::keys;
use crate::config::Config;
use crate::delivery::AccountName;
use crate::explain::Explanation;
use crate::file_feed::{EventReader, ReadLine, longest_line, read_lines};
use crate::routing::AccountIndex;

/// Reads a file, and has its events explained one after another.
pub(super) struct ExplainedEvents<'a> {
    name: &'a Path,
    reader: EventReader,
    lines: mpsc::Receiver<std::io::Result<ReadLine>>,
}

impl<'a> ExplainedEvents<'a> {
    /// `account`: all events are its, whatever keys they have.
    pub(super) fn open(
        config: &Config,
        name: &'a Path,
        account: Option<AccountName>,
    ) -> Result<Self, Failure> {
        let input = files::open(name)?;
        let index = AccountIndex::new(&config.accounts.iter().map(keys).collect::<Vec<_>>()).into();
        let reader = EventReader::new(index, config.broker.opener()).for_account(account);
        let lines = read_lines(input.events, longest_line(config.broker.max_batch));
        Ok(Self { name, reader, lines })
    }

    /// The next one; `None` at the end.
    pub(super) async fn next(
        &mut self,
        explaining: &mut Explaining<'_>,
    ) -> Result<Option<Explanation>, Failure> {
        loop {
            if let Some(read) = self.reader.next_event() {
                return explaining.explain(&self.reader, &read).await.map(Some);
            }
            let Some(line) = self.lines.recv().await else { return Ok(None) };
            let line = line.map_err(|error| {
                Failure::Failed(format!("cannot read {} further: {error}", self.name.display()))
            })?;
            self.reader.take(line);
        }
    }
}

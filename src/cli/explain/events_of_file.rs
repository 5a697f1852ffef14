//! The events of a file, one after another.

use std::path::Path;

use tokio::sync::mpsc;

use crate::cli::running::running_lanes::keys;
use crate::cli::terminal::files;
use crate::cli::terminal::output::Failure;
use crate::config::Config;
use crate::delivery::AccountName;
use crate::file_feed::{EventReader, FileRead, ReadLine, longest_line, read_lines};
use crate::routing::AccountIndex;

pub(super) struct EventsOfFile<'a> {
    name: &'a Path,
    pub(super) reader: EventReader,
    lines: mpsc::Receiver<std::io::Result<ReadLine>>,
}

impl<'a> EventsOfFile<'a> {
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
    pub(super) async fn next(&mut self) -> Result<Option<FileRead>, Failure> {
        loop {
            if let Some(read) = self.reader.next_event() {
                return Ok(Some(read));
            }
            let Some(line) = self.lines.recv().await else { return Ok(None) };
            let line = line.map_err(|error| {
                Failure::Failed(format!("cannot read {} further: {error}", self.name.display()))
            })?;
            self.reader.take(line);
        }
    }
}

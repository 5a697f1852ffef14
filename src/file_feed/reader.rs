//! Takes the events out of a file's lines, one by one, and finds the account of each. The feed and `explain` use it, so
//! that both read a file in the same way.

use std::sync::Arc;

use bytes::Bytes;

use super::ReadLine;
use super::event::{FileEvent, SourceLine, Splitting};
use crate::dead_letter::Letter;
use crate::delivery::AccountName;
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::routing::{AccountIndex, RoutedBy};
use crate::segment::{Batch, Glimpse, Opened, Opener, RoutingKeys, Unopened};

/// Reads events out of lines. The events of a line are taken before the next line is given.
pub struct EventReader {
    account_index: Arc<AccountIndex>,
    /// The account of every event, whatever the events say.
    account: Option<AccountName>,
    opener: Opener,
    /// The number of the last line.
    line: u64,
    next: Unread,
}

enum Unread {
    Nothing,
    One(Box<FileRead>),
    Batch(Splitting),
}

/// An event of a file, its account, and whether it can be read.
pub struct FileRead {
    pub(super) event: FileEvent,
    pub(super) account: Option<(AccountName, RoutedBy)>,
    /// The body as its lane gets it, or why no lane does.
    pub(super) unpacked: Result<Bytes, Refusal>,
    in_batch: bool,
}

impl FileRead {
    /// Its line's number, from 1.
    pub fn line(&self) -> u64 {
        self.event.line.number
    }

    /// Its place in a batch, from 0; `None` if it is alone in its line.
    pub fn index(&self) -> Option<u64> {
        self.in_batch.then_some(self.event.place)
    }

    /// The account that it goes to, and what named it.
    pub fn account(&self) -> Option<(&AccountName, RoutedBy)> {
        self.account.as_ref().map(|(account, by)| (account, *by))
    }

    /// The body as its lane gets it, or why no lane does.
    pub fn body(&self) -> Result<&Bytes, &Refusal> {
        self.unpacked.as_ref()
    }

    fn refused(event: FileEvent, account: Option<(AccountName, RoutedBy)>, refusal: Refusal) -> Self {
        Self { event, account, unpacked: Err(refusal), in_batch: false }
    }
}

impl EventReader {
    /// Finds accounts in `account_index`, and opens bodies with `opener`.
    pub fn new(account_index: Arc<AccountIndex>, opener: Opener) -> Self {
        Self { account_index, account: None, opener, line: 0, next: Unread::Nothing }
    }

    /// Gives every event to this account, whatever the event says.
    #[must_use]
    pub fn for_account(self, account: Option<AccountName>) -> Self {
        Self { account, ..self }
    }

    /// The number of the last line.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Whether events of the last line are left.
    pub fn has_event(&self) -> bool {
        match self.next {
            Unread::Nothing => false,
            Unread::One(_) | Unread::Batch(_) => true,
        }
    }

    /// Leaves out the rest of the last line.
    pub(super) fn clear(&mut self) {
        self.next = Unread::Nothing;
    }

    /// Takes the next line. A blank one holds no event.
    pub fn take(&mut self, line: ReadLine) {
        self.line += 1;
        self.next = match line {
            ReadLine::Whole(text) if text.iter().all(u8::is_ascii_whitespace) => Unread::Nothing,
            ReadLine::Whole(text) => self.open(text.into()),
            ReadLine::TooLong => {
                let event = FileEvent::whole(SourceLine::new(self.line), Bytes::new());
                Unread::One(Box::new(FileRead::refused(event, None, too_long(self.line))))
            }
        };
    }

    /// Takes a dead letter in a line's place, and reads it as what becomes of it when it is sent back: a lane takes its body
    /// for one event, whatever it holds; the router, to which a letter without an account goes, splits a batch and looks for
    /// the account of each event.
    pub fn take_letter(&mut self, letter: &Letter) {
        self.line += 1;
        let Some(account) = letter.origin().account else {
            let line = SourceLine::of_letter(self.line, letter, letter.named_by_sender());
            self.next = self.open_body(line, letter.body.clone());
            return;
        };
        let line = SourceLine::of_letter(self.line, letter, Some(account));
        self.next =
            Unread::One(Box::new(self.routed(FileEvent::whole(line, letter.body.clone()), false, || {
                // Not asked: the account is named.
                Ok(Vec::new())
            })));
    }

    /// The next event of the last line.
    pub fn next_event(&mut self) -> Option<FileRead> {
        match std::mem::replace(&mut self.next, Unread::Nothing) {
            Unread::Nothing => None,
            Unread::One(one) => Some(*one),
            Unread::Batch(mut splitting) => {
                let (event, batch) = splitting.next_event();
                if !splitting.is_over() {
                    self.next = Unread::Batch(splitting);
                }
                Some(self.of_batch(event, &batch))
            }
        }
    }

    /// What can be read of an event that is refused.
    pub fn glimpse(&self, read: &FileRead) -> Glimpse {
        self.glimpse_of(&read.event)
    }

    pub(super) fn glimpse_of(&self, event: &FileEvent) -> Glimpse {
        self.opener.glimpse(&event.body.bytes(), event.line.encoding())
    }

    fn open(&self, text: Bytes) -> Unread {
        let (line, body) = SourceLine::read(self.line, text);
        self.open_body(line, body)
    }

    fn open_body(&self, line: SourceLine, body: Bytes) -> Unread {
        // By its line's number, because equal lines are different events, as two messages would be.
        let one = match self.opener.open(&body, line.encoding(), self.line) {
            Ok(Opened::Many(batch)) => return Unread::Batch(Splitting::new(&line, batch)),
            Ok(Opened::One(one)) => self.routed(FileEvent::whole(line, body), false, || one.keys()),
            Err(Unopened { refusal, keys }) => {
                let account = self.find(&line, || Ok(keys)).ok();
                FileRead::refused(FileEvent::whole(line, body), account, refusal)
            }
        };
        Unread::One(Box::new(one))
    }

    fn of_batch(&self, event: FileEvent, batch: &Arc<Batch>) -> FileRead {
        let place = usize::try_from(event.place).unwrap_or(usize::MAX);
        self.routed(event, true, || batch.keys_of(place))
    }

    fn routed(
        &self,
        event: FileEvent,
        in_batch: bool,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
    ) -> FileRead {
        match self.find(&event.line, keys) {
            Ok(account) => {
                let unpacked = self.opener.event(&event.body.bytes(), event.line.encoding());
                FileRead { event, account: Some(account), unpacked, in_batch }
            }
            Err(refusal) => FileRead { in_batch, ..FileRead::refused(event, None, refusal) },
        }
    }

    fn find(
        &self,
        line: &SourceLine,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
    ) -> Result<(AccountName, RoutedBy), Refusal> {
        if let Some(account) = &self.account {
            return Ok((account.clone(), RoutedBy::Option));
        }
        self.account_index.find_and_tell(line.account.as_deref().map(Some), keys)
    }
}

fn too_long(line: u64) -> Refusal {
    let problem = Problem {
        problem: format!("line {line} is too long; it is not kept here, but only in the events' file"),
        expected: Some("at most twice `broker.max_batch` and 1 MiB".to_owned()),
        ..Problem::default()
    };
    Refusal::new(DeadLetterReason::TooLarge, problem)
}

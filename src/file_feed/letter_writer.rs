//! Writes dead letters on a thread of their own, several at a time, and reports which of them are safe.
//!
//! A letter's event counts as settled only then: a disk that is full or fails may say so only when the file is synced.

use std::collections::VecDeque;
use std::io;

use tokio::sync::mpsc;

use crate::dead_letter::Letter;

/// The most letters that wait for the disk.
const LETTERS: usize = 256;
/// While letters of so many bytes wait, no further one is taken. The last one may go beyond.
const BYTES: usize = 16 * 1024 * 1024;

/// Where dead letters are kept.
pub trait LetterStore: Send {
    /// Adds the whole letter, or nothing of it.
    fn append(&mut self, letter: &Letter) -> io::Result<()>;
    /// Returns when everything added so far outlives a crash of the machine.
    fn sync(&mut self) -> io::Result<()>;
}

/// Keeps no letter.
#[derive(Debug)]
pub struct Discard;

impl LetterStore for Discard {
    fn append(&mut self, _: &Letter) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread, and notes about the letters that it has not reported yet.
pub(super) struct LetterWriter<T> {
    letters: mpsc::Sender<Letter>,
    /// How many more letters are safe, in the order in which they were sent; after an error nothing more.
    written: mpsc::Receiver<io::Result<usize>>,
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    has_failed: bool,
}

impl<T> LetterWriter<T> {
    pub(super) fn start(store: Box<dyn LetterStore>) -> Self {
        let (letters, taken) = mpsc::channel(LETTERS);
        // Each report is about one letter at least, but for the last.
        let (report, written) = mpsc::channel(LETTERS + 1);
        drop(tokio::task::spawn_blocking(move || write_all(taken, &report, store)));
        Self { letters, written, waiting: VecDeque::new(), bytes: 0, has_failed: false }
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < LETTERS && self.bytes < BYTES
    }

    /// Whether [`Self::written`] has something to report.
    pub(super) fn is_writing(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a letter; only while there is room. After an error it is dropped: its event stays unsettled.
    pub(super) fn write(&mut self, letter: Letter, note: T) {
        let bytes = letter.body.len();
        if !self.has_failed && self.letters.try_send(letter).is_ok() {
            self.bytes += bytes;
            self.waiting.push_back((note, bytes));
        }
    }

    /// Waits until letters are safe, and returns their notes. Can be dropped at any time, and called again.
    pub(super) async fn written(&mut self) -> io::Result<Vec<T>> {
        let written = self.written.recv().await;
        match written
            .unwrap_or_else(|| Err(io::Error::other("the writing thread ended early; this is a bug")))
        {
            Ok(count) => {
                let written = self.waiting.drain(..count.min(self.waiting.len()));
                let mut notes = Vec::with_capacity(count);
                for (note, bytes) in written {
                    self.bytes -= bytes;
                    notes.push(note);
                }
                Ok(notes)
            }
            Err(error) => {
                self.has_failed = true;
                self.waiting.clear();
                self.bytes = 0;
                Err(error)
            }
        }
    }
}

/// Writes until nobody sends letters any more, or until the first error.
fn write_all(
    mut letters: mpsc::Receiver<Letter>,
    report: &mpsc::Sender<io::Result<usize>>,
    mut store: Box<dyn LetterStore>,
) {
    while let Some(first) = letters.blocking_recv() {
        let mut written = 0;
        let mut appended = Ok(());
        let mut next = Some(first);
        while let Some(letter) = next {
            appended = store.append(&letter);
            if appended.is_err() {
                break;
            }
            written += 1;
            next = letters.try_recv().ok();
        }
        // Letters in front of one that cannot be written are safe all the same.
        let synced = (written > 0).then(|| store.sync().map(|()| written));
        for result in synced.into_iter().chain(appended.err().map(Err)) {
            let failed = result.is_err();
            if report.blocking_send(result).is_err() || failed {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;

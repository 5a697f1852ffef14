//! The file that `run --events` writes dead letters to. It is precious: nothing that it holds is ever overwritten.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::file_id::FileId;
use super::letter_writer::LetterStore;
use crate::dead_letter::Letter;

/// A file of dead letters, open for adding to it.
#[derive(Debug)]
pub struct LetterFile {
    file: File,
    /// False for a pipe or a terminal: nothing can be cut off such a file or synced.
    on_disk: bool,
}

/// Why a file cannot take dead letters.
#[derive(Debug, thiserror::Error)]
pub enum LetterFileError {
    /// Its name ends in `.gz`.
    #[error("dead letters are written unpacked; name a file that does not end in .gz")]
    Packed,
    /// It is the file that holds the events.
    #[error(
        "the events are read from this very file, and writing to it would destroy them; name another file"
    )]
    HoldsTheEvents,
    /// Its first line is no dead letter.
    #[error("the file holds something else than dead letters; name another one")]
    HoldsOtherThings,
    /// It is locked.
    #[error("another process does ({0})")]
    Locked(std::fs::TryLockError),
    /// The system refused to open or to read it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LetterFile {
    /// Opens the file, or makes it, for nobody else to read: it holds whole events. Refuses `events`, the file that the
    /// events are read from, and a file whose first line is no dead letter, before it opens anything for writing.
    /// `longest_line`: the most that a line of the events may have; it bounds what is read of the first letter.
    pub fn open(path: &Path, events: Option<FileId>, longest_line: usize) -> Result<Self, LetterFileError> {
        if path.extension().is_some_and(|ending| ending == "gz") {
            return Err(LetterFileError::Packed);
        }
        let mut is_torn = false;
        match std::fs::metadata(path) {
            Ok(found) if events.is_some() && FileId::of(&found) == events => {
                return Err(LetterFileError::HoldsTheEvents);
            }
            Ok(found) if found.is_file() && found.len() > 0 => {
                is_torn = last_line_is_torn(path, longest_line)?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let on_disk = FileId::of(&file.metadata()?).is_some();
        if on_disk {
            // A failed write is cut off at the length before it: no other process may write in between.
            file.try_lock().map_err(LetterFileError::Locked)?;
        }
        if is_torn {
            file.write_all(b"\n")?;
        }
        Ok(Self { file, on_disk })
    }
}

impl LetterStore for LetterFile {
    fn append(&mut self, letter: &Letter) -> io::Result<()> {
        let line = letter.to_line()?;
        let length = self.file.metadata()?.len();
        self.file.write_all(&line).inspect_err(|_| {
            // A part of a line would spoil the next one.
            if self.on_disk
                && let Err(error) = self.file.set_len(length)
            {
                tracing::debug!(%error, "a dead letter written in part stays");
            }
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.on_disk { self.file.sync_data() } else { Ok(()) }
    }
}

/// Whether a file of dead letters ends within a line, because the machine went down. Refuses a file of anything else.
fn last_line_is_torn(path: &Path, longest_line: usize) -> Result<bool, LetterFileError> {
    let mut file = File::open(path)?;
    let mut first = Vec::new();
    // A letter holds all of a line, in base64 where that is no JSON, and headers.
    let most = u64::try_from(longest_line).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(1 << 20);
    BufReader::new((&file).take(most)).read_until(b'\n', &mut first)?;
    if Letter::from_line(&first).is_none() {
        return Err(LetterFileError::HoldsOtherThings);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_else_may_read_a_new_file_and_that_of_an_operator_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("failed.ndjson");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        LetterFile::open(&path, None, 100).unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        LetterFile::open(&path, None, 100).unwrap();
        assert_eq!(mode(), 0o640);
    }

    #[test]
    fn a_file_is_opened_again_although_its_first_letter_is_longer_than_any_line_of_the_events() {
        const LONGEST_LINE: usize = 10_000;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("failed.ndjson");
        let letter = Letter { body: vec![0xff; LONGEST_LINE].into(), ..Letter::default() };
        for letters in 1..=2 {
            LetterFile::open(&path, None, LONGEST_LINE).unwrap().append(&letter).unwrap();
            let text = std::fs::read(&path).unwrap();
            assert_eq!(text.split(|byte| *byte == b'\n').filter_map(Letter::from_line).count(), letters);
        }
        std::fs::write(&path, "{}\n").unwrap();
        let refused = LetterFile::open(&path, None, LONGEST_LINE);
        assert!(matches!(refused, Err(LetterFileError::HoldsOtherThings)), "{refused:?}");
    }
}

//! The file that `run --events` writes dead letters to. It is precious: nothing that it holds is ever overwritten, and
//! a letter counts only once the whole of it is written.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::Failure;
use super::files::FileId;
use crate::dead_letter::Letter;
use crate::file_feed::Keep;

/// The most of a file's first line that is read to see whether it is a letter: an event's limit, packed, and headers.
const LONGEST: u64 = 4 * 1024 * 1024;

/// A file of dead letters, open for adding to it.
pub(super) struct Letters {
    path: PathBuf,
    file: File,
}

impl Letters {
    /// Opens the file, or makes it. Refuses `events`, the file that the events are read from, and a file that holds
    /// anything but dead letters, before it opens anything for writing.
    pub(super) fn open(path: &Path, events: Option<FileId>) -> Result<Self, Failure> {
        let name = path.display();
        let failed =
            |error: std::io::Error| Failure::Failed(format!("cannot write dead letters to {name}: {error}"));
        let refused = |why: &str| Failure::Usage(format!("--dead-letters {name}: {why}"));
        if path.extension().is_some_and(|ending| ending == "gz") {
            return Err(refused("dead letters are written unpacked; name a file that does not end in .gz"));
        }
        let torn = match std::fs::metadata(path) {
            Ok(found) => {
                if events.is_some() && FileId::of(&found) == events {
                    return Err(refused(
                        "the events are read from this very file, and writing to it would destroy them; name another file",
                    ));
                }
                if found.is_file() && found.len() > 0 { torn(path, &refused, &failed)? } else { false }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(failed(error)),
        };
        let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
        if FileId::of(&file.metadata().map_err(failed)?).is_some() {
            // What is cut off after a failed write must be this process' own.
            file.try_lock().map_err(|error| {
                Failure::Failed(format!(
                    "cannot write dead letters to {name}: another process does ({error})"
                ))
            })?;
        }
        if torn {
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes each dead letter through to the file before its event counts as settled.
    pub(super) fn keep(&self) -> Result<Keep, Failure> {
        let mut file = self.file.try_clone().map_err(Failure::failed)?;
        Ok(Box::new(move |letter: Letter| {
            let line = letter.to_line()?;
            let metadata = file.metadata()?;
            file.write_all(&line).inspect_err(|_| {
                // A part of a line would spoil the next one.
                if metadata.is_file()
                    && let Err(error) = file.set_len(metadata.len())
                {
                    tracing::debug!(%error, "a dead letter written in part stays");
                }
            })
        }))
    }

    /// Waits until the disk has all of them: some systems tell only then that it is full.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let synced = match FileId::of(&self.file.metadata().map_err(Failure::failed)?) {
            Some(_) => self.file.sync_all(),
            None => Ok(()),
        };
        synced.map_err(|error| {
            Failure::Failed(format!(
                "the dead letters in {} may not be whole: {error}; the events are still where they came from",
                self.path.display()
            ))
        })
    }
}

/// Whether the last line of a file of dead letters has no end. Refuses a file that begins with anything else.
fn torn(
    path: &Path,
    refused: &impl Fn(&str) -> Failure,
    failed: &impl Fn(std::io::Error) -> Failure,
) -> Result<bool, Failure> {
    let mut file = File::open(path).map_err(failed)?;
    let mut first = Vec::new();
    BufReader::new((&file).take(LONGEST)).read_until(b'\n', &mut first).map_err(failed)?;
    if Letter::from_line(&first).is_none() {
        return Err(refused("the file holds something else than dead letters; name another one"));
    }
    file.seek(SeekFrom::End(-1)).map_err(failed)?;
    let mut last = [0];
    file.read_exact(&mut last).map_err(failed)?;
    Ok(last != *b"\n")
}

//! A file that is there whole or not at all: it has another name until it is finished.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::output::Failure;

/// Removed when it is dropped before it is finished.
pub(in crate::cli) struct NewFile {
    writer: Option<FileWriter>,
    part: PathBuf,
    path: PathBuf,
}

enum FileWriter {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl NewFile {
    /// Refuses to write over a file. `.gz` packs it. Nobody else may read it.
    pub(in crate::cli) fn create(path: &Path) -> Result<Self, Failure> {
        if path.exists() {
            return Err(Failure::Failed(format!("{} is there already; name a new file", path.display())));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(|error| {
                let hint = if error.kind() == io::ErrorKind::AlreadyExists {
                    "; another command writes it, or was killed: remove it then"
                } else {
                    ""
                };
                Failure::Failed(format!("cannot make {}: {error}{hint}", part.display()))
            })?;
        let buffered = BufWriter::new(file);
        let writer = if path.extension().is_some_and(|ending| ending == "gz") {
            FileWriter::Gzip(Box::new(GzEncoder::new(buffered, Compression::default())))
        } else {
            FileWriter::Plain(buffered)
        };
        Ok(Self { writer: Some(writer), part, path: path.to_owned() })
    }

    pub(in crate::cli) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.writer {
            Some(FileWriter::Plain(file)) => file.write_all(bytes),
            Some(FileWriter::Gzip(file)) => file.write_all(bytes),
            None => Ok(()),
        }
    }

    /// Returns when the disk has all of it, under its name.
    pub(in crate::cli) fn finish(mut self) -> io::Result<()> {
        let buffered = match self.writer.take() {
            Some(FileWriter::Plain(file)) => file,
            Some(FileWriter::Gzip(file)) => file.finish()?,
            None => return Ok(()),
        };
        buffered.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        // Not over a file that has come in between.
        std::fs::hard_link(&self.part, &self.path)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.part) {
            tracing::debug!(%error, "a part of a file stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_finished_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters.ndjson");
        let mut file = NewFile::create(&path).unwrap();
        file.write(b"one\n").unwrap();
        assert!(!path.exists());
        assert!(NewFile::create(&path).is_err(), "two at once");
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        assert!(NewFile::create(&path).is_err(), "it is there");
        let packed = folder.path().join("more.gz");
        drop(NewFile::create(&packed).unwrap());
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left of what was not finished"
        );
    }
}

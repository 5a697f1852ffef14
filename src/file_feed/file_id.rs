//! Whether two open files are one and the same.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Identifies a file on a disk, by whatever path, link or descriptor it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// None for a pipe or a terminal: the same process may well read and write one of these.
    pub fn of(metadata: &Metadata) -> Option<Self> {
        metadata.is_file().then(|| Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

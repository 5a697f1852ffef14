//! Why a feed cannot go on.

use std::io;

/// Why the feed ended early.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The stop came before the end of the input.
    #[error("told to stop before the events ended")]
    Stopped,
    /// The rest of the input cannot be read.
    #[error("cannot read on after line {line}: {source}")]
    Unreadable {
        /// The last line read.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The letter's event stays unsettled, and so do later ones that would become dead letters.
    #[error("cannot write a dead letter: {0}")]
    LetterNotWritten(io::Error),
    /// Its task ended before the feed did.
    #[error("a lane ended early; this is a bug")]
    LaneGone,
}

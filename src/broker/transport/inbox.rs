//! The bytes of one connection that were read and not handed on yet.

use std::io::Read as _;

/// The most that is read from the socket at once, in bytes.
const READ: usize = 128 * 1024;

/// From the front: bytes that were handed on, walked over, read, and room for more.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    handed: usize,
    walked: usize,
    filled: usize,
}

impl Inbox {
    /// Room for more bytes: at least one.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.handed == self.filled {
            (self.handed, self.walked, self.filled) = (0, 0, 0);
            // A large frame is rare: its memory is not kept.
            self.bytes.truncate(READ);
            self.bytes.shrink_to(READ);
        }
        if self.filled == self.bytes.len() {
            if self.handed > 0 {
                self.bytes.copy_within(self.handed..self.filled, 0);
                self.walked -= self.handed;
                self.filled -= self.handed;
                self.handed = 0;
            } else {
                self.bytes.resize(self.bytes.len() + READ, 0);
            }
        }
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// So many bytes were read to the room.
    pub(super) fn read(&mut self, count: usize) {
        self.filled += count;
    }

    /// Walks over what was read; `walk` returns how much of it can be handed on.
    pub(super) fn walk(&mut self, walk: impl FnOnce(&mut [u8]) -> usize) {
        self.walked += walk(self.bytes.get_mut(self.walked..self.filled).unwrap_or_default());
    }

    /// Lets all that was read be handed on as it is.
    pub(super) fn skip_walk(&mut self) {
        self.walked = self.filled;
    }

    /// What can be handed on.
    pub(super) fn ready(&self) -> &[u8] {
        self.bytes.get(self.handed..self.walked).unwrap_or_default()
    }

    /// Hands on as much as there is and fits.
    pub(super) fn hand(&mut self, to: &mut [u8]) -> usize {
        let mut ready = self.bytes.get(self.handed..self.walked).unwrap_or_default();
        let count = ready.read(to).unwrap_or_default();
        self.handed += count;
        count
    }

    /// All that could be handed on was.
    pub(super) fn handed_all(&mut self) {
        self.handed = self.walked;
    }
}

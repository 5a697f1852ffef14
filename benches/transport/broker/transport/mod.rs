//! Walks as the transport does.

mod deliveries;
mod frames;

use deliveries::recent::RecentDeliveries;
use frames::walker::Walker;

/// What is read from a socket at once.
const READ: usize = 128 * 1024;

/// Copies bytes as the transport does, read by read, and walks over them.
pub(crate) fn walk(bytes: &[u8], to: &mut Vec<u8>) {
    let recent = RecentDeliveries::default();
    let mut walker = Walker::new(131_072);
    to.clear();
    let mut walked = 0;
    for read in bytes.chunks(READ) {
        recent.lock().reading();
        to.extend_from_slice(read);
        walked += walker.walk(to.get_mut(walked..).unwrap_or_default(), &mut recent.lock());
        recent.lock().waiting();
    }
    assert!(walker.take_changed().is_none() && walker.frame_max() > 0);
    assert_eq!(walked, bytes.len());
}

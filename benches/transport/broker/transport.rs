//! Walks as the transport does.

#[path = "../../../src/broker/transport/fields.rs"]
mod fields;
#[path = "../../../src/broker/transport/oversize.rs"]
mod oversize;
#[path = "../../../src/broker/transport/properties.rs"]
mod properties;
#[path = "../../../src/broker/transport/seen.rs"]
mod seen;
#[path = "../../../src/broker/transport/walker.rs"]
mod walker;

/// What is read from a socket at once.
const READ: usize = 128 * 1024;

/// Copies bytes as the transport does, read by read, and walks over them.
pub(crate) fn walk(bytes: &[u8], to: &mut Vec<u8>) {
    let seen = seen::Seen::default();
    let mut walker = walker::Walker::new(131_072);
    to.clear();
    let mut walked = 0;
    for read in bytes.chunks(READ) {
        seen.lock().reading();
        to.extend_from_slice(read);
        walked += walker.walk(to.get_mut(walked..).unwrap_or_default(), &mut seen.lock());
        seen.lock().quiet();
    }
    assert!(walker.take_changed().is_none() && walker.frame_max() > 0);
    assert_eq!(walked, bytes.len());
}

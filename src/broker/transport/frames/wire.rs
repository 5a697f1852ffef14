//! AMQP 0-9-1 on the wire: what frames, methods and content headers begin with.

// Types of frames.
pub(in crate::broker::transport) const METHOD: u8 = 1;
pub(in crate::broker::transport) const HEADER: u8 = 2;
pub(in crate::broker::transport) const BODY: u8 = 3;
pub(in crate::broker::transport) const HEARTBEAT: u8 = 8;
/// Ends each frame.
pub(in crate::broker::transport) const END: u8 = 0xCE;
/// Type, channel and size come before a frame's payload.
pub(in crate::broker::transport) const START: usize = 7;
/// Class, weight and body size come before the properties.
pub(in crate::broker::transport) const CONTENT_HEADER: usize = 12;
/// The smallest `frame_max`, in bytes: no side may ask for less.
pub(in crate::broker::transport) const FRAME_MIN: usize = 4096;

// Methods, by class and number.
pub(in crate::broker::transport) const TUNE: [u8; 4] = [0, 10, 0, 30];
pub(in crate::broker::transport) const TUNE_OK: [u8; 4] = [0, 10, 0, 31];
pub(in crate::broker::transport) const DELIVER: [u8; 4] = [0, 60, 0, 60];

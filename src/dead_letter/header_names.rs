//! The names of Freshet's own headers that more than one room reads.

/// What the names of Freshet's own headers begin with.
const OWN: &str = "freshet-";
/// Begins the name of a header that keeps one of the sender's under another name.
pub(crate) const ORIGINAL: &str = "freshet-original-";
/// How many of the sender's headers were left out of a copy, because they did not fit into a frame.
pub(crate) const LEFT_OUT: &str = "freshet-headers-left-out";

/// The word for why it was dead-lettered.
pub(crate) const REASON: &str = "freshet-reason";
/// What is wrong with the event: a JSON list of problems.
pub(crate) const DETAIL: &str = "freshet-detail";
/// The account whose lane the event was in.
pub(crate) const ACCOUNT: &str = "freshet-account";
/// How often the event was sent back from the dead letters.
pub(crate) const REPLAYS: &str = "freshet-replays";

/// RabbitMQ's own counts, true only of the queue that the message came from. They differ each time that it is handed out.
pub(crate) const BROKER_COUNTS: &[&str] = &["x-delivery-count", "x-acquired-count"];

/// In a file: holds in base64 a header's bytes that are no text.
pub(crate) const PACKED_BYTES: &str = "freshet-bytes";

/// Whether the header describes one delivery of the event, and so must not be copied to the next: what an earlier dead
/// letter said, or the lane's own note. What only says how the sender's message once was, stays.
pub(crate) fn is_of_one_delivery(name: &str) -> bool {
    name.starts_with(OWN) && !name.starts_with(ORIGINAL) && name != LEFT_OUT
}

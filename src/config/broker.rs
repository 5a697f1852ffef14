//! `[broker]`: where events come from, and how many are held at once.

use std::num::NonZeroU16;

use super::reader::Section;
use crate::broker::{Address, Addresses};
use crate::segment::{BODY_LIMIT, Opener};

const DEFAULT_QUEUE: &str = "segment.events";
const DEFAULT_PREFETCH: NonZeroU16 = NonZeroU16::new(400).unwrap();
const DEFAULT_PREFETCH_BYTES: u64 = 64 * 1024 * 1024;
/// RabbitMQ takes no larger message.
const LARGEST_BATCH: usize = 512 * 1024 * 1024;

/// `[broker]`
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// `amqp://` or `amqps://`, one for each node. They hold passwords.
    pub url: Addresses,
    /// The intake queue, whose name all other queues and exchanges start with.
    pub queue: String,
    /// The most unsettled events of an account that are held in memory.
    pub prefetch: NonZeroU16,
    /// The most bytes of unsettled events of an account that are held in memory.
    pub prefetch_bytes: u64,
    /// This replica's name, different for each replica.
    pub replica: String,
    /// The most bytes of a body that holds several events.
    pub max_batch: usize,
    /// Keys under which an object without a `type` may hold the event.
    pub unwrap: Vec<String>,
}

impl BrokerConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            url: section
                .parsed_each("url", Addresses::split, Address::parse)
                .and_then(Addresses::new)
                .unwrap_or_default(),
            queue: section.parsed("queue", queue_name).unwrap_or_else(|| DEFAULT_QUEUE.to_owned()),
            prefetch: section
                .whole("prefetch", 1..=u32::from(u16::MAX))
                .and_then(|number| u16::try_from(number).ok())
                .and_then(NonZeroU16::new)
                .unwrap_or(DEFAULT_PREFETCH),
            prefetch_bytes: section.size("prefetch_bytes").unwrap_or(DEFAULT_PREFETCH_BYTES),
            replica: section.parsed("replica", replica_name).unwrap_or_else(host_name),
            max_batch: max_batch(&mut section),
            unwrap: section.parsed_list("unwrap", wrapping_key),
        };
        section.finish();
        config
    }

    /// Opens the bodies of messages with these settings.
    pub fn opener(&self) -> Opener {
        Opener::new(self.unwrap.clone(), self.max_batch)
    }
}

/// Never below [`BODY_LIMIT`], which a single event may have.
fn max_batch(section: &mut Section<'_>) -> usize {
    let Some(size) = section.size("max_batch") else { return Opener::DEFAULT_MAX_BATCH };
    let size = usize::try_from(size).ok().filter(|size| (BODY_LIMIT..=LARGEST_BATCH).contains(size));
    size.unwrap_or_else(|| {
        section.problem("max_batch", "expected a size from \"1MiB\" to \"512MiB\"");
        Opener::DEFAULT_MAX_BATCH
    })
}

/// AMQP allows names of 255 bytes; the longest one made from this is `Q.lane.` and an account's 64 characters.
fn queue_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > 180 || text.starts_with("amq.") || text.chars().any(char::is_control) {
        return Err("expected a queue's name of 1 to 180 bytes that does not start with `amq.`");
    }
    Ok(text.to_owned())
}

fn replica_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        return Err("expected a name of 1 to 128 bytes, different for each replica");
    }
    Ok(text.to_owned())
}

fn wrapping_key(text: &str) -> Result<String, &'static str> {
    // A list copied from the file into the environment would become one key that no event has.
    let list = text.starts_with(['[', '"']);
    if text.is_empty() || list || ["type", "batch", "specversion"].contains(&text) {
        return Err(
            "expected a key's name such as payload, without brackets or quotes, and none of `type`, \
                    `batch`, `specversion`",
        );
    }
    Ok(text.to_owned())
}

fn host_name() -> String {
    hostname::get().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "freshet".to_owned())
}

//! The messages in which replicas tell each other. Anybody who may publish to the exchange can write one, so nothing in one
//! is believed to be small, well formed or true: what cannot be read is left out, line by line, and every text is cut.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::details::{FAILURES, FIELD_CHANGES, HISTORY};
use super::replica_report::{QueuesTold, ReplicaReport};
use super::report::{HourCounts, LaneReport};

/// Raised when a key changes its meaning. A message with another version is not read.
const SCHEMA_VERSION: u32 = 1;
/// No message is larger, packed or not.
pub(super) const LARGEST: usize = 128 * 1024;
/// Lines are put into one message up to so many bytes before they are packed. One line is smaller by far.
const LINES: usize = 96 * 1024;
/// A message with more is packed.
const PLAIN: usize = 1024;
/// No message is unpacked beyond so many bytes.
const UNPACKED: u64 = 1024 * 1024;
/// A longer text is cut to so many characters.
const TEXT: usize = 300;
/// More lanes than a replica can have. Counts of others are dropped.
const MOST_COUNTED: usize = 10_000;
/// A list whose length nothing else bounds is cut to so many entries.
const ENTRIES: usize = 256;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What one replica tells at one time, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) replica: ReplicaReport,
    /// It ends, and will tell no more.
    pub(super) leaves: bool,
    pub(super) queues: Option<QueuesTold>,
    /// With the bytes that each takes in memory, at most.
    pub(super) lanes: Vec<(LaneReport, usize)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error("it is larger than {LARGEST} bytes, or unpacks to more than {UNPACKED}")]
    TooLarge,
    #[error("it is not what replicas tell each other: {0}")]
    Malformed(serde_json::Error),
    #[error("it is of version {0}, and this replica reads version {SCHEMA_VERSION}")]
    Version(u32),
    #[error("it names its replica as none may be called")]
    Name,
}

#[derive(Serialize)]
struct WireOut<'a> {
    schema_version: u32,
    replica: &'a ReplicaReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    queues: Option<&'a QueuesTold>,
    lanes: &'a [Box<RawValue>],
    leaves: bool,
}

#[derive(Deserialize)]
struct WireIn<'a> {
    schema_version: u32,
    replica: ReplicaReport,
    #[serde(default)]
    queues: Option<QueuesTold>,
    #[serde(borrow, default)]
    lanes: Vec<&'a RawValue>,
    #[serde(default)]
    leaves: bool,
}

/// The messages that tell all of this: each is small enough, however many lanes there are.
pub(super) fn write(
    replica: &ReplicaReport,
    queues: Option<&QueuesTold>,
    lanes: &[LaneReport],
    leaves: bool,
) -> Vec<Vec<u8>> {
    let lines = lanes.iter().filter_map(|lane| serde_json::value::to_raw_value(lane).ok());
    let mut parts: Vec<Vec<Box<RawValue>>> = vec![Vec::new()];
    let mut bytes = 0;
    for line in lines {
        bytes += line.get().len();
        if bytes > LINES {
            bytes = line.get().len();
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(line);
        }
    }
    let mut messages = Vec::new();
    for (number, lanes) in parts.iter().enumerate() {
        // Counts of all lanes go once, and alone where there are many.
        let queues = queues.filter(|_| number == 0);
        let wire = WireOut { schema_version: SCHEMA_VERSION, replica, queues, lanes, leaves };
        messages.extend(serde_json::to_vec(&wire).ok().map(packed).filter(|body| body.len() <= LARGEST));
    }
    messages
}

fn packed(body: Vec<u8>) -> Vec<u8> {
    if body.len() <= PLAIN {
        return body;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    match encoder.write_all(&body).and_then(|()| encoder.finish()) {
        Ok(packed) => packed,
        Err(_) => body,
    }
}

/// Reads what some other replica, or anybody, wrote.
pub(super) fn read(body: &[u8]) -> Result<Message, MessageError> {
    if body.len() > LARGEST {
        return Err(MessageError::TooLarge);
    }
    if !body.starts_with(&GZIP) {
        return parse(body);
    }
    let mut unpacked = Vec::new();
    let most = UNPACKED + 1;
    match GzDecoder::new(body).take(most).read_to_end(&mut unpacked) {
        Ok(length) if length as u64 == most => Err(MessageError::TooLarge),
        Ok(_) => parse(&unpacked),
        Err(error) => Err(MessageError::Malformed(serde_json::Error::io(error))),
    }
}

fn parse(body: &[u8]) -> Result<Message, MessageError> {
    let WireIn { schema_version, mut replica, mut queues, lanes, leaves } =
        serde_json::from_slice(body).map_err(MessageError::Malformed)?;
    if schema_version != SCHEMA_VERSION {
        return Err(MessageError::Version(schema_version));
    }
    if replica.name.is_empty() || replica.name.len() > 255 || replica.name.contains(char::is_control) {
        return Err(MessageError::Name);
    }
    for text in [&mut replica.version, &mut replica.revision, &mut replica.config.hash] {
        cut(text);
    }
    replica.broker_version.iter_mut().for_each(cut);
    if let Some(queues) = &mut queues {
        queues.lanes.retain(|account, _| is_account(account));
        while queues.lanes.len() > MOST_COUNTED {
            queues.lanes.pop_last();
        }
    }
    let lanes = lanes.into_iter().filter_map(|line| {
        let text = line.get();
        // A state that a newer version knows costs that line only.
        let report: LaneReport = serde_json::from_str(text).ok()?;
        is_account(&report.account).then(|| {
            let report = bounded(report);
            let size = size(&report, text);
            (report, size)
        })
    });
    Ok(Message { replica, leaves, queues, lanes: lanes.collect() })
}

/// Whether an account may be called so: `[a-z0-9][a-z0-9_-]{0,63}`.
fn is_account(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TEXT) {
        text.truncate(end);
    }
}

/// Each text and each count of it stands in the text that it was read from; a count takes a place in a map besides.
fn size(report: &LaneReport, text: &str) -> usize {
    let details = report.details.as_ref().map_or(0, |details| {
        size_of_val(&*details.history) + size_of_val(&*details.calls) + size_of_val(&*details.failures)
    });
    size_of::<LaneReport>() + details + 4 * text.len()
}

fn bounded(mut report: LaneReport) -> LaneReport {
    cut(&mut report.why);
    for counts in [&mut report.hour, &mut report.hour_before, &mut report.total] {
        bound_counts(counts);
    }
    if let Some(stuck) = &mut report.stuck {
        cut(&mut stuck.why);
    }
    if let Some(error) = &mut report.last_error {
        cut(&mut error.words);
    }
    if let Some(details) = &mut report.details {
        details.history.truncate(HISTORY);
        details.history.shrink_to_fit();
        details.calls.truncate(ENTRIES);
        details.calls.shrink_to_fit();
        details.failures.truncate(FAILURES);
        details.failures.shrink_to_fit();
        details.field_changes.truncate(FIELD_CHANGES);
        details.field_changes.shrink_to_fit();
        for changed in &mut details.field_changes {
            for text in [&mut changed.entity, &mut changed.field, &mut changed.change] {
                cut(text);
            }
            changed.before.iter_mut().chain(&mut changed.now).for_each(cut);
        }
        details.bulk_features.retain(|feature, _| feature.len() <= 64);
        while details.bulk_features.len() > ENTRIES {
            details.bulk_features.pop_last();
        }
        for call in &mut details.calls {
            cut(&mut call.endpoint);
            cut(&mut call.outcome);
        }
        for failed in &mut details.failures {
            for text in [&mut failed.event_type, &mut failed.reason, &mut failed.problem] {
                cut(text);
            }
            for text in [&mut failed.trait_path, &mut failed.field, &mut failed.expected, &mut failed.got] {
                text.iter_mut().for_each(cut);
            }
        }
    }
    report
}

fn bound_counts(counts: &mut HourCounts) {
    for by_reason in [&mut counts.skipped, &mut counts.dead_lettered] {
        by_reason.retain(|reason, _| reason.len() <= 64);
        while by_reason.len() > ENTRIES {
            by_reason.pop_last();
        }
    }
}

#[cfg(test)]
mod tests;

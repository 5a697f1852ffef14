//! Several events in one body: an array of them, or Segment's `{"batch": […]}` with members beside it that belong to
//! each event.
//!
//! `opener` finds the events. The router and the file feed make the body of a single one when it is needed, so that a
//! body is held once however many events are in it. An event has the same bytes each time.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::Hasher as _;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::unwrap::{InnerText, original, readable, unwrap};
use crate::object::{Member, ObjectWriter, elements, find, members, string};
use crate::outcome::Refusal;
use crate::segment::envelope::integrations::OWN_NAMES;
use crate::segment::text::kind::JsonKind;
use crate::segment::{RoutingKeys, routing_keys};

/// The most events of one body. A larger batch is refused.
pub const BATCH_EVENTS: usize = 5000;

/// The members beside `batch` that belong to each event.
const OUTER: [(&str, Merge); 5] = [
    ("context", Merge::ByKey),
    ("integrations", Merge::ByKey),
    ("writeKey", Merge::IfMissing),
    ("projectId", Merge::IfMissing),
    ("sentAt", Merge::IfMissing),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// The event gets each key that its own object does not have.
    ByKey,
    /// The event gets the member if it has none of its own.
    IfMissing,
}

/// A body that holds several events.
#[derive(Debug)]
pub struct Batch {
    /// The array, or the object around it.
    text: Bytes,
    /// The events' places in `text`.
    parts: Vec<Range<usize>>,
    outer: Vec<Outer>,
    /// The accounts' keys of the batch's wrappings.
    wrappings: Vec<RoutingKeys>,
    unwrap: Arc<[String]>,
    /// Identifies the message; see [`Batch::message_id`].
    digest: u128,
}

/// A member beside `batch` that belongs to each event.
#[derive(Debug)]
struct Outer {
    name: &'static str,
    merge: Merge,
    value: Bytes,
}

/// The member of this name beside `batch` is not UTF-8.
pub(in crate::segment) struct NotUtf8(pub(in crate::segment) &'static str);

impl Batch {
    /// Finds the events, and one more than [`BATCH_EVENTS`] if there are too many. `text` is JSON: an array, or an
    /// object whose `batch` is one. `origin` distinguishes the message from others with the same text.
    pub(in crate::segment) fn split(
        text: &Bytes,
        wrappings: Vec<RoutingKeys>,
        unwrap: Arc<[String]>,
        origin: &str,
    ) -> Result<Self, NotUtf8> {
        let whole = readable(text);
        let (array, outer) = if JsonKind::of(&whole) == JsonKind::Array {
            (&*whole, Vec::new())
        } else {
            (find(&whole, "batch").unwrap_or_default(), outer(text, &whole)?)
        };
        let start = whole.as_ptr().addr();
        let mut parts = Vec::new();
        for element in elements(array).take(BATCH_EVENTS + 1) {
            let at = element.as_ptr().addr().saturating_sub(start);
            parts.push(at..at + element.len());
        }
        let mut hasher = SipHasher13::new();
        hasher.write(origin.as_bytes());
        // The end of `origin`: no UTF-8 text has this byte.
        hasher.write_u8(0xff);
        hasher.write(text);
        let digest = hasher.finish128().as_u128();
        Ok(Self { text: text.clone(), parts, outer, wrappings, unwrap, digest })
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is no event in it. [`Opener::open`](super::opener::Opener::open) refuses such a batch.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The bytes that are added to each event.
    pub(in crate::segment) fn outer_bytes(&self) -> usize {
        self.outer.iter().map(|outer| outer.name.len() + outer.value.len()).sum()
    }

    /// The keys by which the account of the batch as a whole is found.
    pub(in crate::segment) fn keys(&self) -> Vec<RoutingKeys> {
        let outer = |name: &str| {
            let outer = self.outer.iter().find(|outer| outer.name == name)?;
            string(std::str::from_utf8(&outer.value).unwrap_or_default()).map(Cow::into_owned)
        };
        let own = RoutingKeys { write_key: outer("writeKey"), project_id: outer("projectId") };
        std::iter::once(own).chain(self.wrappings.iter().cloned()).collect()
    }

    /// The keys by which the account of the event at this index is found, those nearest to it first.
    pub fn keys_of(&self, index: usize) -> Result<Vec<RoutingKeys>, Refusal> {
        let (event, wrappings) = self.event(index);
        let (own, mut outer) = (routing_keys(&event), self.keys());
        let own = match own {
            Ok(own) => own,
            // An element that is no event belongs to the batch's account, if that is known.
            Err(_) if outer.iter().any(|keys| *keys != RoutingKeys::default()) => RoutingKeys::default(),
            Err(refusal) => return Err(refusal),
        };
        // As in the body that the lane will read.
        let beside = outer.first().cloned().unwrap_or_default();
        let merged = RoutingKeys {
            write_key: own.write_key.or(beside.write_key),
            project_id: own.project_id.or(beside.project_id),
        };
        let mut keys = vec![merged];
        keys.extend(wrappings);
        keys.append(&mut outer);
        Ok(keys)
    }

    /// The body of the event at this index, as if it had been sent alone: without its wrappings, with the members
    /// beside `batch`, and with a `messageId`. An element that is no object is returned unchanged.
    pub fn body(&self, index: usize) -> Bytes {
        let (event, _) = self.event(index);
        let Ok(text) = std::str::from_utf8(&event) else { return event };
        if JsonKind::of(text) != JsonKind::Object {
            return event;
        }
        let needs_id = find(text, "messageId").is_none_or(is_missing);
        if !needs_id && self.outer.is_empty() {
            return event;
        }
        let id = needs_id.then(|| self.message_id(index));
        merged(text, &self.outer, id.as_deref()).into()
    }

    /// The event's bytes in the batch, and the accounts' keys of its wrappings.
    fn event(&self, index: usize) -> (Bytes, Vec<RoutingKeys>) {
        let part = self.parts.get(index).map(|part| self.text.slice(part.clone())).unwrap_or_default();
        if self.unwrap.is_empty() {
            return (part, Vec::new());
        }
        let unwrapped = unwrap(&part, &self.unwrap);
        match unwrapped.inner {
            InnerText::Event(event) => (event, unwrapped.keys),
            // Its lane refuses it.
            InnerText::Array(_) | InnerText::Batch(_) | InnerText::Nothing => (part, unwrapped.keys),
        }
    }

    /// A `messageId` for the event at this index. It is the same each time that the message is split, and different for
    /// every other message.
    fn message_id(&self, index: usize) -> String {
        format!("freshet-{:032x}-{index}", self.digest)
    }
}

/// The members beside `batch` that are neither null nor empty.
fn outer(text: &Bytes, object: &str) -> Result<Vec<Outer>, NotUtf8> {
    let mut outer = Vec::new();
    for (name, merge) in OUTER {
        let Some(value) = find(object, name) else { continue };
        if JsonKind::of(value) == JsonKind::Null || (merge == Merge::ByKey && is_empty(value)) {
            continue;
        }
        let value = original(text, object, value);
        if std::str::from_utf8(&value).is_err() {
            return Err(NotUtf8(name));
        }
        outer.push(Outer { name, merge, value });
    }
    Ok(outer)
}

/// Whether the value is `{}`, or `[]`, which PHP writes for it.
fn is_empty(value: &str) -> bool {
    match JsonKind::of(value) {
        JsonKind::Object => members(value).next().is_none(),
        JsonKind::Array => elements(value).next().is_none(),
        JsonKind::Null | JsonKind::Bool | JsonKind::Number | JsonKind::Text => false,
    }
}

/// Whether a `messageId` counts as missing. One of a wrong kind stays, and decoding refuses the event.
fn is_missing(value: &str) -> bool {
    match JsonKind::of(value) {
        JsonKind::Null => true,
        JsonKind::Text => string(value).is_some_and(|text| text.trim().is_empty()),
        JsonKind::Bool | JsonKind::Number | JsonKind::Array | JsonKind::Object => false,
    }
}

/// The event with the members beside `batch` and with the generated `messageId`.
fn merged(event: &str, outer: &[Outer], id: Option<&str>) -> String {
    let room: usize = outer.iter().map(|outer| outer.name.len() + outer.value.len() + 4).sum();
    let mut writer = ObjectWriter::with_capacity(event.len() + room + 80);
    let mut own = vec![None; outer.len()];
    for member in members(event) {
        let name = member.name();
        if let Some(place) = outer.iter().position(|outer| outer.name == name).and_then(|at| own.get_mut(at))
        {
            *place = Some(member.value);
        } else if id.is_none() || name != "messageId" {
            writer.member(member);
        }
    }
    if let Some(id) = id {
        writer.text("messageId", id);
    }
    for (Outer { name, merge, value }, own) in outer.iter().zip(own) {
        let outer = std::str::from_utf8(value).unwrap_or_default();
        match own {
            None => writer.json(name, outer),
            Some(own) if JsonKind::of(own) == JsonKind::Null => writer.json(name, outer),
            Some(own) if *merge == Merge::ByKey && is_empty(own) => writer.json(name, outer),
            Some(own) if *merge == Merge::ByKey && both_objects(own, outer) => {
                writer.json(name, &merged_by_key(name, own, outer));
            }
            Some(own) => writer.json(name, own),
        }
    }
    writer.finish()
}

fn both_objects(own: &str, outer: &str) -> bool {
    JsonKind::of(own) == JsonKind::Object && JsonKind::of(outer) == JsonKind::Object
}

/// The members of both objects; of two with one name, the event's.
fn merged_by_key(name: &str, own: &str, outer: &str) -> String {
    let mut writer = ObjectWriter::with_capacity(own.len() + outer.len());
    let mut names = HashSet::new();
    // This destination has several names in `integrations`. If the event has a value under any of them, it decides,
    // and the batch's values for all of them are left out. Null decides nothing.
    let ours = |member: &Member<'_>| name == "integrations" && OWN_NAMES.contains(&&*member.name());
    let mut has_ours = false;
    for member in members(own) {
        if ours(&member) {
            if JsonKind::of(member.value) == JsonKind::Null {
                continue;
            }
            has_ours = true;
        }
        names.insert(member.name());
        writer.member(member);
    }
    members(outer)
        .filter(|member| !(names.contains(&member.name()) || has_ours && ours(member)))
        .for_each(|member| writer.member(member));
    writer.finish()
}

#[cfg(test)]
mod tests;

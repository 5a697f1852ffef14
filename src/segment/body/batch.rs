//! Several events in one body: an array of them, or Segment's `{"batch": […]}` with what stands under each. Pure.
//!
//! The router and the file feed make single events of them, each when it is needed: a body is held once, however many
//! events are in it. An event becomes the same bytes each time.

use std::collections::HashSet;
use std::hash::Hasher as _;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::unwrap::{Inner, original, readable, unwrap};
use crate::object::{Member, ObjectWriter, elements, find, members, string};
use crate::outcome::Refusal;
use crate::segment::envelope::integrations::OWN_NAMES;
use crate::segment::text::kind::Kind;
use crate::segment::{RoutingKeys, routing_keys};

/// The most events of one body.
pub const BATCH_EVENTS: usize = 5000;

/// What stands beside `batch` and under each event, and how.
const OUTER: [(&str, Under); 5] = [
    ("context", Under::Merged),
    ("integrations", Under::Merged),
    ("writeKey", Under::Whole),
    ("projectId", Under::Whole),
    ("sentAt", Under::Whole),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Under {
    /// Key by key, the event's own winning.
    Merged,
    /// Where the event has none.
    Whole,
}

/// A body that holds several events.
#[derive(Debug)]
pub struct Batch {
    /// The array, with or without what is around it.
    text: Bytes,
    /// Where its elements are.
    parts: Vec<Range<usize>>,
    outer: Vec<Outer>,
    /// The accounts' keys of what the batch is wrapped in.
    wrappings: Vec<RoutingKeys>,
    unwrap: Arc<[String]>,
    /// Names the batch; see [`Batch::message_id`].
    digest: u128,
}

/// A member that stands under each event.
#[derive(Debug)]
struct Outer {
    name: &'static str,
    under: Under,
    value: Bytes,
}

/// This member beside `batch` is no UTF-8.
pub(in crate::segment) struct Unreadable(pub(in crate::segment) &'static str);

impl Batch {
    /// Finds the events, and one more than may be there at the most. `text` is JSON: an array, or an object whose `batch`
    /// is one. `origin` says which message it is of those with this very text.
    pub(in crate::segment) fn split(
        text: &Bytes,
        wrappings: Vec<RoutingKeys>,
        unwrap: Arc<[String]>,
        origin: &str,
    ) -> Result<Self, Unreadable> {
        let whole = readable(text);
        let (array, outer) = if Kind::of(&whole) == Kind::Array {
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
        // No text has this byte, so nothing of the one can be taken for the other.
        hasher.write_u8(0xff);
        hasher.write(text);
        let digest = hasher.finish128().as_u128();
        Ok(Self { text: text.clone(), parts, outer, wrappings, unwrap, digest })
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many bytes are held with it.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// How many bytes stand under each event.
    pub(in crate::segment) fn outer_bytes(&self) -> usize {
        self.outer.iter().map(|outer| outer.name.len() + outer.value.len()).sum()
    }

    /// The keys by which the batch as a whole names its account.
    pub(in crate::segment) fn keys(&self) -> Vec<RoutingKeys> {
        let outer = |name: &str| {
            let outer = self.outer.iter().find(|outer| outer.name == name)?;
            string(std::str::from_utf8(&outer.value).unwrap_or_default())
        };
        let own = RoutingKeys { write_key: outer("writeKey"), project_id: outer("projectId") };
        std::iter::once(own).chain(self.wrappings.iter().cloned()).collect()
    }

    /// The keys by which the event at this place names its account, the nearest to it first.
    pub fn keys_of(&self, index: usize) -> Result<Vec<RoutingKeys>, Refusal> {
        let (event, wrappings) = self.event(index);
        let (own, mut outer) = (routing_keys(&event), self.keys());
        let own = match own {
            Ok(own) => own,
            // What is no event is its account's all the same, if the batch says whose it is.
            Err(_) if outer.iter().any(|keys| *keys != RoutingKeys::default()) => RoutingKeys::default(),
            Err(refusal) => return Err(refusal),
        };
        // Merged, as the lane reads it.
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

    /// The body of the event at this place, as if it had been sent alone: out of its wrapping, with what stands under
    /// each, and with a `messageId`. What is no object is handed back as it is.
    pub fn body(&self, index: usize) -> Bytes {
        let (event, _) = self.event(index);
        let Ok(text) = std::str::from_utf8(&event) else { return event };
        if Kind::of(text) != Kind::Object {
            return event;
        }
        let needs_id = find(text, "messageId").is_none_or(names_nothing);
        if !needs_id && self.outer.is_empty() {
            return event;
        }
        let id = needs_id.then(|| self.message_id(index));
        merged(text, &self.outer, id.as_deref()).into()
    }

    /// The event as it stands in the batch, and the keys of its wrappings.
    fn event(&self, index: usize) -> (Bytes, Vec<RoutingKeys>) {
        let part = self.parts.get(index).map(|part| self.text.slice(part.clone())).unwrap_or_default();
        if self.unwrap.is_empty() {
            return (part, Vec::new());
        }
        let unwrapped = unwrap(&part, &self.unwrap);
        match unwrapped.inner {
            Inner::Event(event) => (event, unwrapped.keys),
            // For its lane to refuse, as it stands.
            Inner::Array(_) | Inner::Batch(_) | Inner::Nothing => (part, unwrapped.keys),
        }
    }

    /// A `messageId` for the event at this place: the same each time that the message is split, another one for every
    /// other message that differs in anything.
    fn message_id(&self, index: usize) -> String {
        format!("freshet-{:032x}-{index}", self.digest)
    }
}

/// What stands under each event; what is null or empty is left out.
fn outer(text: &Bytes, object: &str) -> Result<Vec<Outer>, Unreadable> {
    let mut outer = Vec::new();
    for (name, under) in OUTER {
        let Some(value) = find(object, name) else { continue };
        if Kind::of(value) == Kind::Null || (under == Under::Merged && is_empty(value)) {
            continue;
        }
        let value = original(text, object, value);
        if std::str::from_utf8(&value).is_err() {
            return Err(Unreadable(name));
        }
        outer.push(Outer { name, under, value });
    }
    Ok(outer)
}

/// Whether it is `{}`, or PHP's `[]` for it.
fn is_empty(value: &str) -> bool {
    match Kind::of(value) {
        Kind::Object => members(value).next().is_none(),
        Kind::Array => elements(value).next().is_none(),
        Kind::Null | Kind::Bool | Kind::Number | Kind::Text => false,
    }
}

/// Whether a `messageId` is none. One of another kind is the event's fault, and stays.
fn names_nothing(value: &str) -> bool {
    match Kind::of(value) {
        Kind::Null => true,
        Kind::Text => string(value).is_some_and(|text| text.trim().is_empty()),
        Kind::Bool | Kind::Number | Kind::Array | Kind::Object => false,
    }
}

/// The event with the outer members under its own, and the made-up `messageId`.
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
    for (Outer { name, under, value }, own) in outer.iter().zip(own) {
        let outer = std::str::from_utf8(value).unwrap_or_default();
        match own {
            None => writer.json(name, outer),
            Some(own) if Kind::of(own) == Kind::Null => writer.json(name, outer),
            Some(own) if *under == Under::Merged && is_empty(own) => writer.json(name, outer),
            Some(own) if *under == Under::Merged && both_objects(own, outer) => {
                writer.json(name, &under_own(name, own, outer));
            }
            Some(own) => writer.json(name, own),
        }
    }
    writer.finish()
}

fn both_objects(own: &str, outer: &str) -> bool {
    Kind::of(own) == Kind::Object && Kind::of(outer) == Kind::Object
}

/// The members of both, those of the event winning.
fn under_own(name: &str, own: &str, outer: &str) -> String {
    let mut writer = ObjectWriter::with_capacity(own.len() + outer.len());
    let mut names = HashSet::new();
    // This destination has several names: what the event says under any of them is its word, and null says nothing.
    let ours = |member: &Member<'_>| name == "integrations" && OWN_NAMES.contains(&&*member.name());
    let mut says_ours = false;
    for member in members(own) {
        if ours(&member) {
            if Kind::of(member.value) == Kind::Null {
                continue;
            }
            says_ours = true;
        }
        names.insert(member.name());
        writer.member(member);
    }
    members(outer)
        .filter(|member| !(names.contains(&member.name()) || says_ours && ours(member)))
        .for_each(|member| writer.member(member));
    writer.finish()
}

#[cfg(test)]
mod tests;

//! Makes a message's properties fit a frame of the size that both sides agreed on. Pure.
//!
//! All properties travel in one frame. The broker closes the connection over a larger one, again and again, and that stops
//! every account. So the detail of a dead letter is cut first, and then the largest headers are left out.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::Value;

use super::properties::{COPY, QUEUED_AT, text};
use crate::dead_letter::header_names::{self, DETAIL, LEFT_OUT, REPLAYS};

/// The headers of the router and of dead letters, beside the detail. They are the last to be left out.
const OWN_HEADERS: [&str; 11] = [
    QUEUED_AT,
    COPY,
    LEFT_OUT,
    "freshet-reason",
    header_names::ACCOUNT,
    "freshet-event-type",
    "freshet-message-id",
    "freshet-attempts",
    "freshet-http-status",
    "freshet-failed-at",
    REPLAYS,
];
/// A header with such a name that is larger comes from a sender.
const LARGEST_OWN: usize = 512;
/// Bytes that do not depend on texts: the frame, class, weight, body size and flags; then delivery mode, priority, timestamp
/// and the length of the headers.
const FIXED: usize = 8 + 2 + 2 + 8 + 2 + 1 + 1 + 8 + 4;
/// The most characters that are kept of a text where one problem alone is too large for the detail.
const LONGEST_TEXT: usize = 500;

/// The same properties without what does not fit. A sixteenth of the frame is left to the broker, which adds headers when it
/// delivers a message again or dead-letters it.
pub(in crate::broker) fn fit(properties: BasicProperties, frame_max: usize) -> BasicProperties {
    let room = frame_max - frame_max / 16;
    let fixed = FIXED + texts(&properties);
    match properties.headers() {
        Some(headers) if fixed + size_of_entries(headers) > room => {
            let headers = cut(headers, room.saturating_sub(fixed), frame_max / 8);
            properties.with_headers(headers)
        }
        Some(_) | None => properties,
    }
}

/// Cuts headers to `room` bytes, and the detail among them to `detail_room` bytes.
fn cut(headers: &FieldTable, room: usize, detail_room: usize) -> FieldTable {
    let mut kept: BTreeMap<ShortString, AMQPValue> = headers.inner().clone();
    let mut own_detail = false;
    if let Some(detail) = kept.get_mut(DETAIL)
        && let Some(cut) = text(detail).and_then(|text| cut_detail(text, detail_room))
    {
        *detail = AMQPValue::LongString(cut.into());
        own_detail = true;
    }
    let mut size: usize = kept.iter().map(|(name, value)| size_of_entry(name, value)).sum();
    let mut candidates: Vec<(bool, usize, ShortString)> = kept
        .iter()
        .map(|(name, value)| {
            let size = size_of_entry(name, value);
            let own = (OWN_HEADERS.contains(&name.as_str()) && size <= LARGEST_OWN)
                || (own_detail && name.as_str() == DETAIL);
            (!own, size, name.clone())
        })
        .collect();
    candidates.sort();
    // Counts on from what the router left out before.
    let mut left_out = kept.get(LEFT_OUT).and_then(AMQPValue::as_long_long_int).unwrap_or_default();
    let note = (ShortString::from(LEFT_OUT), AMQPValue::LongLongInt(left_out));
    let room = room.saturating_sub(size_of_entry(&note.0, &note.1));
    while size > room
        && let Some((_, taken, name)) = candidates.pop()
    {
        kept.remove(&name);
        size -= taken;
        left_out = left_out.saturating_add(1);
    }
    if left_out > 0 {
        kept.insert(note.0, AMQPValue::LongLongInt(left_out));
    }
    kept.into()
}

/// Keeps as many whole problems of a list as fit. A first problem that is too large alone has its texts cut. `None` if the
/// detail is not such a list.
fn cut_detail(detail: &str, room: usize) -> Option<String> {
    let problems: Vec<Value> = serde_json::from_str(detail).ok()?;
    // For the brackets.
    let mut size = 2;
    let mut kept = Vec::new();
    for problem in &problems {
        let problem = problem.to_string();
        size += problem.len() + 1;
        if size > room {
            break;
        }
        kept.push(problem);
    }
    if kept.is_empty()
        && let Some(first) = problems.into_iter().next()
    {
        kept.push(shortened(first, room.saturating_sub(2)));
    }
    Some(format!("[{}]", kept.join(",")))
}

/// Cuts a problem's texts until it fits.
fn shortened(mut problem: Value, room: usize) -> String {
    let mut longest = LONGEST_TEXT;
    loop {
        for value in problem.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
            if let Value::String(text) = value {
                *text = text.chars().take(longest).collect();
            }
        }
        let written = problem.to_string();
        if written.len() <= room || longest == 0 {
            return written;
        }
        longest /= 2;
    }
}

/// The bytes of the properties that are short strings.
fn texts(properties: &BasicProperties) -> usize {
    let texts = [
        properties.content_type(),
        properties.content_encoding(),
        properties.correlation_id(),
        properties.reply_to(),
        properties.expiration(),
        properties.message_id(),
        properties.kind(),
        properties.user_id(),
        properties.app_id(),
        properties.cluster_id(),
    ];
    texts.into_iter().flatten().map(|text| 1 + text.as_str().len()).sum()
}

pub(in crate::broker) fn size_of_entries(table: &FieldTable) -> usize {
    table.inner().iter().map(|(name, value)| size_of_entry(name, value)).sum()
}

fn size_of_entry(name: &ShortString, value: &AMQPValue) -> usize {
    2 + name.as_str().len() + size_of_value(value)
}

fn size_of_value(value: &AMQPValue) -> usize {
    if let AMQPValue::LongString(text) = value {
        4 + text.as_bytes().len()
    } else if let AMQPValue::ShortString(text) = value {
        1 + text.as_str().len()
    } else if let AMQPValue::ByteArray(bytes) = value {
        4 + bytes.as_slice().len()
    } else if let AMQPValue::FieldArray(items) = value {
        4 + items.as_slice().iter().map(|item| 1 + size_of_value(item)).sum::<usize>()
    } else if let AMQPValue::FieldTable(table) = value {
        4 + size_of_entries(table)
    } else {
        // A number, a flag, a time or nothing.
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::amqp::{properties, republished};

    const FRAME_MAX: usize = 131_072;

    fn long(length: usize) -> AMQPValue {
        AMQPValue::LongString("x".repeat(length).into())
    }

    fn with(headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_headers(table)
    }

    fn names(properties: &BasicProperties) -> Vec<String> {
        properties.headers().as_ref().unwrap().inner().keys().map(ToString::to_string).collect()
    }

    #[test]
    fn headers_that_fill_a_frame_are_left_out_largest_first() {
        let original = with(&[("tenant", long(2)), ("large", long(100_000)), ("small", long(30_000))]);
        let lane = fit(republished::for_lane(original.clone(), jiff::Timestamp::now()), FRAME_MAX);
        assert_eq!(names(&lane), [LEFT_OUT, QUEUED_AT, "small", "tenant"]);
        let mut added = FieldTable::default();
        added.insert("freshet-reason".into(), long(100));
        let dead = fit(republished::for_dead_letter(&lane, &added), 16_384);
        assert_eq!(names(&dead), [LEFT_OUT, "freshet-reason", "tenant"]);
        let left_out = properties::header(&dead, LEFT_OUT);
        assert_eq!(left_out, Some(&AMQPValue::LongLongInt(2)), "the router's and this one");
    }

    #[test]
    fn what_an_earlier_letter_said_takes_no_room_from_the_sender_s_headers() {
        let original = with(&[(DETAIL, long(16_000)), ("large", long(100_000))]);
        let mut added = FieldTable::default();
        added.insert(DETAIL.into(), AMQPValue::LongString(format!("[\"{}\"]", "y".repeat(16_000)).into()));
        let dead = fit(republished::for_dead_letter(&original, &added), FRAME_MAX);
        assert_eq!(names(&dead), [DETAIL, "large"]);
    }

    #[test]
    fn a_detail_is_cut_at_whole_problems_and_one_that_is_too_large_alone_in_its_texts() {
        let problem = |text: &str| format!(r#"{{"field":null,"problem":"{text}"}}"#);
        let three = format!("[{}]", [problem("first"), problem("second"), problem("third")].join(","));
        let read = |text: &str| -> Vec<Value> { serde_json::from_str(text).unwrap() };
        assert_eq!(cut_detail(&three, three.len() + 1), Some(three.clone()));
        assert_eq!(read(&cut_detail(&three, 80).unwrap()).len(), 2);
        let alone = cut_detail(&format!("[{}]", problem(&"\\u0001".repeat(10_000))), 512).unwrap();
        let kept = read(&alone)[0]["problem"].as_str().unwrap().len();
        assert!(alone.len() <= 512 && kept > 50, "{alone}");
        assert!(read(&alone)[0].get("field").is_some(), "all its keys stay");
        assert_eq!(cut_detail("no list", 512), None);
    }
}

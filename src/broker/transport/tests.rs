//! Frames by hand, and what the client library's own parser makes of them. Shared by the tests of this folder.

mod fuzz;

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::basic;
use lapin::types::{AMQPValue, FieldTable};

use super::deliveries::recent::{RecentDeliveries, RecentDelivery};
use super::frames::walker::Walker;

pub(super) const FRAME_MAX: usize = 131_072;

pub(in crate::broker) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap();
    [&[kind], &channel.to_be_bytes()[..], &size.to_be_bytes(), payload, &[0xCE]].concat()
}

pub(super) fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

pub(in crate::broker) fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A value with its type.
pub(super) fn typed(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], value].concat()
}

pub(super) fn deliver(channel: u16, tag: u64, exchange: &[u8], key: &[u8]) -> Vec<u8> {
    let rest = [&tag.to_be_bytes()[..], &[1], &short(exchange), &short(key)].concat();
    frame(1, channel, &[&[0, 60, 0, 60], &short(b"worker acme")[..], &rest].concat())
}

/// `properties` from their flags on.
pub(super) fn header(channel: u16, properties: &[u8]) -> Vec<u8> {
    frame(2, channel, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], properties].concat())
}

pub(super) fn body(channel: u16) -> Vec<u8> {
    frame(3, channel, b"{}")
}

pub(super) fn only(bit: u16, value: &[u8]) -> Vec<u8> {
    [&(1_u16 << bit).to_be_bytes()[..], value].concat()
}

/// Only headers, with these entries.
pub(super) fn headers(entries: &[u8]) -> Vec<u8> {
    only(13, &long(entries))
}

/// Walks over bytes that come in these pieces.
pub(super) fn walk<'a>(
    walker: &mut Walker,
    seen: &RecentDeliveries,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut walked = 0;
    for piece in pieces {
        bytes.extend_from_slice(piece);
        walked += walker.walk(&mut bytes[walked..], &mut seen.lock());
    }
    bytes
}

pub(super) fn walk_whole(bytes: &[u8]) -> Vec<u8> {
    walk(&mut Walker::new(131_072), &RecentDeliveries::default(), [bytes])
}

/// What the client library reads; fails where it would end the connection.
pub(super) fn read(mut bytes: &[u8]) -> Result<Vec<AMQPFrame>, String> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (rest, frame) =
            parse_frame(bytes).map_err(|error| format!("frame {}: {error:?}", frames.len()))?;
        let size = bytes.len() - rest.len();
        if size > FRAME_MAX {
            return Err(format!("frame {} is too large: {size}", frames.len()));
        }
        bytes = rest;
        frames.push(frame);
    }
    Ok(frames)
}

/// The properties in the first content header.
fn properties(bytes: &[u8]) -> basic::AMQPProperties {
    let frames = read(&walk_whole(bytes)).unwrap();
    let header = frames.into_iter().find_map(|frame| match frame {
        AMQPFrame::Header(_, header) => Some(header),
        AMQPFrame::ProtocolHeader(_)
        | AMQPFrame::Method(..)
        | AMQPFrame::Body(..)
        | AMQPFrame::Heartbeat
        | AMQPFrame::InvalidHeartbeat(_) => None,
    });
    header.unwrap().properties
}

fn table(bytes: &[u8]) -> FieldTable {
    properties(bytes).headers().clone().unwrap()
}

#[test]
fn bytes_that_are_no_utf_8_become_question_marks_in_every_property() {
    for (bit, get) in [
        (15, basic::AMQPProperties::content_type as fn(&basic::AMQPProperties) -> &Option<_>),
        (14, basic::AMQPProperties::content_encoding),
        (10, basic::AMQPProperties::correlation_id),
        (9, basic::AMQPProperties::reply_to),
        (8, basic::AMQPProperties::expiration),
        (7, basic::AMQPProperties::message_id),
        (5, basic::AMQPProperties::kind),
        (4, basic::AMQPProperties::user_id),
        (3, basic::AMQPProperties::app_id),
        (2, basic::AMQPProperties::cluster_id),
    ] {
        let sent = header(1, &only(bit, &short(b"caf\xe9")));
        assert!(read(&sent).is_err(), "the client library would have read it");
        assert_eq!(get(&properties(&sent)).as_ref().unwrap().as_str(), "caf?", "bit {bit}");
    }
}

#[test]
fn only_the_bytes_that_belong_to_no_character_change() {
    for (sent, readable) in [
        (&b"caf\xc3\xa9"[..], "café"),
        (b"\xff\xfe", "??"),
        (b"a\xc3", "a?"),
        (b"\xe2\x82", "??"),
        (b"\xe2\x82x\xe2\x82\xac", "??x€"),
        (b"\xed\xa0\x80", "???"),
        (b"", ""),
    ] {
        let read = properties(&header(1, &only(3, &short(sent))));
        assert_eq!(read.app_id().as_ref().unwrap().as_str(), readable);
    }
}

#[test]
fn names_of_headers_are_made_readable_at_every_depth_and_their_values_stay() {
    let innermost = [short(b"n\xff"), typed(b'S', &long(b"\xff kept"))].concat();
    let in_array = long(&typed(b'F', &long(&innermost)));
    let entries = [short(b"o\xfe"), typed(b'A', &in_array)].concat();
    let table = table(&header(1, &headers(&entries)));
    let Some(AMQPValue::FieldArray(items)) = table.inner().get("o?") else { panic!("{table:?}") };
    let AMQPValue::FieldTable(inner) = &items.as_slice()[0] else { panic!("{items:?}") };
    assert_eq!(inner.inner().get("n?"), Some(&AMQPValue::LongString(b"\xff kept".to_vec().into())));
}

#[test]
fn names_that_publishers_chose_are_made_readable_in_methods() {
    let deliver = deliver(3, 7, b"ex\xff", b"key\xe9");
    let returned =
        [&[0, 60, 0, 50, 1, 56][..], &short(b"NO_ROUTE"), &short(b"\xff"), &short(b"\xff")].concat();
    let got = [&[0, 60, 0, 71][..], &[0; 9], &short(b"\xff"), &short(b"k\xff"), &[0; 4]].concat();
    // RabbitMQ cuts its words at 255 bytes, in the middle of a character if need be.
    let closed = [&[0, 20, 0, 40, 1, 148][..], &short(b"no queue '\xc3"), &[0; 4]].concat();
    for sent in [deliver, frame(1, 1, &returned), frame(1, 1, &got), frame(1, 1, &closed)] {
        assert!(read(&sent).is_err(), "the client library would have read it");
        read(&walk_whole(&sent)).unwrap();
    }
}

/// Tables in tables, or arrays in arrays, so deep.
pub(super) fn nested(kind: u8, levels: usize) -> Vec<u8> {
    // Written backwards, from the inside, so that many take no time.
    let mut backwards: Vec<u8> = Vec::new();
    for _ in 0..levels {
        let length = u32::try_from(backwards.len()).unwrap();
        backwards.extend(length.to_le_bytes());
        backwards.push(kind);
        if kind == b'F' {
            // A name of no length.
            backwards.push(0);
        }
    }
    if kind == b'A' && levels > 0 {
        backwards.push(0);
    }
    backwards.reverse();
    backwards
}

fn depth(value: &AMQPValue) -> usize {
    if let AMQPValue::FieldTable(table) = value {
        1 + table.inner().values().map(depth).max().unwrap_or_default()
    } else if let AMQPValue::FieldArray(items) = value {
        1 + items.as_slice().iter().map(depth).max().unwrap_or_default()
    } else {
        0
    }
}

#[test]
fn what_is_nested_too_deeply_becomes_a_byte_array() {
    for kind in [b'F', b'A'] {
        for (levels, left) in [(0, 0), (1, 1), (31, 31), (32, 32), (33, 32), (15_000, 32)] {
            let sent = header(1, &headers(&nested(kind, levels)));
            let table = table(&sent);
            let found = table.inner().values().map(depth).max().unwrap_or_default();
            assert_eq!(found, left, "{levels} levels of {}", char::from(kind));
            assert_eq!(walk_whole(&sent) == sent, levels <= 32);
        }
        // Larger than a frame that the client library takes.
        read_all(&header(1, &headers(&nested(kind, 100_000))));
    }
}

#[test]
fn every_type_that_rabbitmq_takes_is_left_as_it_is() {
    let values: [(u8, &[u8]); 17] = [
        (b't', &[1]),
        (b'b', &[255]),
        (b'B', &[255]),
        (b's', &[1; 2]),
        (b'u', &[1; 2]),
        (b'I', &[1; 4]),
        (b'i', &[1; 4]),
        (b'l', &[1; 8]),
        (b'L', &[1; 8]),
        (b'f', &[1; 4]),
        (b'd', &[1; 8]),
        (b'D', &[1; 5]),
        (b'S', b"\0\0\0\x01\xff"),
        (b'x', b"\0\0\0\x01\xff"),
        (b'T', &[1; 8]),
        (b'V', &[]),
        (b'F', &[0; 4]),
    ];
    let entries: Vec<u8> = values
        .iter()
        .flat_map(|(kind, value)| [short(&[*kind]), typed(*kind, value)].concat())
        .chain(
            [short(b"all"), typed(b'A', &long(&values.map(|(kind, value)| typed(kind, value)).concat()))]
                .concat(),
        )
        .collect();
    let sent = header(1, &headers(&entries));
    assert_eq!(walk_whole(&sent), sent);
    assert_eq!(table(&sent).inner().len(), values.len() + 1);
}

#[test]
fn properties_of_an_unknown_form_become_one_header_and_the_frame_stays_readable() {
    let unknown_type = [short(b"a"), typed(b'?', b"what")].concat();
    let inner = [short(b"inner"), typed(b'F', &long(&unknown_type))].concat();
    let read = table(&header(1, &headers(&inner)));
    assert!(matches!(read.inner().get("inner"), Some(AMQPValue::ByteArray(_))), "{read:?}");
    for rest in 0..600 {
        let sent = header(1, &vec![0xFF; 2 + rest]);
        let walked = walk_whole(&sent);
        assert_eq!(walked.len(), sent.len());
        let read = properties(&walked);
        if rest >= 40 {
            let kept = read.headers().as_ref().unwrap().inner().get("freshet-original-properties");
            assert!(matches!(kept, Some(AMQPValue::ByteArray(bytes)) if bytes.len() == rest - 37));
        }
    }
    // Behind the last property, RabbitMQ would refuse more; reserved flags it does not look at.
    read_all(&[header(1, &[0, 0, 1, 2, 3]), header(1, &[0, 3])].concat());
}

fn read_all(bytes: &[u8]) {
    read(&walk_whole(bytes)).unwrap();
}

#[test]
fn headers_that_exceed_the_negotiated_frame_are_left_out_largest_first() {
    // connection.tune: 2047 channels, frames of 8192 bytes, heartbeats.
    let tune = frame(1, 0, &[0, 10, 0, 30, 7, 255, 0, 0, 32, 0, 0, 60]);
    let text = |name: &[u8], length| [short(name), typed(b'S', &long(&vec![b'x'; length]))].concat();
    for (large, left_out) in [(8000, 0), (8150, 1), (9000, 1), (200_000, 1)] {
        let entries = [text(b"a", 10), text(b"large", large), text(b"b", 20)].concat();
        let sent = [tune.clone(), deliver(1, 1, b"", b"q"), header(1, &headers(&entries)), body(1)].concat();
        let walked = walk_whole(&sent);
        assert_eq!(walked.len(), sent.len());
        let frames = read(&walked).unwrap();
        assert!(matches!(frames.last(), Some(AMQPFrame::Body(1, _))), "{large}");
        let mut rest = walked.as_slice();
        while let Ok((behind, _)) = parse_frame(rest) {
            assert!(rest.len() - behind.len() <= 8192, "{large}: {}", rest.len() - behind.len());
            rest = behind;
        }
        let table = table(&walked);
        let note = table.inner().get("freshet-headers-left-out").and_then(AMQPValue::as_long_long_int);
        assert_eq!(note, (left_out > 0).then_some(left_out), "{large}");
        assert_eq!(table.contains_key("large"), left_out == 0);
        assert!(table.contains_key("a") && table.contains_key("b"));
    }
}

#[test]
fn a_frame_with_a_wrong_end_and_what_is_no_frame_stay_as_they_are() {
    let mut wrong_end = header(1, &only(3, &short(b"\xff")));
    *wrong_end.last_mut().unwrap() = 0;
    for sent in
        [wrong_end, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), frame(7, 1, &header(1, b"\xff\xff"))]
    {
        assert_eq!(walk_whole(&sent), sent);
        assert!(read(&sent).is_err());
    }
}

fn seen(number: u64, id: Option<&str>) -> RecentDelivery {
    RecentDelivery {
        channel: 1,
        consumer_tag: "worker acme".into(),
        delivery_tag: number,
        redelivered: true,
        exchange: "ex".into(),
        routing_key: "acme".into(),
        message_id: id.map(str::to_owned),
    }
}

#[test]
fn the_deliveries_since_the_last_quiet_moment_are_remembered() {
    let (seen_by, mut walker) = (RecentDeliveries::default(), Walker::new(131_072));
    let mut come = |bytes: &[u8]| drop(walk(&mut walker, &seen_by, [bytes]));
    let whole =
        |tag| [deliver(1, tag, b"ex", b"acme"), header(1, &only(7, &short(b"m-\xff"))), body(1)].concat();
    come(&whole(1));
    come(&whole(2));
    assert_eq!(seen_by.since_last_wait(), [seen(1, Some("m-?")), seen(2, Some("m-?"))]);
    seen_by.lock().waiting();
    assert_eq!(seen_by.since_last_wait().len(), 2, "they are parsed now");
    // Comes back for more: they could be read. The next one comes in two parts.
    seen_by.lock().reading();
    assert_eq!(seen_by.since_last_wait(), []);
    come(&deliver(1, 3, b"ex", b"acme"));
    seen_by.lock().waiting();
    seen_by.lock().reading();
    assert_eq!(seen_by.since_last_wait(), [seen(3, None)]);
    come(&header(1, &only(7, &short(b"m-3"))));
    assert_eq!(seen_by.since_last_wait(), [seen(3, Some("m-3"))]);
    seen_by.lock().waiting();
    seen_by.lock().reading();
    (4..1000).for_each(|tag| come(&whole(tag)));
    let recent = seen_by.since_last_wait();
    assert_eq!((recent.len(), recent.last().unwrap().delivery_tag), (256, 999), "and memory is bounded");
    assert_eq!(recent[0].delivery_tag, 744);
}

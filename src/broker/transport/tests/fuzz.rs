//! Any conversation, cut at any byte: what is handed on can be read, has the same length, and is the same where
//! nothing was wrong.

use amq_protocol::frame::AMQPFrame;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{body, deliver, frame, header, long, nested, read, short, typed, walk};
use crate::broker::transport::deliveries::recent::RecentDeliveries;
use crate::broker::transport::frames::walker::Walker;
use crate::fuzz::{any_text, feed};

/// Bytes of a short string.
fn any_short(clean: bool) -> BoxedStrategy<Vec<u8>> {
    let text = prop_oneof![8 => any_text(), 1 => (0_usize..256).prop_map(|length| "y".repeat(length))];
    let text = text.prop_map(String::into_bytes).prop_filter("a short string", |text| text.len() < 256);
    if clean {
        return text.boxed();
    }
    let pieces =
        select(vec![&b"\xe9"[..], b"\xff", b"\xc3", b"\xc3\xa9", b"\xe2\x82", b"\xed\xa0\x80", b"a", b""]);
    let pieces = prop::collection::vec(pieces, 0..20).prop_map(|pieces| pieces.concat());
    let bytes = prop::collection::vec(any::<u8>(), 0..256);
    prop_oneof![4 => text, 2 => pieces, 1 => bytes].boxed()
}

/// A value with its type.
fn any_value(clean: bool) -> BoxedStrategy<Vec<u8>> {
    let of = |kind: u8, width| {
        prop::collection::vec(any::<u8>(), width..=width).prop_map(move |value| typed(kind, &value))
    };
    let bytes = (select(b"Sx".to_vec()), prop::collection::vec(any::<u8>(), 0..64))
        .prop_map(|(kind, bytes)| typed(kind, &long(&bytes)));
    let leaf = prop_oneof![
        select(b"tbB".to_vec()).prop_flat_map(move |kind| of(kind, 1)),
        select(b"su".to_vec()).prop_flat_map(move |kind| of(kind, 2)),
        select(b"Iif".to_vec()).prop_flat_map(move |kind| of(kind, 4)),
        select(b"lLdT".to_vec()).prop_flat_map(move |kind| of(kind, 8)),
        of(b'D', 5),
        of(b'V', 0),
        bytes,
    ];
    leaf.prop_recursive(4, 16, 4, move |inner| {
        let entry =
            (any_short(clean), inner.clone()).prop_map(|(name, value)| [short(&name), value].concat());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| typed(b'A', &long(&items.concat()))),
            prop::collection::vec(entry, 0..4).prop_map(|entries| typed(b'F', &long(&entries.concat()))),
        ]
    })
    .boxed()
}

/// Entries of a table.
fn any_entries(clean: bool) -> BoxedStrategy<Vec<u8>> {
    let entry = (any_short(clean), any_value(clean)).prop_map(|(name, value)| [short(&name), value].concat());
    let entries = prop::collection::vec(entry, 0..6).prop_map(|entries| entries.concat());
    if clean {
        return entries.boxed();
    }
    let deep = (select(b"FA".to_vec()), 0_usize..3000).prop_map(|(kind, levels)| nested(kind, levels));
    let large = (any_short(false), 0_usize..200_000)
        .prop_map(|(name, length)| [short(&name), typed(b'S', &long(&vec![b'x'; length]))].concat());
    let large = prop::collection::vec(large, 1..4).prop_map(|entries| entries.concat());
    prop_oneof![8 => entries, 2 => deep, 1 => large].boxed()
}

/// Properties from their flags on.
fn any_properties(clean: bool) -> BoxedStrategy<Vec<u8>> {
    let texts = prop::collection::vec(any_short(clean), 10);
    (0_u16..1 << 14, texts, any_entries(clean), any::<[u8; 10]>())
        .prop_map(|(flags, texts, entries, numbers)| {
            let mut texts = texts.into_iter();
            let mut properties = (flags << 2).to_be_bytes().to_vec();
            for bit in (2..16_u16).rev().filter(|bit| (flags << 2) & 1 << bit != 0) {
                match bit {
                    13 => properties.extend(long(&entries)),
                    12 | 11 => properties.push(numbers[usize::from(bit - 11)]),
                    6 => properties.extend(&numbers[2..]),
                    _ => properties.extend(short(&texts.next().unwrap())),
                }
            }
            properties
        })
        .boxed()
}

/// Properties whose bytes were changed at random.
fn any_wreck() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 0..6);
    (any_properties(false), changes, any::<Index>(), any::<bool>()).prop_map(
        |(mut bytes, changes, cut, cuts)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cuts {
                bytes.truncate(cut.index(bytes.len()).max(2));
            }
            bytes
        },
    )
}

/// What a broker may send at one time.
fn any_piece(clean: bool) -> BoxedStrategy<Vec<u8>> {
    let message =
        (any_short(clean), any_short(clean), any_properties(clean), 0_u16..4, any::<u64>(), 0_usize..3)
            .prop_map(|(exchange, key, properties, channel, tag, bodies)| {
                let bodies = (0..bodies).flat_map(|_| body(channel)).collect::<Vec<u8>>();
                [deliver(channel, tag, &exchange, &key), header(channel, &properties), bodies].concat()
            });
    let returned =
        (any_short(clean), any_short(clean), any_short(clean)).prop_map(|(text, exchange, key)| {
            frame(
                1,
                1,
                &[&[0, 60, 0, 50, 1, 56][..], &short(&text), &short(&exchange), &short(&key)].concat(),
            )
        });
    let ack = any::<[u8; 8]>().prop_map(|tag| frame(1, 1, &[&[0, 60, 0, 80][..], &tag, &[1]].concat()));
    let body = prop::collection::vec(any::<u8>(), 0..3000).prop_map(|bytes| frame(3, 1, &bytes));
    let heartbeat = Just(frame(8, 0, &[]));
    let tune = Just(frame(1, 0, &[0, 10, 0, 30, 7, 255, 0, 2, 0, 0, 0, 60]));
    let wreck = any_wreck().prop_map(|properties| header(1, &properties));
    if clean {
        prop_oneof![4 => message, 1 => returned, 1 => ack, 1 => body, 1 => heartbeat, 1 => tune].boxed()
    } else {
        prop_oneof![6 => message, 1 => returned, 1 => ack, 1 => body, 1 => heartbeat, 3 => wreck].boxed()
    }
}

/// The pieces between these places.
fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    places.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

fn any_cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..12)
}

#[test]
fn whatever_a_sender_puts_into_a_message_the_client_library_can_read_it() {
    let inputs = (prop::collection::vec(any_piece(false), 0..6), any_cuts());
    feed("hostile conversations", &inputs, |(pieces, cuts)| {
        let sent = pieces.concat();
        let walked = walk(&mut Walker::new(131_072), &RecentDeliveries::default(), cut(&sent, &cuts));
        prop_assert_eq!(walked.len(), sent.len());
        let frames = read(&walked);
        prop_assert!(frames.is_ok(), "{:?}", frames.err());
        let real = |frame: &&AMQPFrame| **frame != AMQPFrame::Heartbeat;
        let expected = pieces.iter().filter(|piece| piece[0] != 8).map(|piece| {
            // Of frames in a piece.
            let (mut count, mut at) = (0, 0);
            while at < piece.len() {
                at += 8 + usize::try_from(u32::from_be_bytes(piece[at + 3..at + 7].try_into().unwrap()))
                    .unwrap();
                count += 1;
            }
            count
        });
        prop_assert_eq!(frames.unwrap().iter().filter(real).count(), expected.sum::<usize>());
        // However it is cut, the same comes of it; and nothing more comes of that.
        let whole = walk(&mut Walker::new(131_072), &RecentDeliveries::default(), [sent.as_slice()]);
        prop_assert_eq!(&whole, &walked);
        prop_assert_eq!(
            &walk(&mut Walker::new(131_072), &RecentDeliveries::default(), [whole.as_slice()]),
            &walked
        );
        Ok(())
    });
}

#[test]
fn what_can_be_read_stays_as_it_is() {
    let inputs = (prop::collection::vec(any_piece(true), 0..8), any_cuts());
    feed("proper conversations", &inputs, |(pieces, cuts)| {
        let sent = pieces.concat();
        let mut walker = Walker::new(131_072);
        let walked = walk(&mut walker, &RecentDeliveries::default(), cut(&sent, &cuts));
        prop_assert_eq!(&walked, &sent);
        prop_assert_eq!(walker.take_changed(), None);
        Ok(())
    });
}

#[test]
fn no_bytes_at_all_make_the_walk_lose_or_hold_back_more_than_a_frame() {
    let junk = prop::collection::vec(any::<u8>(), 0..300);
    let inputs = (prop::collection::vec(any_piece(false), 0..3), junk, any_cuts());
    feed("broken streams", &inputs, |(pieces, junk, cuts)| {
        let sent = [pieces.concat(), junk].concat();
        let walked = walk(&mut Walker::new(131_072), &RecentDeliveries::default(), cut(&sent, &cuts));
        prop_assert_eq!(walked.len(), sent.len());
        Ok(())
    });
}

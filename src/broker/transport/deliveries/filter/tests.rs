use proptest::prelude::*;

use super::*;

fn frame(kind: u8, channel: u16, payload: &[u8], end: u8) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend(payload);
    frame.push(end);
    frame
}

/// A delivery with this body in frames of at most three bytes; `end` stands where each frame should end.
fn delivery(channel: u16, body: &[u8], end: u8) -> Vec<u8> {
    let mut bytes = frame(METHOD, channel, &[&DELIVER[..], b"\xffarguments"].concat(), end);
    let size = u64::try_from(body.len()).unwrap().to_be_bytes();
    bytes.extend(frame(HEADER, channel, &[&[0, 60, 0, 0], &size[..], b"\x00\x00"].concat(), end));
    bytes.extend(body.chunks(3).flat_map(|part| frame(BODY, channel, part, end)));
    bytes
}

fn filtered(filter: &DeliveryFilter, bytes: &[u8], chunk: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut room = [0; 7];
    for part in bytes.chunks(chunk) {
        filter.take(part);
        loop {
            let count = filter.hand(&mut room, Waker::noop());
            if count == 0 {
                break;
            }
            out.extend(&room[..count]);
        }
    }
    out
}

proptest! {
    #[test]
    fn each_delivery_passes_whole_or_not_at_all(
        bodies in proptest::collection::vec((1..3_u16, proptest::collection::vec(any::<u8>(), 0..9)), 0..9),
        end in any::<u8>(), chunk in 1..40_usize, wanted in 0..9_usize,
    ) {
        let other = frame(METHOD, 1, b"\x00\x3c\x00\x50", 0xCE);
        let heartbeat = frame(HEARTBEAT, 0, b"", 0xCE);
        let fingerprints: BTreeSet<Fingerprint> = bodies.get(wanted).map(|(_, body)| fingerprint(body)).into_iter().collect();
        let (mut all, mut without, mut none) = (Vec::new(), Vec::new(), Vec::new());
        for (channel, body) in &bodies {
            let bytes = delivery(*channel, body, end);
            all.extend(&bytes);
            if !fingerprints.contains(&fingerprint(body)) {
                without.extend(bytes);
            }
            for to in [&mut all, &mut without, &mut none] {
                to.extend([&other[..], &heartbeat].concat());
            }
        }
        let filter = DeliveryFilter::new(Rule::Without(fingerprints.clone()));
        filter.open(BTreeSet::from([1, 2]));
        prop_assert_eq!(filtered(&filter, &all, chunk), without);
        let passed: Vec<_> = (0..).map_while(|number| filter.passed(number)).collect();
        let expected = bodies.iter().filter(|(_, body)| !fingerprints.contains(&fingerprint(body)));
        let expected: Vec<_> =
            expected.map(|(channel, body)| Passed { channel: *channel, fingerprint: fingerprint(body) }).collect();
        prop_assert_eq!(passed, expected);

        let filter = DeliveryFilter::new(Rule::Keep(fingerprints.clone()));
        prop_assert_eq!(filtered(&filter, &all, chunk), none);
        prop_assert_eq!(filter.arrived(), bodies.len() as u64);
        let mut counts = HashMap::new();
        let kept = bodies.iter().filter_map(|(channel, body)| {
            let tag = counts.entry(*channel).and_modify(|tag| *tag += 1).or_insert(1_u64);
            let kept = Kept { tag: *tag, properties: vec![0, 0], body: body.clone() };
            fingerprints.contains(&fingerprint(body)).then_some(kept)
        });
        prop_assert_eq!(filter.take_kept(), kept.collect::<Vec<_>>());
    }

    #[test]
    fn deliveries_wait_until_it_is_open_and_those_of_other_channels_go(
        bodies in proptest::collection::vec((1..4_u16, proptest::collection::vec(any::<u8>(), 0..9)), 0..9),
        early in 0..9_usize,
    ) {
        let deliveries: Vec<_> = bodies.iter().map(|(channel, body)| (*channel, delivery(*channel, body, 0))).collect();
        let (before, behind) = deliveries.split_at(early.min(deliveries.len()));
        let whole = |deliveries: &[(u16, Vec<u8>)]| -> Vec<u8> {
            deliveries.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
        };
        let filter = DeliveryFilter::new(Rule::Without(BTreeSet::new()));
        prop_assert!(filtered(&filter, &whole(before), 9).is_empty());
        filter.open(BTreeSet::from([1, 2]));
        let mut out = filtered(&filter, b"", 1);
        let mut room = vec![0; 4096];
        let count = filter.hand(&mut room, Waker::noop());
        out.extend(&room[..count]);
        out.extend(filtered(&filter, &whole(behind), 9));
        let wanted: Vec<_> = deliveries.into_iter().filter(|(channel, _)| *channel < 3).collect();
        prop_assert_eq!(out, whole(&wanted));
    }

    #[test]
    fn what_is_no_frame_passes(bytes in proptest::collection::vec(any::<u8>(), 0..40), chunk in 1..9_usize) {
        let filter = DeliveryFilter::new(Rule::Keep(BTreeSet::new()));
        let bytes = [b"AMQP\x00\x00\x09\x01".as_slice(), &bytes].concat();
        prop_assert_eq!(filtered(&filter, &bytes, chunk), bytes);
    }
}

//! Cuts a frame of properties to the size that both sides agreed on, by leaving out its largest headers.
//!
//! The bytes that become free are filled with heartbeat frames, which may stand between any two frames. So the bytes after
//! them do not move.

use super::fields::Malformed;
use super::properties;
use super::wire::{CONTENT_HEADER, END, HEARTBEAT, START};

/// The header that says how many were left out; a dead letter shows it.
const NOTE: &[u8] = b"\x18freshet-headers-left-out";
/// A frame without a payload.
const EMPTY_FRAME: usize = START + 1;

/// Cuts a whole frame, whose properties were walked over, to `frame_max` bytes.
pub(in crate::broker::transport) fn cut(frame: &mut [u8], frame_max: usize) -> Result<(), Malformed> {
    let length = frame.len();
    let start = START + CONTENT_HEADER;
    let properties = frame.get_mut(start..length - 1).ok_or(Malformed)?;
    let (table, entries) = properties::headers(properties)?;
    let table = start + table.start..start + table.end;
    let mut largest_first: Vec<usize> = (0..entries.len()).collect();
    largest_first
        .sort_by_key(|entry| std::cmp::Reverse(entries.get(*entry).map_or(0, ExactSizeIterator::len)));
    let note = NOTE.len() + 1 + size_of::<i64>();
    // The free bytes must hold at least one heartbeat frame.
    let mut missing = (length + note + EMPTY_FRAME).saturating_sub(frame_max);
    let mut left_out = vec![false; entries.len()];
    let mut count: i64 = 0;
    for entry in largest_first {
        if missing == 0 {
            break;
        }
        if let (Some(flag), Some(range)) = (left_out.get_mut(entry), entries.get(entry)) {
            *flag = true;
            missing = missing.saturating_sub(range.len());
            count += 1;
        }
    }
    if missing > 0 {
        return Err(Malformed);
    }
    let bytes = frame.get(table.clone()).ok_or(Malformed)?;
    let mut kept: Vec<u8> = NOTE.to_vec();
    kept.push(b'l');
    kept.extend(count.to_be_bytes());
    for (range, _) in entries.iter().zip(&left_out).filter(|(_, left_out)| !**left_out) {
        kept.extend(bytes.get(range.clone()).unwrap_or_default());
    }
    let shorter = length - (table.len() - kept.len());
    let behind = frame.get(table.end..length).ok_or(Malformed)?.to_vec();
    put(frame, table.start - 4, &length_of(kept.len())?);
    put(frame, table.start, &kept);
    put(frame, table.start + kept.len(), &behind);
    put(frame, 3, &length_of(shorter - EMPTY_FRAME)?);
    fill(frame.get_mut(shorter..).unwrap_or_default(), frame_max)
}

/// Fills bytes with heartbeat frames, none larger than `frame_max`.
fn fill(mut free: &mut [u8], frame_max: usize) -> Result<(), Malformed> {
    while !free.is_empty() {
        let mut size = free.len().min(frame_max);
        if (1..EMPTY_FRAME).contains(&(free.len() - size)) {
            size -= EMPTY_FRAME;
        }
        let (frame, rest) = free.split_at_mut(size);
        frame.fill(0);
        put(frame, 0, &[HEARTBEAT]);
        put(frame, 3, &length_of(size.checked_sub(EMPTY_FRAME).ok_or(Malformed)?)?);
        put(frame, size - 1, &[END]);
        free = rest;
    }
    Ok(())
}

fn length_of(length: usize) -> Result<[u8; 4], Malformed> {
    u32::try_from(length).map(u32::to_be_bytes).map_err(|_| Malformed)
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

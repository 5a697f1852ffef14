//! Makes a message's properties readable in place, whatever their sender put into them.
//!
//! RabbitMQ hands on short strings that are no UTF-8, and tables that are nested as deeply as a frame has room. The client
//! library ends the connection over the first, and reads the second by recursion. Bytes change here and lengths do not, so
//! nothing else in the frame moves.

use std::ops::Range;

use super::fields::{FieldReader, Malformed, Repair, Repairs};

/// Tables and arrays that are nested more deeply become byte arrays.
const DEEPEST_READ: usize = 32;
/// The header that keeps properties which cannot be taken apart.
const UNREADABLE: &[u8] = b"freshet-original-properties";

/// The properties of a content header from their flags on, by the bit that says that one is there.
const PROPERTY_KINDS: [(u16, PropertyKind); 14] = [
    (15, PropertyKind::Text),
    (14, PropertyKind::Text),
    (13, PropertyKind::Headers),
    (12, PropertyKind::Number(1)),
    (11, PropertyKind::Number(1)),
    (10, PropertyKind::Text),
    (9, PropertyKind::Text),
    (8, PropertyKind::Text),
    (MESSAGE_ID, PropertyKind::Text),
    (6, PropertyKind::Number(8)),
    (5, PropertyKind::Text),
    (4, PropertyKind::Text),
    (3, PropertyKind::Text),
    (2, PropertyKind::Text),
];
const MESSAGE_ID: u16 = 7;
const ONLY_CONTENT_TYPE: [u8; 2] = (1_u16 << 15).to_be_bytes();
const ONLY_HEADERS: [u8; 2] = (1_u16 << 13).to_be_bytes();

enum PropertyKind {
    Text,
    Headers,
    /// A number of so many bytes.
    Number(usize),
}

/// Makes properties, from their flags on, readable. Returns their `message_id`.
///
/// Properties of a form that the client library does not know become one header that holds their bytes. The message then
/// has no others, but it can be read. Only properties without room for their flags are left as they are.
pub(in crate::broker::transport) fn walk<'a>(
    properties: &'a mut [u8],
    changes: &mut Repairs,
) -> Option<&'a [u8]> {
    let Ok(message_id) = walk_each(properties, changes) else {
        changes.note(Repair::Form);
        as_one_header(properties);
        return None;
    };
    message_id.and_then(|range| properties.get(range))
}

/// Where the headers' table stands in properties that were walked over, and where each entry stands in that.
pub(in crate::broker::transport) fn headers(
    properties: &mut [u8],
) -> Result<(Range<usize>, Vec<Range<usize>>), Malformed> {
    let length = properties.len();
    let mut fields = FieldReader::of(properties);
    let flags = fields.number_of(2)?;
    for (bit, kind) in PROPERTY_KINDS {
        if flags & 1 << bit == 0 {
            continue;
        }
        match kind {
            PropertyKind::Text => _ = fields.short_string(&mut Repairs::default())?,
            PropertyKind::Number(width) => _ = fields.take(width)?,
            PropertyKind::Headers => {
                let table = fields.long_string()?;
                let end = length - fields.len();
                return Ok((end - table.len()..end, entries(table)?));
            }
        }
    }
    Err(Malformed)
}

fn entries(table: &mut [u8]) -> Result<Vec<Range<usize>>, Malformed> {
    let length = table.len();
    let mut fields = FieldReader::of(table);
    let mut entries = Vec::new();
    while fields.len() > 0 {
        let start = length - fields.len();
        fields.short_string(&mut Repairs::default())?;
        value(&mut fields, 0, &mut Repairs::default())?;
        entries.push(start..length - fields.len());
    }
    Ok(entries)
}

fn walk_each(properties: &mut [u8], changes: &mut Repairs) -> Result<Option<Range<usize>>, Malformed> {
    let length = properties.len();
    let mut fields = FieldReader::of(properties);
    let flags = fields.number_of(2)?;
    let mut message_id = None;
    for (bit, kind) in PROPERTY_KINDS {
        if flags & 1 << bit == 0 {
            continue;
        }
        match kind {
            PropertyKind::Text => {
                let text = fields.short_string(changes)?.len();
                let end = length - fields.len();
                if bit == MESSAGE_ID {
                    message_id = Some(end - text..end);
                }
            }
            PropertyKind::Headers => table(fields.long_string()?, 0, changes)?,
            PropertyKind::Number(width) => _ = fields.take(width)?,
        }
    }
    if fields.len() == 0 { Ok(message_id) } else { Err(Malformed) }
}

fn table(entries: &mut [u8], depth: usize, changes: &mut Repairs) -> Result<(), Malformed> {
    let mut fields = FieldReader::of(entries);
    while fields.len() > 0 {
        fields.short_string(changes)?;
        value(&mut fields, depth, changes)?;
    }
    Ok(())
}

fn array(items: &mut [u8], depth: usize, changes: &mut Repairs) -> Result<(), Malformed> {
    let mut fields = FieldReader::of(items);
    while fields.len() > 0 {
        value(&mut fields, depth, changes)?;
    }
    Ok(())
}

/// One value with its type, in a table or array at this depth.
fn value(fields: &mut FieldReader<&mut [u8]>, depth: usize, changes: &mut Repairs) -> Result<(), Malformed> {
    let kind = fields.byte()?;
    let width = match *kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'L' | b'l' | b'd' | b'T' => 8,
        b'S' | b'x' => return fields.long_string().map(drop),
        b'F' | b'A' => {
            let inner = fields.long_string()?;
            let walk_inner = if *kind == b'F' { table } else { array };
            if depth == DEEPEST_READ {
                changes.note(Repair::Nesting);
                *kind = b'x';
            } else if walk_inner(inner, depth + 1, changes).is_err() {
                changes.note(Repair::Form);
                *kind = b'x';
            }
            return Ok(());
        }
        // The length of an unknown type is unknown, too.
        _ => return Err(Malformed),
    };
    fields.take(width).map(drop)
}

/// Overwrites properties with others of the same length that can be read. A few of their bytes are lost.
fn as_one_header(properties: &mut [u8]) {
    let Some((flags, rest)) = properties.split_first_chunk_mut::<2>() else { return };
    // A table's length, a name, a type, a byte array's length.
    let overhead = 4 + 1 + UNREADABLE.len() + 1 + 4;
    if let Some(length) = rest.len().checked_sub(overhead)
        && let Ok(size) = u32::try_from(rest.len() - 4)
        && let Ok(length) = u32::try_from(length)
        && let Ok(name) = u8::try_from(UNREADABLE.len())
    {
        *flags = ONLY_HEADERS;
        let start = [&size.to_be_bytes()[..], &[name], UNREADABLE, b"x", &length.to_be_bytes()].concat();
        rest.iter_mut().zip(start).for_each(|(byte, new)| *byte = new);
    } else if let Some((length, text)) = rest.split_first_mut() {
        *flags = ONLY_CONTENT_TYPE;
        *length = u8::try_from(text.len()).unwrap_or_default();
        text.fill(b'?');
    } else {
        *flags = [0; 2];
    }
}

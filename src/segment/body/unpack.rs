//! Bodies that were compressed: from the bytes and their `content_encoding` to the text that was packed. Pure.
//!
//! Never trusts a size that the sender states: what is unpacked is counted while it comes out, and no more memory is
//! taken than the limit says.

use std::io::Read;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// What compresses bodies, by its names in HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    /// HTTP's `deflate` is zlib's format; many senders take it for the raw one.
    Deflate,
    Zstd,
}

/// What is told of encodings with every refusal for one.
const KNOWN: &str = "gzip, deflate, zstd, or none";
/// What some client libraries set although it packs nothing.
const NO_PACKING: [&str; 8] = ["", "identity", "none", "utf-8", "utf8", "us-ascii", "ascii", "binary"];
/// The most that a zstd frame may ask to look back; what decoders should allow at least (RFC 8878, 3.1.1.1.2).
const ZSTD_WINDOW: u64 = 8 * 1024 * 1024;
/// The most gzip members or zstd frames of a body. Programs write one, or one for each block; those that hold nothing cost
/// time without ever coming to the limit of what may come out.
const MOST_PIECES: usize = 1000;
/// The longest name of an encoding that is repeated in a refusal.
const LONGEST_NAME: usize = 20;

/// The text of a body. A body that is not packed is handed back as it is, however long.
pub(in crate::segment) fn unpack(
    body: &Bytes,
    encoding: Option<&str>,
    limit: usize,
) -> Result<Bytes, Refusal> {
    let Some(packing) = packing(encoding)? else { return Ok(body.clone()) };
    let unpacked = read_guarded(packing, body, limit);
    if unpacked.bytes.len() > limit {
        return Err(Refusal::new(
            DeadLetterReason::TooLarge,
            Problem {
                problem: "the body is too large when it is unpacked".into(),
                expected: Some(format!("at most {limit} bytes")),
                got: Some(format!("{} bytes packed with {}", body.len(), packing.name())),
                ..Problem::default()
            },
        ));
    }
    if unpacked.too_many_pieces {
        return Err(Refusal::new(
            DeadLetterReason::MalformedJson,
            Problem {
                problem: format!("the body is packed with {} in too many pieces", packing.name()),
                expected: Some(format!("at most {MOST_PIECES} gzip members or zstd frames")),
                got: Some(format!("{} bytes", body.len())),
                ..Problem::default()
            },
        ));
    }
    if unpacked.damaged {
        return Err(Refusal::new(
            DeadLetterReason::MalformedJson,
            Problem {
                problem: format!(
                    "the body cannot be unpacked: its content_encoding is {0}, and it is no {0} or damaged",
                    packing.name()
                ),
                expected: Some(format!("data in {}, or no content_encoding", packing.name())),
                got: Some(format!("{} bytes", body.len())),
                ..Problem::default()
            },
        ));
    }
    // What a buffer has to spare would be held with it.
    Ok(unpacked.bytes.into_boxed_slice().into())
}

/// The beginning of a body's text, as far as it can be had.
pub(in crate::segment) fn unpack_start(body: &Bytes, encoding: Option<&str>, limit: usize) -> Bytes {
    match packing(encoding) {
        Ok(Some(packing)) => read_guarded(packing, body, limit).bytes.into(),
        Ok(None) | Err(_) => body.clone(),
    }
}

fn packing(encoding: Option<&str>) -> Result<Option<Packing>, Refusal> {
    let name = encoding.unwrap_or_default().trim().to_ascii_lowercase();
    match name.as_str() {
        "gzip" | "x-gzip" => Ok(Some(Packing::Gzip)),
        "deflate" | "zlib" => Ok(Some(Packing::Deflate)),
        "zstd" => Ok(Some(Packing::Zstd)),
        _ if NO_PACKING.contains(&name.as_str()) => Ok(None),
        _ => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let told = name.len() <= LONGEST_NAME && name.bytes().all(plain);
            Err(Refusal::new(
                DeadLetterReason::MalformedJson,
                Problem {
                    problem: "the body's content_encoding is not known, so it cannot be read".into(),
                    expected: Some(KNOWN.into()),
                    got: Some(if told { name } else { format!("a name of {} bytes", name.len()) }),
                    ..Problem::default()
                },
            ))
        }
    }
}

impl Packing {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }
}

#[derive(Debug, Default)]
struct Unpacked {
    /// At most one byte more than the limit.
    bytes: Vec<u8>,
    /// The data ended early, or was none.
    damaged: bool,
    /// There is more behind the last piece that is read.
    too_many_pieces: bool,
}

/// Decoders of foreign data have panicked before: one damaged body must not end what reads all others.
fn read_guarded(packing: Packing, body: &[u8], limit: usize) -> Unpacked {
    let read = AssertUnwindSafe(|| read(packing, body, limit));
    std::panic::catch_unwind(read).unwrap_or(Unpacked { damaged: true, ..Unpacked::default() })
}

fn read(packing: Packing, body: &[u8], limit: usize) -> Unpacked {
    let mut unpacked = Unpacked::default();
    match packing {
        Packing::Gzip => unpacked.take_members(body, limit),
        Packing::Deflate => {
            unpacked.take(ZlibDecoder::new(body), limit);
            if unpacked.damaged {
                let mut raw = Unpacked::default();
                raw.take(DeflateDecoder::new(body), limit);
                // Else the start of zlib's is more than nothing, for whoever wants to see that.
                if !raw.damaged {
                    unpacked = raw;
                }
            }
        }
        Packing::Zstd => unpacked.take_frames(body, limit),
    }
    unpacked
}

impl Unpacked {
    /// Reads to the end, or one byte beyond the limit.
    fn take(&mut self, from: impl Read, limit: usize) {
        let room = (limit + 1).saturating_sub(self.bytes.len());
        self.damaged = from.take(room as u64).read_to_end(&mut self.bytes).is_err();
    }

    /// Gzip data is one member after another.
    fn take_members(&mut self, body: &[u8], limit: usize) {
        self.take_pieces(body, limit, |unpacked, rest| {
            let mut member = GzDecoder::new(rest);
            unpacked.take(&mut member, limit);
            member.into_inner()
        });
    }

    /// Zstd data is one frame after another.
    fn take_frames(&mut self, body: &[u8], limit: usize) {
        let mut frames = FrameDecoder::new();
        frames.set_max_window_size(ZSTD_WINDOW);
        self.take_pieces(body, limit, |unpacked, mut rest| {
            let Ok(frame) = StreamingDecoder::new_with_decoder(&mut rest, &mut frames) else {
                unpacked.damaged = true;
                return rest;
            };
            unpacked.take(frame, limit);
            let stated = frames.get_checksum_from_data();
            unpacked.damaged |= stated.is_some() && stated != frames.get_calculated_checksum();
            rest
        });
    }

    /// Reads piece after piece; `read` takes one and gives what is behind it.
    fn take_pieces<'a>(
        &mut self,
        body: &'a [u8],
        limit: usize,
        mut read: impl FnMut(&mut Self, &'a [u8]) -> &'a [u8],
    ) {
        let mut rest = body;
        self.damaged = body.is_empty();
        for _ in 0..MOST_PIECES {
            if rest.is_empty() || self.damaged || self.bytes.len() > limit {
                return;
            }
            rest = read(self, rest);
        }
        self.too_many_pieces = !rest.is_empty() && !self.damaged && self.bytes.len() <= limit;
    }
}

#[cfg(test)]
mod tests;

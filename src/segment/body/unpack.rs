//! Decompresses bodies, by their `content_encoding`. Only `opener` calls it.
//!
//! It never trusts a size that the sender states: bytes are counted as they come out, and no more memory is taken than
//! the limit allows.

use std::io::Read;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// A compression, as HTTP names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    /// The format of zlib. Many senders write raw deflate data under this name, so both are read.
    Deflate,
    Zstd,
}

const KNOWN_ENCODINGS: &str = "gzip, deflate, zstd, or none";
/// Values that client libraries set although they name no compression.
const UNCOMPRESSED: [&str; 8] = ["", "identity", "none", "utf-8", "utf8", "us-ascii", "ascii", "binary"];
/// The largest window of a zstd frame, in bytes: the least that decoders should allow (RFC 8878, 3.1.1.1.2).
const ZSTD_WINDOW: u64 = 8 * 1024 * 1024;
/// The most gzip members or zstd frames of a body. Programs write one, or one for each block. Empty ones cost time and
/// would never reach the limit of bytes.
const MOST_PIECES: usize = 1000;
/// The longest unknown encoding that a refusal repeats, in bytes.
const LONGEST_ENCODING: usize = 20;

/// The decompressed body. One that is not compressed is returned unchanged, however long it is.
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
    let (problem, expected) = match unpacked.end {
        UnpackEnd::Complete => (None, String::new()),
        UnpackEnd::TooManyPieces => (
            Some(format!("the body is packed with {} in too many pieces", packing.name())),
            format!("at most {MOST_PIECES} gzip members or zstd frames"),
        ),
        UnpackEnd::Damaged => (
            Some(format!(
                "the body cannot be unpacked: its content_encoding is {0}, and it is no {0} or damaged",
                packing.name()
            )),
            format!("data in {}, or no content_encoding", packing.name()),
        ),
    };
    if let Some(problem) = problem {
        return Err(Refusal::new(
            DeadLetterReason::MalformedJson,
            Problem {
                problem,
                expected: Some(expected),
                got: Some(format!("{} bytes", body.len())),
                ..Problem::default()
            },
        ));
    }
    // A `Vec` would keep its spare capacity for as long as the body is held.
    Ok(unpacked.bytes.into_boxed_slice().into())
}

/// The beginning of the decompressed body, as far as it can be read.
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
        _ if UNCOMPRESSED.contains(&name.as_str()) => Ok(None),
        _ => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let repeated = name.len() <= LONGEST_ENCODING && name.bytes().all(plain);
            Err(Refusal::new(
                DeadLetterReason::MalformedJson,
                Problem {
                    problem: "the body's content_encoding is not known, so it cannot be read".into(),
                    expected: Some(KNOWN_ENCODINGS.into()),
                    got: Some(if repeated { name } else { format!("a name of {} bytes", name.len()) }),
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
    end: UnpackEnd,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum UnpackEnd {
    /// All was read, or as much as the limit allows.
    #[default]
    Complete,
    /// The data broke off, or was none of its kind.
    Damaged,
    /// More data follows the last piece that may be read.
    TooManyPieces,
}

/// Decoders have panicked on damaged data before. One sender's body must not end the task that reads all others.
fn read_guarded(packing: Packing, body: &[u8], limit: usize) -> Unpacked {
    let read = AssertUnwindSafe(|| read(packing, body, limit));
    std::panic::catch_unwind(read).unwrap_or(Unpacked { end: UnpackEnd::Damaged, ..Unpacked::default() })
}

fn read(packing: Packing, body: &[u8], limit: usize) -> Unpacked {
    let mut unpacked = Unpacked::default();
    match packing {
        Packing::Gzip => unpacked.take_members(body, limit),
        Packing::Deflate => {
            unpacked.take(ZlibDecoder::new(body), limit);
            if unpacked.end == UnpackEnd::Damaged {
                let mut raw = Unpacked::default();
                raw.take(DeflateDecoder::new(body), limit);
                // If neither format fits, the start of the zlib data is kept for the glimpse.
                if raw.end != UnpackEnd::Damaged {
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
        self.end = match from.take(room as u64).read_to_end(&mut self.bytes) {
            Ok(_) => UnpackEnd::Complete,
            Err(_) => UnpackEnd::Damaged,
        };
    }

    /// Gzip data is a sequence of members.
    fn take_members(&mut self, body: &[u8], limit: usize) {
        self.take_pieces(body, limit, |unpacked, rest| {
            let mut member = GzDecoder::new(rest);
            unpacked.take(&mut member, limit);
            member.into_inner()
        });
    }

    /// Zstd data is a sequence of frames.
    fn take_frames(&mut self, body: &[u8], limit: usize) {
        let mut frames = FrameDecoder::new();
        frames.set_max_window_size(ZSTD_WINDOW);
        self.take_pieces(body, limit, |unpacked, mut rest| {
            let Ok(frame) = StreamingDecoder::new_with_decoder(&mut rest, &mut frames) else {
                unpacked.end = UnpackEnd::Damaged;
                return rest;
            };
            unpacked.take(frame, limit);
            let stated = frames.get_checksum_from_data();
            if stated.is_some() && stated != frames.get_calculated_checksum() {
                unpacked.end = UnpackEnd::Damaged;
            }
            rest
        });
    }

    /// Reads piece after piece. `read` reads one and returns the data after it.
    fn take_pieces<'a>(
        &mut self,
        body: &'a [u8],
        limit: usize,
        mut read: impl FnMut(&mut Self, &'a [u8]) -> &'a [u8],
    ) {
        let mut rest = body;
        if body.is_empty() {
            self.end = UnpackEnd::Damaged;
        }
        for _ in 0..MOST_PIECES {
            if rest.is_empty() || self.end == UnpackEnd::Damaged || self.bytes.len() > limit {
                return;
            }
            rest = read(self, rest);
        }
        if !rest.is_empty() && self.end == UnpackEnd::Complete && self.bytes.len() <= limit {
            self.end = UnpackEnd::TooManyPieces;
        }
    }
}

#[cfg(test)]
mod tests;

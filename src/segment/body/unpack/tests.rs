use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;
use crate::cost::allocated;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn raw(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

/// Each encoding by its names, with its compressor.
type Packers = [(&'static str, fn(&[u8]) -> Vec<u8>); 4];
const PACKERS: Packers = [("gzip", gzip), ("deflate", zlib), ("deflate", raw), ("zstd", zstd)];

fn unpacked(body: &[u8], encoding: &str) -> Result<Vec<u8>, DeadLetterReason> {
    let text = unpack(&Bytes::copy_from_slice(body), Some(encoding), 1 << 20);
    text.map(|text| text.to_vec()).map_err(|refusal| refusal.reason)
}

const EVENT: &[u8] = br#"{"type":"track","userId":"u-1","event":"Paid"}"#;

#[test]
fn each_encoding_is_read_by_each_of_its_names() {
    for (name, body) in [
        ("gzip", gzip(EVENT)),
        ("x-gzip", gzip(EVENT)),
        (" GZip ", gzip(EVENT)),
        ("gzip", [gzip(&EVENT[..9]), gzip(&EVENT[9..])].concat()),
        ("deflate", zlib(EVENT)),
        ("deflate", raw(EVENT)),
        ("zlib", zlib(EVENT)),
        ("zlib", raw(EVENT)),
        ("zstd", zstd(EVENT)),
        ("ZSTD", [zstd(&EVENT[..9]), zstd(&EVENT[9..])].concat()),
        ("identity", EVENT.to_vec()),
        ("utf-8", EVENT.to_vec()),
        ("UTF8", EVENT.to_vec()),
        ("", EVENT.to_vec()),
        ("binary", EVENT.to_vec()),
    ] {
        assert_eq!(unpacked(&body, name), Ok(EVENT.to_vec()), "{name}");
    }
    let body = Bytes::from_static(EVENT);
    assert_eq!(unpack(&body, None, 1), Ok(body), "without an encoding the limit is not this one's to judge");
}

#[test]
fn an_unknown_encoding_is_repeated_only_if_it_is_a_short_word() {
    for (name, reported) in [
        ("br", "br"),
        ("aes256", "aes256"),
        ("gzip, br", "a name of 8 bytes"),
        ("iso-8859-1", "iso-8859-1"),
        ("kim@example.com", "a name of 15 bytes"),
        ("a-name-that-is-longer-than-any", "a name of 30 bytes"),
    ] {
        let refusal = unpack(&Bytes::from_static(EVENT), Some(name), 100).unwrap_err();
        assert_eq!(refusal.reason, DeadLetterReason::MalformedJson, "{name}");
        assert_eq!(refusal.problems[0].got.as_deref(), Some(reported));
    }
}

#[test]
fn damaged_data_is_malformed() {
    for (name, pack) in PACKERS {
        let body = pack(EVENT);
        assert_eq!(
            unpacked(&body[..body.len() - 5], name),
            Err(DeadLetterReason::MalformedJson),
            "{name} cut"
        );
        assert_ne!(unpacked(EVENT, name), Ok(EVENT.to_vec()), "{name} not packed at all");
    }
    for name in ["gzip", "zstd"] {
        assert_eq!(unpacked(EVENT, name), Err(DeadLetterReason::MalformedJson), "{name}");
        assert_eq!(unpacked(b"", name), Err(DeadLetterReason::MalformedJson), "{name} empty");
    }
    let mut body = gzip(EVENT);
    let end = body.len() - 6;
    body[end] ^= 1;
    assert_eq!(unpacked(&body, "gzip"), Err(DeadLetterReason::MalformedJson), "the checksum");
    let mut body = zstd(EVENT);
    let end = body.len() - 1;
    body[end] ^= 1;
    assert_eq!(unpacked(&body, "zstd"), Err(DeadLetterReason::MalformedJson), "the checksum");
}

#[test]
fn the_limit_counts_the_decompressed_bytes_exactly() {
    for (name, pack) in PACKERS {
        let body = Bytes::from(pack(&[b' '; 5000]));
        assert_eq!(unpack(&body, Some(name), 5000).unwrap().len(), 5000, "{name}");
        let refusal = unpack(&body, Some(name), 4999).unwrap_err();
        assert_eq!(refusal.reason, DeadLetterReason::TooLarge, "{name}");
        assert_eq!(unpack_start(&body, Some(name), 100).len(), 101, "{name}");
    }
}

#[test]
fn a_decompression_bomb_takes_no_more_memory_than_the_limit() {
    let zeros = vec![0; 64 << 20];
    for (name, pack) in PACKERS {
        let bomb = Bytes::from(pack(&zeros));
        let cost = allocated(|| assert!(unpack(&bomb, Some(name), 1 << 20).is_err(), "{name}"));
        assert!(cost.bytes_max < 24 << 20, "{name}: {cost:?}");
    }
}

#[test]
fn a_body_of_very_many_pieces_is_refused_after_the_first_thousand() {
    for (pack, encoding) in [(gzip as fn(&[u8]) -> Vec<u8>, "gzip"), (zstd, "zstd")] {
        let pieces = |text: &[u8], count: usize| pack(text).repeat(count);
        assert_eq!(unpacked(&pieces(b"a", MOST_PIECES), encoding).unwrap(), b"a".repeat(MOST_PIECES));
        for (text, count) in [(&b"a"[..], MOST_PIECES + 1), (b"", MOST_PIECES + 1), (b"", 100 * MOST_PIECES)]
        {
            let body = Bytes::from(pieces(text, count));
            let refusal = unpack(&body, Some(encoding), 1 << 20).unwrap_err();
            assert_eq!(refusal.reason, DeadLetterReason::MalformedJson);
            assert!(refusal.problems[0].problem.contains("too many pieces"), "{refusal:?}");
            // The rest is not read for the dead letter's headers either.
            assert!(unpack_start(&body, Some(encoding), 1 << 20).len() <= MOST_PIECES);
        }
    }
}

#[test]
fn a_zstd_frame_that_asks_for_a_large_window_is_refused_before_it_gets_one() {
    // Magic number, no checksum and no size, and a window of 128 MiB; then an empty last block.
    let frame = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00]);
    let cost = allocated(|| assert!(unpack(&frame, Some("zstd"), 1 << 20).is_err()));
    assert!(cost.bytes_max < 1 << 20, "{cost:?}");
}

proptest! {
    #[test]
    fn whatever_was_packed_comes_out(text: Vec<u8>, which in 0..PACKERS.len()) {
        let (name, pack) = PACKERS[which];
        prop_assert_eq!(unpacked(&pack(&text), name), Ok(text));
    }

    #[test]
    fn no_bytes_make_unpacking_panic(body: Vec<u8>, magic: bool, which in 0..PACKERS.len()) {
        let (name, pack) = PACKERS[which];
        let start = if magic { pack(EVENT)[..6].to_vec() } else { Vec::new() };
        prop_assert!(unpacked(&[start, body].concat(), name).is_err() || name == "deflate");
    }
}

//! Packs large answers with gzip for who accepts it. On a thread of its own: the pages' thread answers health checks
//! meanwhile. A layer of the router; what it packs it does not look at.

use std::io::Write as _;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Below this, packing saves no packet.
const SMALL: usize = 1400;

/// Answers, packed where that is asked for and worth it.
pub(in crate::status) async fn pack(request: Request, next: Next) -> Response {
    let accepted = accepts_gzip(request.headers());
    let (mut parts, body) = next.run(request).await.into_parts();
    // All pages are in memory already.
    let Ok(plain) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if plain.len() < SMALL || parts.headers.contains_key(CONTENT_ENCODING) {
        return Response::from_parts(parts, Body::from(plain));
    }
    parts.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    if !accepted {
        return Response::from_parts(parts, Body::from(plain));
    }
    let kept = plain.clone();
    match tokio::task::spawn_blocking(move || packed(&plain)).await {
        Ok(Ok(body)) => {
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            Response::from_parts(parts, Body::from(body))
        }
        Ok(Err(_)) | Err(_) => Response::from_parts(parts, Body::from(kept)),
    }
}

fn packed(plain: &Bytes) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Whether the client names gzip, or anything, and not with a weight of 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut any = false;
    for entry in named.flat_map(|value| value.split(',')) {
        let (name, weight) = entry.split_once(';').unwrap_or((entry, ""));
        let weight = weight.trim().trim_start_matches("q=");
        let wanted = weight.is_empty() || weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return wanted,
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn gzip_is_accepted_where_it_is_named() {
        for (header, accepted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br;q=1.0, gzip;q=0", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, header.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), accepted, "{header}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_packed_is_what_was_there_and_smaller() {
        let plain = Bytes::from("freshet_lane_state{account=\"acme\",state=\"flowing\"} 1\n".repeat(1000));
        let small = packed(&plain).unwrap();
        assert!(small.len() < plain.len() / 20, "{}", small.len());
        let mut again = Vec::new();
        flate2::read::GzDecoder::new(&*small).read_to_end(&mut again).unwrap();
        assert_eq!(again, plain);
    }
}

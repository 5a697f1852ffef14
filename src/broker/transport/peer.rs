//! Recognises what listens at the address by the first bytes that it sends, so that the error can say what is wrong. Pure.

use super::frames::wire::METHOD;

/// So many bytes are enough.
const ENOUGH: usize = 8;
/// The type and the version of a TLS alert.
const TLS_ALERT: &[u8] = &[0x15, 3];

/// Collects a peer's first bytes until it is recognised.
#[derive(Debug, Default)]
pub(super) struct Peer {
    bytes: Vec<u8>,
    speaks_amqp: bool,
}

/// A peer that does not speak AMQP 0-9-1 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::broker) enum NotAmqp {
    #[error(
        "it answers in HTTP: this is a port for web pages or the management interface; give the AMQP port, mostly 5672"
    )]
    Http,
    #[error(
        "it answers in TLS: this port wants TLS; write amqps:// instead of amqp://, or give the port for plain AMQP, mostly 5672"
    )]
    Tls,
    #[error(
        "it answers that it speaks AMQP {0}.{1} and not AMQP 0-9-1, which is needed here; is it RabbitMQ?"
    )]
    OtherAmqp(u8, u8),
    #[error("it answers in something that is not AMQP; is the port right? RabbitMQ's is mostly 5672")]
    Unknown,
    #[error(
        "it closed the connection without a word: the port may want TLS (amqps://), may be no AMQP port, or may be a proxy's without a broker behind it"
    )]
    Closed,
}

impl Peer {
    pub(super) fn received(&mut self, bytes: &[u8]) -> Result<(), NotAmqp> {
        if self.speaks_amqp {
            return Ok(());
        }
        let missing = ENOUGH.saturating_sub(self.bytes.len());
        self.bytes.extend(bytes.iter().take(missing));
        if self.bytes.first() == Some(&METHOD) {
            self.speaks_amqp = true;
            Ok(())
        } else if self.bytes.len() < ENOUGH {
            Ok(())
        } else {
            Err(self.not_amqp())
        }
    }

    /// The peer closed the connection.
    pub(super) fn ended(&self) -> Result<(), NotAmqp> {
        if self.speaks_amqp { Ok(()) } else { Err(self.not_amqp()) }
    }

    fn not_amqp(&self) -> NotAmqp {
        match self.bytes.as_slice() {
            [] => NotAmqp::Closed,
            [b'H', b'T', b'T', b'P', ..] => NotAmqp::Http,
            // AMQP 0-9-1 puts its version last, after two zeros; other versions put it after the protocol's id.
            [b'A', b'M', b'Q', b'P', 0, 0, major, minor, ..]
            | [b'A', b'M', b'Q', b'P', _, major, minor, ..] => NotAmqp::OtherAmqp(*major, *minor),
            bytes if bytes.starts_with(TLS_ALERT) => NotAmqp::Tls,
            _ => NotAmqp::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on a peer that sends this, a byte at a time, and closes.
    fn verdict(words: &[u8]) -> Result<(), NotAmqp> {
        let mut peer = Peer::default();
        for byte in words {
            peer.received(&[*byte])?;
        }
        peer.ended()
    }

    #[test]
    fn a_peer_is_recognised_by_its_first_bytes() {
        for (words, expected) in [
            // The beginning of connection.start.
            (&b"\x01\0\0\0\0\x01\xf4\0\x0a\0\x0a"[..], Ok(())),
            (b"\x01", Ok(())),
            (b"HTTP/1.1 400 Bad Request\r\n", Err(NotAmqp::Http)),
            (b"HTTP", Err(NotAmqp::Http)),
            (b"\x15\x03\x03\0\x02\x02\x46", Err(NotAmqp::Tls)),
            (b"AMQP\0\x01\0\0", Err(NotAmqp::OtherAmqp(1, 0))),
            (b"AMQP\x03\x01\0\0", Err(NotAmqp::OtherAmqp(1, 0))),
            (b"AMQP\0\0\x09\x01", Err(NotAmqp::OtherAmqp(9, 1))),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Err(NotAmqp::Unknown)),
            (b"-ERR", Err(NotAmqp::Unknown)),
            (b"", Err(NotAmqp::Closed)),
        ] {
            assert_eq!(verdict(words), expected, "{:?}", String::from_utf8_lossy(words));
        }
    }
}

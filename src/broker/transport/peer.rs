//! What a peer is, by the first bytes that it sends. Pure.

use super::frames::wire::METHOD;

/// Enough to know it.
const ENOUGH: usize = 8;
/// The type and the version of a TLS alert.
const TLS_ALERT: &[u8] = &[0x15, 3];

/// The first bytes of a peer, until it is known what it is.
#[derive(Debug, Default)]
pub(super) struct Peer {
    bytes: Vec<u8>,
    known: bool,
}

/// What a peer is that does not speak AMQP 0-9-1 here.
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
    /// Takes the next bytes of the peer, until it is known.
    pub(super) fn heard(&mut self, bytes: &[u8]) -> Result<(), NotAmqp> {
        if self.known {
            return Ok(());
        }
        let missing = ENOUGH.saturating_sub(self.bytes.len());
        self.bytes.extend(bytes.iter().take(missing));
        if self.bytes.first() == Some(&METHOD) {
            self.known = true;
            Ok(())
        } else if self.bytes.len() < ENOUGH {
            Ok(())
        } else {
            Err(self.not_amqp())
        }
    }

    /// The peer says nothing more.
    pub(super) fn ended(&self) -> Result<(), NotAmqp> {
        if self.known { Ok(()) } else { Err(self.not_amqp()) }
    }

    fn not_amqp(&self) -> NotAmqp {
        match self.bytes.as_slice() {
            [] => NotAmqp::Closed,
            [b'H', b'T', b'T', b'P', ..] => NotAmqp::Http,
            // What 0-9-1 puts last comes in other versions after the kind of its security.
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

    /// What is known of a peer that says this, a byte at a time, and no more.
    fn known(words: &[u8]) -> Result<(), NotAmqp> {
        let mut peer = Peer::default();
        for byte in words {
            peer.heard(&[*byte])?;
        }
        peer.ended()
    }

    #[test]
    fn a_peer_is_known_by_its_first_bytes() {
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
            assert_eq!(known(words), expected, "{:?}", String::from_utf8_lossy(words));
        }
    }
}

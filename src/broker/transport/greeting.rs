//! What a peer is, by the first bytes that it sends. Pure.

/// Enough to know it.
const ENOUGH: usize = 8;
/// The type and the version of a TLS alert.
const TLS_ALERT: &[u8] = &[0x15, 3];
/// The first byte of a frame that carries a method: AMQP 0-9-1 begins with one.
const METHOD: u8 = 1;

/// The first bytes of a peer, until it is known what it is.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    bytes: Vec<u8>,
    known: bool,
}

/// What a peer is that does not speak AMQP 0-9-1 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::broker) enum Stranger {
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

impl Greeting {
    /// Takes the next bytes of the peer, until it is known.
    pub(super) fn heard(&mut self, bytes: &[u8]) -> Result<(), Stranger> {
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
            Err(self.stranger())
        }
    }

    /// The peer says nothing more.
    pub(super) fn ended(&self) -> Result<(), Stranger> {
        if self.known { Ok(()) } else { Err(self.stranger()) }
    }

    fn stranger(&self) -> Stranger {
        match self.bytes.as_slice() {
            [] => Stranger::Closed,
            [b'H', b'T', b'T', b'P', ..] => Stranger::Http,
            // The last two are the revision of 0-9-1, or the version of 1.0 after the kind of its security.
            [b'A', b'M', b'Q', b'P', 0, 0, major, minor, ..] => Stranger::OtherAmqp(*major, *minor),
            [b'A', b'M', b'Q', b'P', _, major, minor, ..] => Stranger::OtherAmqp(*major, *minor),
            bytes if bytes.starts_with(TLS_ALERT) => Stranger::Tls,
            _ => Stranger::Unknown,
        }
    }
}

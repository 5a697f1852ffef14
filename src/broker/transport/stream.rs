//! The stream that the client library reads and writes: bytes from the socket go through the walk over frames, bytes to it
//! through the outgoing ones.
//!
//! Polled by the client library on a thread of its own. It ends when its owner drops it, whatever the peer does.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};
use rustls::AlertDescription;
use tokio::io::ReadBuf;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::deliveries::filter::DeliveryFilter;
use super::deliveries::recent::RecentDeliveries;
use super::frames::fields::Repairs;
use super::frames::outgoing::Outgoing;
use super::frames::walker::Walker;
use super::greeting::{Greeting, ServerProperties};
use super::inbox::Inbox;
use super::peer::{NotAmqp, Peer};
use super::socket::{Socket, alert};

/// Shared by a stream and its owner.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    pub(super) recent: Arc<RecentDeliveries>,
    /// Cancelled when the owner drops the connection.
    pub(super) ended: CancellationToken,
    /// The largest frame that both sides take, in bytes.
    pub(super) frame_max: AtomicUsize,
    /// What the broker says of itself, from its first frame on.
    pub(super) properties: OnceLock<ServerProperties>,
    /// The broker's certificate, in DER, where there is TLS.
    pub(super) certificate: OnceLock<Vec<u8>>,
    not_amqp: Mutex<Option<NotAmqp>>,
    /// How the peer ended TLS: with TLS 1.3 it looks at the client's certificate after the handshake.
    tls_alert: Mutex<Option<AlertDescription>>,
    /// None where deliveries are simply handed on.
    pub(super) filter: Option<Arc<DeliveryFilter>>,
}

impl SharedState {
    pub(super) fn with(filter: Arc<DeliveryFilter>) -> Self {
        Self { filter: Some(filter), ..Self::default() }
    }

    pub(super) fn not_amqp(&self) -> Option<NotAmqp> {
        *self.not_amqp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tls_alert(&self) -> Option<AlertDescription> {
        *self.tls_alert.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct AmqpStream {
    socket: Socket,
    inbox: Inbox,
    peer: Peer,
    /// None once it is taken in.
    greeting: Option<Greeting>,
    walker: Walker,
    /// None once nothing has to be changed any more on the way out.
    outgoing: Option<Outgoing>,
    shared: Arc<SharedState>,
    ending: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl AmqpStream {
    pub(super) fn new(socket: Socket, frame_max: u32, shared: Arc<SharedState>) -> Self {
        let ending = Box::pin(shared.ended.clone().cancelled_owned());
        Self {
            socket,
            inbox: Inbox::default(),
            peer: Peer::default(),
            greeting: Some(Greeting::default()),
            walker: Walker::new(frame_max),
            outgoing: Some(Outgoing::default()),
            shared,
            ending,
        }
    }

    /// Fails once the owner has dropped the connection, and wakes the reader when that happens.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.shared.ended.is_cancelled() && self.ending.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// Fails once the owner has dropped the connection. Registers no waker: the reader's is enough.
    fn check_ended(&self) -> io::Result<()> {
        if self.shared.ended.is_cancelled() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Reads some bytes, and walks over them. False at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = ReadBuf::new(self.inbox.room());
        if let Err(error) = ready!(self.socket.poll_read(context, &mut room)) {
            *self.shared.tls_alert.lock().unwrap_or_else(PoisonError::into_inner) = alert(&error);
            return Poll::Ready(Err(error));
        }
        let read = room.filled().len();
        if read == 0 {
            self.judge(self.peer.ended())?;
            // A frame that is cut off is handed on, too: the client library reports it.
            self.inbox.skip_walk();
            return Poll::Ready(Ok(!self.inbox.ready().is_empty()));
        }
        let recognised = self.peer.received(room.filled());
        let greeted = self.greeting.as_mut().and_then(|greeting| greeting.received(room.filled()));
        self.judge(recognised)?;
        if let Some(properties) = greeted {
            self.shared.properties.get_or_init(|| properties);
            self.greeting = None;
        }
        self.inbox.read(read);
        self.inbox.walk(|bytes| self.walker.walk(bytes, &mut self.shared.recent.lock()));
        self.shared.frame_max.store(self.walker.frame_max(), Ordering::Relaxed);
        if let Some((channel, changes)) = self.walker.take_changed() {
            self.log(channel, &changes);
        }
        Poll::Ready(Ok(true))
    }

    fn poll_outgoing(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(outgoing) = &mut self.outgoing else { return Poll::Ready(Ok(())) };
        while !outgoing.ready().is_empty() {
            let sent = ready!(self.socket.poll_write(context, &[io::IoSlice::new(outgoing.ready())]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outgoing.sent(sent);
        }
        if outgoing.done(self.walker.frame_max()) {
            self.outgoing = None;
        }
        Poll::Ready(Ok(()))
    }

    fn judge(&self, verdict: Result<(), NotAmqp>) -> io::Result<()> {
        verdict.map_err(|not_amqp| {
            *self.shared.not_amqp.lock().unwrap_or_else(PoisonError::into_inner) = Some(not_amqp);
            io::Error::new(io::ErrorKind::InvalidData, not_amqp)
        })
    }

    fn log(&self, channel: u16, changes: &Repairs) {
        let consumer = self.shared.recent.lock().consumer(channel).unwrap_or_default();
        tracing::warn!(consumer, changed = changes.words(), "a message was changed so that it can be read");
    }
}

impl AsyncRead for AmqpStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.poll_ended(context)?;
        this.shared.recent.lock().reading();
        loop {
            let count = match &this.shared.filter {
                Some(filter) => {
                    let ready = this.inbox.ready();
                    if !ready.is_empty() {
                        filter.take(ready);
                        this.inbox.handed_all();
                    }
                    filter.hand(to, context.waker())
                }
                None => this.inbox.hand(to),
            };
            if count > 0 || to.is_empty() {
                return Poll::Ready(Ok(count));
            }
            match this.poll_fill(context)? {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Ok(0)),
                Poll::Pending => {
                    this.shared.recent.lock().waiting();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl AsyncWrite for AmqpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_ended()?;
        if this.outgoing.is_none() {
            return this.socket.poll_write(context, &[io::IoSlice::new(bytes)]);
        }
        ready!(this.poll_outgoing(context))?;
        if let Some(outgoing) = &mut this.outgoing {
            outgoing.take(bytes, this.walker.frame_max());
        }
        // What the socket does not take yet goes with the next write or flush.
        if let Poll::Ready(sent) = this.poll_outgoing(context) {
            sent?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.outgoing.is_some() {
            let first = bytes.iter().find(|bytes| !bytes.is_empty());
            return self.poll_write(context, first.map_or(&[], |bytes| bytes));
        }
        let this = self.get_mut();
        this.check_ended()?;
        this.socket.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(context))?;
        this.socket.poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(context))?;
        this.socket.poll_shutdown(context)
    }
}

//! TCP connections that the handler of a request can reset.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

pub(in crate::sandbox) struct ResettableListener(pub(in crate::sandbox) TcpListener);

/// A TCP connection that fails once its resetter was used.
pub(in crate::sandbox) struct ResettableConnection {
    stream: TcpStream,
    resetter: ConnectionResetter,
}

/// Resets the connection that a request came on: the server's next read or write fails, and the peer sees a reset.
#[derive(Clone, Default)]
pub(in crate::sandbox) struct ConnectionResetter(Arc<AtomicBool>);

impl ConnectionResetter {
    /// Call it before returning a response; nothing of the response is then sent.
    pub(in crate::sandbox::http) fn reset(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, ResettableListener>> for ConnectionResetter {
    fn connect_info(stream: IncomingStream<'_, ResettableListener>) -> Self {
        stream.io().resetter.clone()
    }
}

impl Listener for ResettableListener {
    type Io = ResettableConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not set TCP_NODELAY");
        }
        (ResettableConnection { stream, resetter: ConnectionResetter::default() }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl ResettableConnection {
    /// Fails once the resetter was used. Without zero linger, the peer would see an orderly close in place of a reset.
    fn check(&self) -> io::Result<()> {
        if self.resetter.0.load(Ordering::SeqCst) {
            self.stream.set_zero_linger()?;
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        Ok(())
    }
}

impl AsyncRead for ResettableConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ResettableConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

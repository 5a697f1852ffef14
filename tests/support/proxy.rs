//! A TCP proxy that misbehaves on demand.

use super::distort::{Cancellations, Distorter, Distortions};
use super::ports::{self, Port};
use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the proxy does with connections and bytes, until the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Connections open and stay open, and no byte gets through; bytes held back go on after [`Proxy::pass`].
    Hang,
    /// Nobody listens; open connections go on.
    Refuse,
}

/// How every open connection ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Cut,
    Reset,
}

/// A proxy between a client and a server. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    end: watch::Sender<End>,
    listening: watch::Receiver<bool>,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    distortions: Distortions,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Listens on a port of its own; `server` is `host:port`.
    pub async fn to(server: &str) -> Self {
        let (mode, modes) = watch::channel(Mode::Pass);
        let (end, ends) = watch::channel(End::Cut);
        let (listens, mut listening) = watch::channel(false);
        let port = ports::reserve();
        let number = port.number;
        let open = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::new(AtomicUsize::new(0));
        let distortions = Distortions::default();
        let carrier = Carrier {
            server: server.into(),
            modes,
            ends,
            open: Arc::clone(&open),
            distortions: distortions.clone(),
        };
        let mut task = JoinSet::new();
        task.spawn(listen(port, carrier, listens, Arc::clone(&accepted)));
        listening.wait_for(|listens| *listens).await.expect("the proxy listens");
        Self { port: number, mode, end, listening, open, accepted, distortions, _task: task }
    }

    /// Where clients reach it.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The same URL through the proxy.
    pub fn url(&self, direct: &str) -> String {
        let mut url = url::Url::parse(direct).expect("a URL");
        url.set_host(Some("127.0.0.1")).expect("a URL with a host");
        url.set_port(Some(self.port)).expect("a URL with a port");
        url.into()
    }

    /// Listens and passes everything on, as at the start. Ends [`Proxy::hang`] and [`Proxy::refuse`].
    pub async fn pass(&self) {
        self.mode.send_replace(Mode::Pass);
        self.until_listening(true).await;
    }

    /// Passes nothing on and keeps connections open, like a network that lost its route.
    pub async fn hang(&self) {
        self.mode.send_replace(Mode::Hang);
        self.until_listening(true).await;
    }

    /// Refuses new connections; those that are open go on.
    pub async fn refuse(&self) {
        self.mode.send_replace(Mode::Refuse);
        self.until_listening(false).await;
    }

    /// Closes every open connection; new ones are accepted.
    pub fn cut(&self) {
        self.end.send_replace(End::Cut);
    }

    /// Resets every open connection; new ones are accepted.
    pub fn reset(&self) {
        self.end.send_replace(End::Reset);
    }

    /// Refuses new connections and closes the open ones: the server is gone.
    pub async fn down(&self) {
        self.refuse().await;
        self.cut();
    }

    /// AMQP deliveries that it makes unreadable, on connections opened while there is any such distortion.
    pub fn distortions(&self) -> &Distortions {
        &self.distortions
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Connections that were ever accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    async fn until_listening(&self, listens: bool) {
        self.listening.clone().wait_for(|now| *now == listens).await.expect("the proxy runs");
    }
}

async fn listen(port: Port, carrier: Carrier, listens: watch::Sender<bool>, accepted: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    let mut modes = carrier.modes.clone();
    while modes.wait_for(|mode| *mode != Mode::Refuse).await.is_ok() {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number)).await.expect("the proxy's port is free");
        listens.send_replace(true);
        loop {
            tokio::select! {
                arrived = listener.accept() => {
                    let (client, _) = arrived.expect("a connection");
                    accepted.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(carrier.clone().carry(client));
                }
                Some(_) = connections.join_next() => {}
                refused = modes.wait_for(|mode| *mode == Mode::Refuse) => {
                    if refused.is_err() {
                        return;
                    }
                    break;
                }
            }
        }
        drop(listener);
        listens.send_replace(false);
    }
}

#[derive(Debug, Clone)]
struct Carrier {
    server: String,
    modes: watch::Receiver<Mode>,
    ends: watch::Receiver<End>,
    open: Arc<AtomicUsize>,
    distortions: Distortions,
}

impl Carrier {
    async fn carry(mut self, mut client: TcpStream) {
        let _counted = Counted::new(&self.open);
        self.ends.mark_unchanged();
        let mut server = tokio::select! {
            connected = TcpStream::connect(&self.server) => {
                let Ok(server) = connected else { return };
                server
            }
            _ended = self.ends.changed() => return,
        };
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let distorts = !self.distortions.are_none();
        let mut distorter = distorts.then(|| Distorter::new(self.distortions.clone()));
        let mut cancellations = distorts.then(|| Cancellations::new(self.distortions.clone()));
        let ended = tokio::select! {
            _done = async {
                tokio::try_join!(
                    pump(client_reads, server_writes, self.modes.clone(), |bytes| {
                        if let Some(cancellations) = &mut cancellations {
                            cancellations.pass(bytes);
                        }
                        bytes.into()
                    }),
                    pump(server_reads, client_writes, self.modes.clone(), |bytes| match &mut distorter {
                        Some(distorter) => distorter.pass(bytes).into(),
                        None => bytes.into(),
                    }),
                )
            } => false,
            told = self.ends.changed() => told.is_ok(),
        };
        if ended && matches!(*self.ends.borrow(), End::Reset) {
            client.set_zero_linger().expect("a socket that can be reset");
            server.set_zero_linger().expect("a socket that can be reset");
        }
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut modes: watch::Receiver<Mode>,
    mut through: impl FnMut(&[u8]) -> Cow<'_, [u8]>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        modes.wait_for(|mode| *mode != Mode::Hang).await.map_err(std::io::Error::other)?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&through(&buffer[..length])).await?;
    }
}

/// Counts as one until it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

//! What the integration tests share: a real RabbitMQ, a network that breaks on demand, the daemon as a process.
//!
//! A test includes it with `mod support;`.
//!
//! | file | provides |
//! |---|---|
//! | `broker.rs` | [`Broker`]: RabbitMQ nodes that a test may stop, kill and freeze; a [`Vhost`] per test |
//! | `amqp.rs` | [`Amqp`]: declare, publish with confirms, look into queues |
//! | `hostile.rs` | [`hostile()`]: unusual properties and headers |
//! | `doubler.rs` | [`Doubler`]: a proxy that hands one delivery out twice |
//! | `distort.rs` | [`Distortions`]: deliveries that no client library can read, through a [`Proxy`] |
//! | `amqp10.rs` | [`amqp10::Sender`]: a sender that speaks AMQP 1.0 |
//! | `raw.rs` | [`raw::Raw`]: an AMQP client that writes its frames by hand |
//! | `tls.rs` | [`Authority`]: certificates; [`TlsFront`]: TLS before a server that speaks none |
//! | `proxy.rs` | [`Proxy`]: a TCP proxy that cuts, resets, hangs and refuses |
//! | `process.rs` | [`Freshet`]: the daemon, its log, its exit status |
//! | `node.rs`, `server.rs`, `tree.rs` | where RabbitMQ comes from and how one node is run |
//! | `guard.rs`, `ports.rs` | nothing outlives the tests; no two tests take one port |
#![allow(dead_code, unused_imports, unreachable_pub, reason = "no test binary uses all of the support")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "in a test, a panic is the verdict"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the support is the edge: it reads the environment and the clock"
)]

mod amqp;
pub mod amqp10;
mod broker;
mod distort;
mod doubler;
mod guard;
mod hostile;
mod node;
mod ports;
mod process;
mod proxy;
pub mod raw;
mod server;
mod tls;
mod tree;

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

pub use amqp::{Amqp, header, next, table, text};
pub use broker::{Broker, NodeTls, Settings, Vhost};
pub use distort::{Cancellations, Distorter, Distortion, Distortions};
pub use doubler::Doubler;
pub use guard::Process;
pub use hostile::{Properties, hostile};
pub use ports::{Port, reserve as reserve_port};
pub use process::{Freshet, PROGRAM, delete, freshet, get, listen_address, post, prepare, put, script};
pub use proxy::Proxy;
pub use raw::Raw;
pub use tls::{Authority, Identity, TlsFront};

/// Only a test that fails waits for so long: a deadline that a busy machine can miss says nothing about Freshet.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// Waits until `probe` sees what is expected and returns what it saw. The only place in the tests that sleeps.
///
/// A probe answers with a bool, an `Option` or a `Result`; the last error is part of the panic's message.
///
/// # Panics
/// When `deadline` passes first.
pub async fn eventually<P: Probed>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> P,
) -> P::Seen {
    let mut wait = Wait::up_to(deadline);
    loop {
        match probe().await.seen() {
            Ok(seen) => return seen,
            Err(last) => wait.again(what, &last).await,
        }
    }
}

/// The pauses of [`eventually`], for loops in tasks that move between threads, which cannot take its probe along.
#[derive(Debug)]
pub struct Wait {
    deadline: Duration,
    end: tokio::time::Instant,
    pause: Duration,
}

impl Wait {
    pub fn up_to(deadline: Duration) -> Self {
        Self { deadline, end: tokio::time::Instant::now() + deadline, pause: Duration::from_millis(5) }
    }

    /// Pauses before the next try; `last` is what the one before saw, as a tail for a message.
    ///
    /// # Panics
    /// When the deadline has passed.
    pub async fn again(&mut self, what: &str, last: &str) {
        let Self { deadline, end, pause } = *self;
        assert!(tokio::time::Instant::now() < end, "not within {deadline:?}: {what}{last}");
        tokio::time::sleep(pause).await;
        self.pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// [`eventually`] with the deadline that suits nearly every test.
pub async fn soon<P: Probed>(what: &str, probe: impl AsyncFnMut() -> P) -> P::Seen {
    eventually(PATIENCE, what, probe).await
}

/// What a probe of [`eventually`] may answer with.
pub trait Probed {
    /// What is handed on once it is there.
    type Seen;
    /// What was seen, or why it does not count yet, as a tail for a message.
    fn seen(self) -> Result<Self::Seen, String>;
}

impl Probed for bool {
    type Seen = ();
    fn seen(self) -> Result<(), String> {
        if self { Ok(()) } else { Err(String::new()) }
    }
}

impl<T> Probed for Option<T> {
    type Seen = T;
    fn seen(self) -> Result<T, String> {
        self.ok_or_else(String::new)
    }
}

impl<T, E: Display> Probed for Result<T, E> {
    type Seen = T;
    fn seen(self) -> Result<T, String> {
        self.map_err(|error| format!(" ({error})"))
    }
}

/// The target folder, where everything goes that tests leave behind.
fn target_dir() -> PathBuf {
    let mut dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    dir.pop();
    dir
}

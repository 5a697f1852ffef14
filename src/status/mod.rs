//! Metrics, health and a status page over HTTP. The commands start it.
//!
//! It runs on a thread of its own, so that health checks are answered in time even if the daemon's threads are busy or
//! hang. It must not wait for anything that an account, a message or a client can hold up.

mod admin;
mod alive_signal;
mod assets;
mod client;
mod heartbeat;
mod http;
mod json;
mod letters;
mod pages;
mod renderer;
mod sources;
mod view;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::admin::AdminAccess;
pub use self::alive_signal::AliveSignal;

pub use self::client::{AskError, PageAnswer, ask};
use self::heartbeat::Heartbeat;
pub use self::letters::{LetterPort, LetterWorker};
pub use self::sources::StatusSources;

/// Serves the pages until it is dropped.
#[derive(Debug)]
pub struct Pages {
    _heartbeat: JoinSet<()>,
    _stop: DropGuard,
}

/// Serves on `listener` until `stop`, or until the returned value is dropped.
pub fn serve(
    listener: TcpListener,
    sources: StatusSources,
    stop: &CancellationToken,
) -> std::io::Result<Pages> {
    let stop = stop.child_token();
    let heartbeat = Heartbeat::default();
    let mut beating = JoinSet::new();
    beating.spawn(heartbeat.clone().beat());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A tokio listener only works on the runtime that it was made on.
    let listener = listener.into_std()?;
    let stopped = stop.clone();
    std::thread::Builder::new().name("pages".to_owned()).spawn(move || {
        let serving = stopped.run_until_cancelled_owned(serve_here(listener, sources, heartbeat));
        if let Some(Err(error)) = runtime.block_on(serving) {
            tracing::error!(%error, "the status pages ended");
        }
        // Waiting for a rendering that hangs on a lock would keep the process from ending.
        runtime.shutdown_background();
    })?;
    Ok(Pages { _heartbeat: beating, _stop: stop.drop_guard() })
}

async fn serve_here(
    listener: std::net::TcpListener,
    sources: StatusSources,
    heartbeat: Heartbeat,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(heartbeat.clone().watch());
    let alive = sources.alive_signal;
    let (handlers, rendering) = http::handlers::Handlers::new(sources, heartbeat);
    tasks.spawn(rendering);
    if let Some(alive) = alive {
        let handlers = handlers.clone();
        tasks.spawn(alive.give(move || {
            let handlers = handlers.clone();
            async move { handlers.livez().await.status().is_success() }
        }));
    }
    http::connections::serve(listener, handlers.router()).await;
    Ok(())
}

#[cfg(test)]
mod tests;

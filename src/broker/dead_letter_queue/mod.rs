//! What people do with the dead-letter queue: look, send letters back, drop them. Called by the commands and the status
//! page, on connections of its own; the lanes are not concerned.
//!
//! ```text
//! Q.dead ─► reading ─► LetterSelection ─► sending ─► Q.lanes | Q ─► acknowledged
//!              │                      └─► saving ─► a file ───────► acknowledged
//!              └ not chosen: back in its place when the channel closes
//! ```
//!
//! A letter is acknowledged only when RabbitMQ or the disk has it elsewhere. Nothing is ever rejected: RabbitMQ would put
//! it at the end of the queue.

mod chosen;
mod claim;
mod disposal;
mod error;
mod orders;
mod reading;
mod sending;
mod work;

use std::fmt::Display;
use std::io;
use std::ops::ControlFlow;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lapin::Connection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::names::Names;
use super::transport::{Connected, connect};
use crate::broker::amqp::address::{Address, Addresses};
use crate::broker::amqp::connection::{ConnectionPool, close};
use crate::broker::amqp::stored_letter;
use crate::dead_letter::{Letter, ListedLetter};
use crate::segment::Opener;
use disposal::Disposal;
pub use error::LetterQueueError;
pub use orders::{LetterCounter, LetterJudge, LetterOrder, LetterProgress, LetterState};
use reading::LetterReading;
use work::LetterWork;

/// The dead letters of one set of queues.
#[derive(Debug, Clone)]
pub struct DeadLetterQueue {
    addresses: Addresses,
    names: Names,
    opener: Opener,
}

/// How far a look went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LettersSeen {
    /// Letters that were there at the start.
    pub at_start: u64,
    /// Those of them that were seen. Others are held by somebody else, or came after the look was broken off.
    pub seen: u64,
}

impl DeadLetterQueue {
    /// Connects nowhere yet.
    pub fn new(addresses: &Addresses, names: &Names, opener: Opener) -> Self {
        crate::tls::install_provider();
        Self { addresses: addresses.clone(), names: names.clone(), opener }
    }

    /// The queue's name.
    pub fn name(&self) -> String {
        self.names.dead()
    }

    /// Shows every letter, in order, until `stop` or until `see` has seen enough. All letters stay, in their places: for that
    /// the queue is read to its end even so.
    ///
    /// `who` is shown to others that look at the queue's consumers.
    pub async fn look(
        &self,
        who: &str,
        stop: &CancellationToken,
        mut see: impl FnMut(&ListedLetter, &Letter) -> io::Result<ControlFlow<()>>,
    ) -> Result<LettersSeen, LetterQueueError> {
        let connection = self.connect(who).await?;
        let looked = self.look_on(&connection, who, stop, &mut see).await;
        close(&connection).await;
        looked
    }

    /// The same, but only where nobody takes letters out meanwhile: a replay that began now would find them held here, and
    /// pass them over.
    pub async fn look_alone(
        &self,
        who: &str,
        stop: &CancellationToken,
        mut see: impl FnMut(&ListedLetter, &Letter) -> io::Result<ControlFlow<()>>,
    ) -> Result<LettersSeen, LetterQueueError> {
        let connection = self.connect(who).await?;
        let looked = async {
            let _claim = claim::claim(&connection, &self.names).await?;
            self.look_on(&connection, who, stop, &mut see).await
        };
        let looked = looked.await;
        close(&connection).await;
        looked
    }

    async fn look_on(
        &self,
        connection: &Connection,
        who: &str,
        stop: &CancellationToken,
        see: &mut impl FnMut(&ListedLetter, &Letter) -> io::Result<ControlFlow<()>>,
    ) -> Result<LettersSeen, LetterQueueError> {
        let mut reading = LetterReading::open(connection, &self.names.dead(), who, None).await?;
        let mut looked = LettersSeen { at_start: reading.left(), seen: 0 };
        let looking = async {
            while let Some(delivery) = reading.next().await? {
                looked.seen += 1;
                // The lanes may share this thread.
                tokio::task::consume_budget().await;
                let letter = stored_letter::letter(&delivery);
                let listed = ListedLetter::of(&letter, &self.opener);
                if see(&listed, &letter).map_err(LetterQueueError::Output)?.is_break() {
                    break;
                }
            }
            Ok(())
        };
        let ended = stop.run_until_cancelled(looking).await;
        reading.close().await;
        ended.unwrap_or(Ok(())).map(|()| looked)
    }

    /// Sends letters back to their accounts' lanes, and those without an account to the intake, in order; each once. Tells
    /// `progress`, whose last state is that of the end. One replay or drop at a time.
    ///
    /// Ends in good order after `stop`. However it ends, no letter is lost; at worst those on their way are in both places.
    pub async fn replay(
        &self,
        order: LetterOrder,
        progress: &watch::Sender<LetterProgress>,
        stop: &CancellationToken,
    ) -> Result<LetterProgress, LetterQueueError> {
        let outcome = async {
            let (pool, _claim) = self.claim(&order.who).await?;
            let pair = pool.pair(0)?;
            let publishing = sending::LetterSending::open(pair, &self.names, &order.accounts).await?;
            let work = LetterWork::new(
                self.names.dead(),
                &self.opener,
                pair,
                &order,
                Disposal::SendBack(Box::new(publishing)),
                progress,
                stop,
            );
            let done = work.run().await;
            pool.close().await;
            done
        };
        orders::conclude("dead letters replayed", &order, progress, outcome).await
    }

    /// Removes letters for good, after `save` has put each of them on a disk. One replay or drop at a time.
    pub async fn drop_letters(
        &self,
        order: LetterOrder,
        save: &mut (dyn FnMut(&[Letter]) -> io::Result<()> + Send),
        progress: &watch::Sender<LetterProgress>,
        stop: &CancellationToken,
    ) -> Result<LetterProgress, LetterQueueError> {
        let outcome = async {
            let (pool, _claim) = self.claim(&order.who).await?;
            let pair = pool.pair(0)?;
            let done = LetterWork::new(
                self.names.dead(),
                &self.opener,
                pair,
                &order,
                Disposal::Save(save),
                progress,
                stop,
            )
            .run()
            .await;
            pool.close().await;
            done
        };
        orders::conclude("dead letters dropped", &order, progress, outcome).await
    }

    /// Connects to the first node that takes a connection.
    async fn connect(&self, who: &str) -> Result<Connected, LetterQueueError> {
        let name = connection_name(who);
        self.first_node(|address| connect(address, &name).boxed()).await
    }

    /// What the first node that can be reached gives.
    async fn first_node<'a, T, E: Display>(
        &'a self,
        reach: impl Fn(&'a Address) -> BoxFuture<'a, Result<T, E>>,
    ) -> Result<T, LetterQueueError> {
        let mut reached = reach(self.addresses.nth(0)).await;
        for node in 1..self.addresses.count() {
            if reached.is_err() {
                reached = reach(self.addresses.nth(node)).await;
            }
        }
        reached.map_err(|error| LetterQueueError::Unreachable(error.to_string()))
    }

    /// Two connections, and the claim to be the only one that takes letters out.
    async fn claim(&self, who: &str) -> Result<(ConnectionPool, claim::Claim), LetterQueueError> {
        let name = connection_name(who);
        let pool =
            self.first_node(|address| ConnectionPool::connect_one_pair(address, &name).boxed()).await?;
        let claim = claim::claim_soon(&pool.pair(0)?.consuming, &self.names).await?;
        Ok((pool, claim))
    }
}

fn connection_name(who: &str) -> String {
    format!("dead letters, {who}")
}

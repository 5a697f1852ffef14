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

use std::io;
use std::ops::ControlFlow;

use lapin::Connection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::inspection::first_node::first_node;
use super::names::Names;
use super::transport::{Connected, connect};
use crate::broker::amqp::address::Addresses;
use crate::broker::amqp::connection::{ConnectionPool, close};
use crate::broker::amqp::stored_letter;
use crate::broker::timing::LETTER_WAIT;
use crate::dead_letter::{Letter, ListedLetter};
use crate::segment::Opener;
use disposal::DisposalKind;
pub use error::LetterQueueError;
pub use orders::{
    LetterAccounts, LetterCounter, LetterJudge, LetterOrder, LetterProgress, LetterState, LetterVerdict,
    StayingLetters,
};
use reading::{LetterReading, NextLetter};
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

/// Stopped before anything was looked at.
const NOTHING: LettersSeen = LettersSeen { at_start: 0, seen: 0 };

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

    /// Shows every letter, in order, until `stop` or until `see` has seen enough. All letters stay, in their places:
    /// for that the queue is read to its end even so.
    ///
    /// `who` is shown to others that look at the queue's consumers.
    pub async fn look(
        &self,
        who: &str,
        stop: &CancellationToken,
        see: impl FnMut(&ListedLetter, &Letter) -> io::Result<ControlFlow<()>>,
    ) -> Result<LettersSeen, LetterQueueError> {
        self.look_claiming(false, who, stop, see).await
    }

    /// The same, but only where nobody takes letters out meanwhile: a replay that began now would find them held here, and
    /// pass them over.
    pub async fn look_alone(
        &self,
        who: &str,
        stop: &CancellationToken,
        see: impl FnMut(&ListedLetter, &Letter) -> io::Result<ControlFlow<()>>,
    ) -> Result<LettersSeen, LetterQueueError> {
        self.look_claiming(true, who, stop, see).await
    }

    async fn look_claiming(
        &self,
        claims: bool,
        who: &str,
        stop: &CancellationToken,
        mut see: impl FnMut(&ListedLetter, &Letter) -> io::Result<ControlFlow<()>>,
    ) -> Result<LettersSeen, LetterQueueError> {
        // Nothing is held yet, so that a stop may end this anywhere.
        let Some(connection) = stop.run_until_cancelled(self.connect(who)).await else { return Ok(NOTHING) };
        let connection = connection?;
        let looked = async {
            let claiming = async {
                if claims { claim::claim(&connection, &self.names).await.map(Some) } else { Ok(None) }
            };
            let claimed = stop.run_until_cancelled(claiming).await;
            let Some(_claim) = claimed.transpose()? else { return Ok(NOTHING) };
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
        let queue = self.names.dead();
        // It subscribes later: until then a stop may end it anywhere.
        let opened = stop.run_until_cancelled(LetterReading::open(connection, &queue, who, None)).await;
        let Some(mut reading) = opened.transpose()? else { return Ok(NOTHING) };
        let mut looked = LettersSeen { at_start: reading.left(), ..NOTHING };
        let looking = async {
            while let NextLetter::Read(delivery) = reading.next(LETTER_WAIT, stop).await? {
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
        let ended = looking.await;
        reading.close().await;
        ended.map(|()| looked)
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
        let disposal = DisposalKind::SendBack;
        self.work("dead letters replayed", order, disposal, progress, stop).await
    }

    /// Removes letters for good, after `save` has put each of them on a disk. One replay or drop at a time.
    pub async fn drop_letters(
        &self,
        order: LetterOrder,
        save: &mut (dyn FnMut(&[Letter]) -> io::Result<()> + Send),
        progress: &watch::Sender<LetterProgress>,
        stop: &CancellationToken,
    ) -> Result<LetterProgress, LetterQueueError> {
        let disposal = DisposalKind::Save(save);
        self.work("dead letters dropped", order, disposal, progress, stop).await
    }

    /// Takes letters out as `order` says. `what` is the line that is logged at the end.
    async fn work(
        &self,
        what: &'static str,
        order: LetterOrder,
        disposal: DisposalKind<'_>,
        progress: &watch::Sender<LetterProgress>,
        stop: &CancellationToken,
    ) -> Result<LetterProgress, LetterQueueError> {
        let outcome = async {
            // No letter is held yet, so that a stop may end this anywhere.
            let Some(pool) = stop.run_until_cancelled(self.connect_pair(&order.who)).await else {
                return Ok(LetterState::Stopped);
            };
            let pool = pool?;
            let done = self.work_on(&pool, &order, disposal, progress, stop).await;
            pool.close().await;
            done
        };
        orders::conclude(what, &order, progress, outcome).await
    }

    async fn work_on(
        &self,
        pool: &ConnectionPool,
        order: &LetterOrder,
        disposal: DisposalKind<'_>,
        progress: &watch::Sender<LetterProgress>,
        stop: &CancellationToken,
    ) -> Result<LetterState, LetterQueueError> {
        let pair = pool.pair(0)?;
        let opening = async {
            // Only who has it takes letters out.
            let claim = claim::claim_soon(&pair.consuming, &self.names).await?;
            Ok::<_, LetterQueueError>((claim, disposal.open(pair, &self.names, &order.accounts, stop).await?))
        };
        let opened = stop.run_until_cancelled(opening).await;
        let Some((_claim, disposal)) = opened.transpose()? else { return Ok(LetterState::Stopped) };
        let place = (self.names.dead(), pair, &self.opener);
        LetterWork::new(place, order, disposal, progress, stop).run().await
    }

    /// Connects to the first node that takes a connection.
    async fn connect(&self, who: &str) -> Result<Connected, LetterQueueError> {
        let name = connection_name(who);
        Ok(first_node(&self.addresses, |address| Box::pin(connect(address, &name))).await?)
    }

    /// Two connections: what is published must not hold up what is read.
    async fn connect_pair(&self, who: &str) -> Result<ConnectionPool, LetterQueueError> {
        let name = connection_name(who);
        let connecting =
            first_node(&self.addresses, |address| Box::pin(ConnectionPool::connect_one_pair(address, &name)));
        Ok(connecting.await?)
    }
}

fn connection_name(who: &str) -> String {
    format!("dead letters, {who}")
}

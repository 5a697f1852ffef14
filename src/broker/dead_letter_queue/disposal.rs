//! Where letters go that are taken out of the queue.

use std::io;

use tokio_util::sync::CancellationToken;

use super::chosen::{ChosenLetter, LetterFate};
use super::error::LetterQueueError;
use super::orders::LetterAccounts;
use super::sending::LetterSending;
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::amqp::stored_letter;
use crate::broker::names::Names;
use crate::dead_letter::Letter;

/// What an order does with letters.
pub(super) enum DisposalKind<'s> {
    SendBack,
    /// Puts all of them on a disk, or wherever they are to be.
    Save(&'s mut SaveLetters<'s>),
}

pub(super) type SaveLetters<'s> = dyn FnMut(&[Letter]) -> io::Result<()> + Send + 's;

impl<'s> DisposalKind<'s> {
    pub(super) async fn open<'a>(
        self,
        pair: &'a ConnectionPair,
        names: &'a Names,
        accounts: &'a LetterAccounts,
        stop: &'a CancellationToken,
    ) -> Result<Disposal<'a, 's>, LetterQueueError> {
        Ok(match self {
            Self::SendBack => {
                Disposal::SendBack(Box::new(LetterSending::open(pair, names, accounts, stop).await?))
            }
            Self::Save(save) => Disposal::Save(save),
        })
    }
}

/// The same, ready.
pub(super) enum Disposal<'a, 's> {
    SendBack(Box<LetterSending<'a>>),
    Save(&'s mut SaveLetters<'s>),
}

impl Disposal<'_, '_> {
    /// One fate for each letter. The second value says why no more letters should be tried.
    pub(super) async fn take(
        &mut self,
        letters: &[ChosenLetter],
    ) -> Result<(Vec<LetterFate>, Option<String>), LetterQueueError> {
        match self {
            Self::SendBack(sending) => sending.send(letters).await,
            Self::Save(save) => {
                let saved: Vec<Letter> =
                    letters.iter().map(|letter| stored_letter::letter(&letter.delivery)).collect();
                save(&saved).map_err(LetterQueueError::Output)?;
                Ok((letters.iter().map(|_| LetterFate::Gone).collect(), None))
            }
        }
    }
}

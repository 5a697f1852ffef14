//! Where letters go that are taken out of the queue.

use std::io;

use super::chosen::{ChosenLetter, LetterFate};
use super::error::LetterQueueError;
use super::sending::LetterSending;
use crate::broker::amqp::stored_letter;
use crate::dead_letter::Letter;

pub(super) enum Disposal<'a> {
    SendBack(Box<LetterSending<'a>>),
    /// Puts all of them on a disk, or wherever they are to be.
    Save(&'a mut (dyn FnMut(&[Letter]) -> io::Result<()> + Send)),
}

impl Disposal<'_> {
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

//! The dead letters as the pages know them: what waits, read now and then, and a replay that somebody started here.
//!
//! Looking takes the letters out of the queue for a moment, so it is done when somebody asks, by one task, with a rest
//! in between; all that ask meanwhile are shown the same. Pages ask the [`LetterPort`]; the [`LetterWorker`] runs among the
//! daemon's tasks, and only it waits for RabbitMQ.

pub(super) mod json;
mod port;
mod remedy;
mod state;
mod worker;

pub use port::LetterPort;
pub(super) use port::{ReplayError, ReplayRequest};
pub(super) use remedy::remedy;
pub(super) use state::{LetterView, LettersState, ReplayView};
pub use worker::LetterWorker;

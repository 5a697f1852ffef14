//! The pages for people: what `view` found out, put into the templates. Pure; the handlers serve what comes of it.

mod account;
mod applied;
mod dead_letters;
mod failure;
mod forms;
mod frame;
mod index;
mod replicas;
mod runbook;
mod shown;

pub(super) use account::account;
pub(super) use dead_letters::{LettersShown, Viewer, dead_letters};
pub(super) use failure::failure;
pub(super) use forms::{confirm_replay, login};
pub(super) use index::index;
pub(super) use replicas::replicas;
pub(super) use runbook::runbook;

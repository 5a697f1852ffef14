//! The pages for people: what `view` found out, put into the templates. Pure; the handlers serve what comes of it.

mod account;
mod failure;
mod frame;
mod index;
mod replicas;
mod runbook;
mod shown;

pub(super) use account::account;
pub(super) use failure::failure;
pub(super) use index::index;
pub(super) use replicas::replicas;
pub(super) use runbook::runbook;

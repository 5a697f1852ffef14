//! Calls to the API, above all those for many contacts at once: what waits, in groups ([`groups`]); which group goes, and
//! whether together or alone ([`choice`]); bulk upserts and their jobs ([`writes`]), searches ([`searches`],
//! [`finding`]), and the reading back of the first links that were written in bulk ([`link_trial`]). How a contact's call
//! may go, [`contact::bulk`](crate::lane::contact::bulk) decides. Asked by `planning::pick` for a call, and by
//! `pending::answers` with an answer.

mod choice;
mod finding;
mod groups;
mod link_trial;
mod searches;
mod writes;

//! Calls that do something for many contacts at once: which of them go together ([`groups`]), bulk upserts and their jobs
//! ([`writes`]), searches ([`searches`], [`finding`]), and the reading back of the first links that were written in bulk
//! ([`link_trial`]). How a contact's call may go, [`contact::bulk`](crate::lane::contact::bulk) decides.

mod choice;
mod finding;
mod groups;
mod link_trial;
mod searches;
mod writes;

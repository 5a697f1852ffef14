//! Segment's events as Freshet understands them. Pure; knows only the words of [`crate::outcome`].

mod event;

pub use event::{Event, JsonMap, Payload};

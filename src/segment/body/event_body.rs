//! One event's bytes, or its place in a batch.

use std::sync::Arc;

use bytes::Bytes;

use super::batch::Batch;

/// The body of a message with one event.
#[derive(Debug, Clone)]
pub(crate) enum EventBody {
    Whole(Bytes),
    /// The event at this index of a batch. Its bytes are made when they are needed, because thousands may wait.
    Part(Arc<Batch>, usize),
}

impl EventBody {
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Whole(body) => body.clone(),
            Self::Part(batch, index) => batch.body(*index),
        }
    }
}

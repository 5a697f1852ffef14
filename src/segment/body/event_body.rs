//! One event's bytes, or where in a batch to find them.

use std::sync::Arc;

use bytes::Bytes;

use super::batch::Batch;

/// What a message that holds one event has for a body.
#[derive(Debug, Clone)]
pub(crate) enum EventBody {
    /// The bytes as they are.
    Whole(Bytes),
    /// The event at this place of a batch. Its bytes are made when they are asked for: thousands may wait.
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

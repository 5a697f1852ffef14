//! What every handler gets: the API behind its lock, and the token of the stop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::api::Api;

/// The API of one account. Clones are the same one.
#[derive(Clone)]
pub(in crate::sandbox) struct SharedApi(Arc<Mutex<Api>>);

impl SharedApi {
    pub(in crate::sandbox) fn new(api: Api) -> Self {
        Self(Arc::new(Mutex::new(api)))
    }

    /// A panic elsewhere leaves at worst one request half done, so a poisoned lock is taken.
    pub(in crate::sandbox) fn lock(&self) -> MutexGuard<'_, Api> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of the routers.
#[derive(Clone)]
pub(in crate::sandbox) struct Served {
    pub(in crate::sandbox) api: SharedApi,
    /// Cancelled when the sandbox stops; hanging requests wait for it.
    pub(in crate::sandbox) stop: CancellationToken,
}

impl Served {
    /// Bytes of the longest request body accepted.
    pub(in crate::sandbox) fn body_limit(&self) -> usize {
        self.api.lock().account.options.admission.body_limit
    }
}

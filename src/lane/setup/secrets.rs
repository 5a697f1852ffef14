//! Reads an account's secrets again when Freshsales refuses them: they may be kept in files, and may have been replaced
//! there. Only when they are the same is the refusal what it looks like. The requests ask here; nothing else does.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::{self, AccountConfig, AccountSecrets};
use crate::freshsales::Client;
use crate::lane::timing::{SECRETS_READ_EVERY, SECRETS_READ_TIMEOUT};

/// Clones share what was read last.
#[derive(Debug, Clone)]
pub(in crate::lane) struct SecretFiles(Arc<Mutex<LastRead>>);

#[derive(Debug)]
struct LastRead {
    account: AccountConfig,
    at: Option<Instant>,
    /// A reading that took too long. It goes on, and there is never a second one beside it.
    reading: Option<JoinHandle<Option<AccountSecrets>>>,
    /// With the secrets that were read last.
    client: Client,
}

impl SecretFiles {
    /// The files of an account whose secrets `client` has.
    pub(in crate::lane) fn new(account: AccountConfig, client: Client) -> Self {
        Self(Arc::new(Mutex::new(LastRead { account, at: None, reading: None, client })))
    }

    /// A client with other secrets than those of `refused`, if there are others by now. Reads them once a minute at most.
    pub(in crate::lane) async fn other_than(&self, refused: &Client) -> Option<Client> {
        let mut last = self.0.lock().await;
        if last.client.has_secrets_of(refused) {
            last.read().await;
        }
        (!last.client.has_secrets_of(refused)).then(|| last.client.clone())
    }
}

impl LastRead {
    async fn read(&mut self) {
        if !self.account.keeps_secrets_in_files()
            || self.at.is_some_and(|at| at.elapsed() < SECRETS_READ_EVERY)
        {
            return;
        }
        self.at = Some(Instant::now());
        let reading = self.reading.get_or_insert_with(|| {
            let account = self.account.clone();
            // What cannot be read now is as good as unchanged.
            tokio::task::spawn_blocking(move || account.read_secrets(&config::environment).ok())
        });
        let Ok(read) = tokio::time::timeout(SECRETS_READ_TIMEOUT, reading).await else { return };
        self.reading = None;
        let Ok(Some(AccountSecrets { api_key, app_token })) = read else { return };
        let client = self.client.with_secrets(api_key, app_token);
        if !client.has_secrets_of(&self.client) {
            tracing::info!(
                account = &*self.account.name,
                "secrets were replaced; calls go on with the new ones"
            );
            self.client = client;
        }
    }
}

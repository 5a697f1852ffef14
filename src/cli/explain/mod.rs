//! `freshet explain`: what would become of the events of a file, without sending any.

mod events_of_file;
mod letters;
mod missing;
mod page;
mod showing;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::config_file::{ConfigFile, account_named};
use super::letters::arguments::OtherFilters;
use super::running::engine::with_secrets;
use super::terminal::output::{Failure, print_styled};
use crate::config::{self, AccountConfig, Config, SecretsNeeded};
use crate::delivery::AccountName;
use crate::explain::{
    AccountExplainer, AccountFields, Explainer, Explanation, FieldSourceError, Summary, not_in_folder,
};
use crate::file_feed::{EventReader, FileRead};
use crate::freshsales::{Client, HttpTransport};
use crate::schema::Selector;
use events_of_file::EventsOfFile;
pub(super) use missing::missing_traits;
use showing::{Showing, print_json};

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Events, one JSON object, array or batch per line, or dead letters; .gz for gzip, - for standard input
    #[arg(value_name = "FILE", required_unless_present = "dead_letters", conflicts_with = "dead_letters")]
    events: Option<PathBuf>,
    /// Explain all events for this account, whatever keys they have; with --dead-letters: the letters of this account
    #[arg(long)]
    account: Option<String>,
    /// Explain the letters that stand in the dead-letter queue, as if they were sent back now; they stay there
    #[arg(long)]
    dead_letters: bool,
    /// Folder with the accounts' fields, as `freshet fields --save` writes it; then nothing is asked of Freshsales, and no
    /// key is needed
    #[arg(long, value_name = "DIR")]
    fields: Option<PathBuf>,
    #[command(flatten)]
    showing: Showing,
    #[command(flatten, next_help_heading = "With --dead-letters: filters (all that are given must hold)")]
    filters: OtherFilters,
}

pub(super) async fn run(arguments: ExplainArguments) -> Result<(), Failure> {
    let ExplainArguments { config, events, account, dead_letters, fields, showing, filters } = arguments;
    match events {
        Some(events) if !dead_letters => {
            if !filters.into_filter(None).is_empty() {
                return Err(Failure::Usage(
                    "filters are for --dead-letters, not for a file of events".to_owned(),
                ));
            }
            run_file(&config, &events, account.as_deref(), fields.as_ref(), &showing).await
        }
        Some(_) | None => {
            letters::run(&config, filters.into_filter(account), fields.as_deref(), &showing).await
        }
    }
}

async fn run_file(
    config: &ConfigFile,
    events: &Path,
    account: Option<&str>,
    fields: Option<&PathBuf>,
    showing: &Showing,
) -> Result<(), Failure> {
    // An account's key is read once its fields are asked for.
    let config = config.load(SecretsNeeded::None)?;
    let account = match account {
        Some(name) => Some(account_named(&config, name)?.name.clone()),
        None => None,
    };
    let mut explaining = Explaining::new(&config, fields)?;
    let mut events = EventsOfFile::open(&config, events, account)?;
    let mut summary = Summary::default();
    while let Some(read) = events.next().await? {
        let explanation = explaining.explain(&events.reader, &read).await?;
        summary.add(&explanation);
        if !showing.shows(&explanation) {
            continue;
        }
        if showing.json {
            print_json(&explanation)?;
        } else {
            let text =
                text::event(&text::IN_A_FILE, &explanation, explaining.requests_per_hour(&explanation));
            print_styled(&text)?;
        }
    }
    showing.end(&summary)
}

/// How a command fails without an account's fields.
pub(super) fn not_known(error: FieldSourceError) -> Failure {
    if error.is_usage() { Failure::Usage(error.to_string()) } else { Failure::failed(error) }
}

/// Explains events, and reads the fields of an account when its first event comes.
struct Explaining<'a> {
    config: &'a Config,
    folder: Option<&'a PathBuf>,
    transport: Option<HttpTransport>,
    explainer: Explainer,
    known: BTreeMap<AccountName, AccountFields>,
    /// Selectors that could not be read, so that each is asked for once.
    failed: BTreeMap<(AccountName, Selector), String>,
}

impl<'a> Explaining<'a> {
    fn new(config: &'a Config, folder: Option<&'a PathBuf>) -> Result<Self, Failure> {
        let transport = match folder {
            Some(_) => None,
            None => Some(HttpTransport::new(config.delivery.request_timeout).map_err(Failure::failed)?),
        };
        Ok(Self::with(config, folder, transport))
    }

    fn with(config: &'a Config, folder: Option<&'a PathBuf>, transport: Option<HttpTransport>) -> Self {
        let (explainer, known, failed) = (Explainer::default(), BTreeMap::new(), BTreeMap::new());
        Self { config, folder, transport, explainer, known, failed }
    }

    async fn explain(&mut self, reader: &EventReader, read: &FileRead) -> Result<Explanation, Failure> {
        let account = read
            .account()
            .and_then(|(name, _)| self.config.accounts.iter().find(|account| account.name == *name));
        if let Some(account) = account {
            self.read_fields(account).await?;
        }
        let now = Instant::now();
        let mut explanation = self.explainer.explain(read, reader.glimpse(read), now);
        if let Some(account) = account
            && self.read_selectors(account, &explanation.needs).await?
        {
            explanation = self.explainer.explain(read, reader.glimpse(read), now);
        }
        self.note_unknown_selectors(&mut explanation);
        self.explainer.skip_duplicate(&mut explanation);
        Ok(explanation)
    }

    async fn read_fields(&mut self, account: &AccountConfig) -> Result<(), Failure> {
        if self.known.contains_key(&account.name) {
            return Ok(());
        }
        let fields = match (self.folder, self.client(account)?) {
            (Some(folder), _) => AccountFields::from_folder(folder, &account.name),
            (None, Some(client)) => AccountFields::from_api(&client, &account.name).await,
            (None, None) => return Ok(()),
        };
        let fields = fields.map_err(not_known)?;
        self.explainer.add(AccountExplainer::new(account, &fields));
        self.known.insert(account.name.clone(), fields);
        Ok(())
    }

    /// `None` if nothing is asked of Freshsales.
    fn client(&self, account: &AccountConfig) -> Result<Option<Client>, Failure> {
        let Some(transport) = &self.transport else { return Ok(None) };
        let configured = with_secrets(account, &config::environment).map_err(Failure::Usage)?;
        configured.own_client(transport).map(Some).map_err(Failure::Usage)
    }

    /// Reads selectors that may settle a value. True if more is known now.
    async fn read_selectors(&mut self, account: &AccountConfig, needs: &[Selector]) -> Result<bool, Failure> {
        if needs.is_empty() {
            return Ok(false);
        }
        let Some(client) = self.client(account)? else { return Ok(false) };
        let Some(fields) = self.known.get_mut(&account.name) else { return Ok(false) };
        let mut more = false;
        for selector in needs.iter().copied() {
            let key = (account.name.clone(), selector);
            if fields.selectors().knows(selector) || self.failed.contains_key(&key) {
                continue;
            }
            match fields.read_selectors(&client, &[selector]).await.pop() {
                None => more = true,
                Some(why) => drop(self.failed.insert(key, why)),
            }
        }
        if let Some(explainer) = self.explainer.account_mut(&account.name) {
            explainer.set_selectors(fields.selectors());
        }
        Ok(more)
    }

    fn note_unknown_selectors(&self, explanation: &mut Explanation) {
        let Some(account) = explanation.account.clone() else { return };
        for selector in explanation.needs.clone() {
            let why = match self.failed.get(&(account.clone(), selector)) {
                Some(why) => why.clone(),
                None if self.folder.is_some() => not_in_folder(selector).to_owned(),
                None => continue,
            };
            explanation.notes.push(why);
        }
    }

    fn requests_per_hour(&self, explanation: &Explanation) -> Option<f64> {
        let account = explanation.account.as_ref()?;
        Some(self.explainer.account(account)?.requests_per_hour())
    }
}

//! What would become of dead letters now: each is read as a replay treats it. Called by `explain --dead-letters` and by
//! `dead-letters replay --if-valid`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::command::{LetterCommand, failure};
use crate::cli::running::engine::with_secrets;
use crate::cli::running::running_lanes::keys;
use crate::cli::terminal::output::Failure;
use crate::config::{self, AccountConfig, Config};
use crate::dead_letter::{Letter, LetterFilter, ListedLetter};
use crate::delivery::AccountName;
use crate::explain::{AccountExplainer, AccountFields, Explainer, Explanation, not_in_folder};
use crate::file_feed::{EventReader, FileRead};
use crate::freshsales::HttpTransport;
use crate::routing::AccountIndex;
use crate::schema::Selector;

/// Accounts whose fields are asked for at the same time.
const ACCOUNTS_AT_ONCE: usize = 8;

/// Explains letters by the fields of the accounts that they concern.
pub(in crate::cli) struct LetterExplainer {
    reader: EventReader,
    explainer: Explainer,
    configured: BTreeSet<String>,
    /// The accounts whose fields cannot be had, and why.
    unread: BTreeMap<AccountName, String>,
    /// What else an account did not tell, and why.
    unread_selectors: BTreeMap<(AccountName, Selector), String>,
}

/// What would become of one event of a letter.
pub(in crate::cli) struct ExplainedEvent {
    pub(in crate::cli) explanation: Explanation,
    /// The fields of its account are not known, for this reason: the explanation means nothing.
    pub(in crate::cli) unread: Option<String>,
    /// What would have to be known to be sure, and why it is not.
    pub(in crate::cli) unsure: Option<String>,
}

/// An account's fields, and the selectors that it did not tell.
type ReadFields = (AccountFields, Vec<(Selector, String)>);

impl LetterExplainer {
    /// Finds out which accounts the letters concern that `filter` means, and reads the fields of these: from the folder,
    /// else from Freshsales.
    pub(in crate::cli) async fn for_letters(
        command: &LetterCommand,
        filter: &LetterFilter,
        folder: Option<&Path>,
    ) -> Result<Self, Failure> {
        let config = &command.config;
        let index = AccountIndex::new(&config.accounts.iter().map(keys).collect::<Vec<_>>()).into();
        let mut explaining = Self {
            reader: EventReader::new(index, config.broker.opener()),
            explainer: Explainer::default(),
            configured: config.accounts.iter().map(|account| account.name.to_string()).collect(),
            unread: BTreeMap::new(),
            unread_selectors: BTreeMap::new(),
        };
        let selection = filter.clone().selection(Timestamp::now());
        let mut concerned = BTreeSet::new();
        let see = |listed: &ListedLetter, letter: &Letter| {
            if selection.holds(listed) {
                explaining.note_accounts(letter, &mut concerned);
            }
            Ok(ControlFlow::Continue(()))
        };
        command.queue.look(&command.who, &command.stop, see).await.map_err(failure)?;
        let reading = explaining.read_fields(config, &concerned, folder);
        match command.stop.run_until_cancelled(reading).await {
            Some(read) => read.map(|()| explaining),
            None => Err(Failure::Failed("stopped by a signal; no letter was touched".to_owned())),
        }
    }

    /// What people should know before: accounts that did not tell everything.
    pub(in crate::cli) fn notes(&self) -> impl Iterator<Item = String> {
        let fields = self.unread.values().cloned();
        let selectors =
            self.unread_selectors.iter().map(|((account, _), why)| format!("account {account}: {why}"));
        fields.chain(selectors)
    }

    /// API calls an hour that Freshet may make for the event's account.
    pub(in crate::cli) fn requests_per_hour(&self, explanation: &Explanation) -> Option<f64> {
        let account = explanation.account.as_ref()?;
        Some(self.explainer.account(account)?.requests_per_hour())
    }

    /// Whether the letter's account is not in the configuration.
    pub(in crate::cli) fn leads_nowhere(&self, letter: &Letter) -> bool {
        letter.origin().account.is_some_and(|account| !self.configured.contains(account))
    }

    /// What would become of each of a letter's events. There is one, unless the letter goes to the intake and holds a batch.
    pub(in crate::cli) fn events(&mut self, letter: &Letter) -> Vec<ExplainedEvent> {
        self.reader.take_letter(letter);
        let mut events = Vec::new();
        while let Some(read) = self.reader.next_event() {
            events.push(self.event(&read));
        }
        if let Some(account) = letter.origin().account.filter(|_| self.leads_nowhere(letter)) {
            let why =
                format!("account {account} is not in the configuration, and a replay leaves its letters");
            for event in &mut events {
                event.unread = Some(why.clone());
            }
        }
        events
    }

    fn event(&mut self, read: &FileRead) -> ExplainedEvent {
        let mut explanation = self.explainer.explain(read, self.reader.glimpse(read), Instant::now());
        // What cannot be an event is refused whatever the account's fields are.
        let account = read.account().map(|(account, _)| account).filter(|_| read.body().is_ok());
        let unread = account.filter(|account| self.explainer.account(account).is_none()).map(|account| {
            let why =
                || format!("the fields of account {account} were not read, as its letter came in meanwhile");
            self.unread.get(account).cloned().unwrap_or_else(why)
        });
        let unsure = account.and_then(|account| {
            let why = |selector: &Selector| self.unread_selectors.get(&(account.clone(), *selector)).cloned();
            explanation.needs.iter().find_map(why)
        });
        explanation.notes.extend(unsure.clone());
        ExplainedEvent { explanation, unread, unsure }
    }

    fn note_accounts(&mut self, letter: &Letter, concerned: &mut BTreeSet<AccountName>) {
        self.reader.take_letter(letter);
        while let Some(read) = self.reader.next_event() {
            concerned.extend(read.account().map(|(account, _)| account.clone()));
        }
    }

    /// An account that does not answer costs the others nothing but the wait.
    async fn read_fields(
        &mut self,
        config: &Config,
        concerned: &BTreeSet<AccountName>,
        folder: Option<&Path>,
    ) -> Result<(), Failure> {
        let accounts: Vec<_> =
            config.accounts.iter().filter(|account| concerned.contains(&account.name)).collect();
        let transport = HttpTransport::new(config.delivery.request_timeout).map_err(Failure::failed)?;
        let asked = accounts.into_iter().map(|account| {
            let transport = &transport;
            async move {
                let fields = match folder {
                    Some(folder) => from_folder(folder, account),
                    None => from_freshsales(transport, account).await,
                };
                (account, fields)
            }
        });
        let asked: Vec<_> = asked.collect();
        let mut read = stream::iter(asked).buffer_unordered(ACCOUNTS_AT_ONCE);
        while let Some((account, fields)) = read.next().await {
            match fields {
                Ok((fields, selectors)) => {
                    self.explainer.add(AccountExplainer::new(account, &fields));
                    let selectors =
                        selectors.into_iter().map(|(selector, why)| ((account.name.clone(), selector), why));
                    self.unread_selectors.extend(selectors);
                }
                Err(why) => drop(self.unread.insert(account.name.clone(), why)),
            }
        }
        Ok(())
    }
}

async fn from_freshsales(transport: &HttpTransport, account: &AccountConfig) -> Result<ReadFields, String> {
    let client = with_secrets(account, &config::environment)?.own_client(transport)?;
    let fields = AccountFields::from_api(&client, &account.name).await;
    let mut fields = fields.map_err(|error| error.to_string())?;
    let mut unread = Vec::new();
    // A value may need any of them, and a letter is explained without asking again.
    for selector in Selector::ALL.iter().copied() {
        let why = fields.read_selectors(&client, &[selector]).await.pop();
        unread.extend(why.map(|why| (selector, why)));
    }
    Ok((fields, unread))
}

fn from_folder(folder: &Path, account: &AccountConfig) -> Result<ReadFields, String> {
    let fields = AccountFields::from_folder(folder, &account.name).map_err(|error| error.to_string())?;
    let selectors = fields.selectors();
    let unread = Selector::ALL.iter().copied().filter(|selector| !selectors.knows(*selector));
    let unread = unread.map(|selector| (selector, not_in_folder(selector).to_owned())).collect();
    Ok((fields, unread))
}

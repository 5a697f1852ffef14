//! An account's fields: asked of Freshsales, or read from a folder that has them as Freshsales answered.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::field_source_error::FieldSourceError;
use crate::freshsales::{Call, Client, RawResponse, UnavailableCause, Verdict, classify};
use crate::mapping::SchemaGap;
use crate::schema::{Entity, Fields, LeftOut, Schema, Selector, Selectors};

/// Selectors that a folder may hold. The users are not kept in one: their addresses are personal data.
const SAVED_SELECTORS: [Selector; 2] = [Selector::LifecycleStages, Selector::DealPipelines];

/// One entity's fields as they were answered, and as they are understood.
#[derive(Debug, Clone)]
struct EntityFields {
    entity: Entity,
    answer: Vec<u8>,
    fields: Fields,
    left_out: Vec<LeftOut>,
}

/// The fields of an account.
#[derive(Debug, Clone, Default)]
pub struct AccountFields {
    read: Vec<EntityFields>,
    gaps: Vec<(Entity, SchemaGap)>,
    selectors: Selectors,
    selector_answers: Vec<(Selector, Vec<u8>)>,
}

impl AccountFields {
    /// Reads `FOLDER/<account>/{contacts,sales_accounts,deals}.json`. Fields of sales accounts and deals may be missing.
    pub fn from_folder(folder: &Path, account: &str) -> Result<Self, FieldSourceError> {
        let own = folder.join(account);
        let mut known = Self::default();
        for entity in Entity::ALL.iter().copied() {
            let path = own.join(file_name(entity.plural()));
            match read(&path)? {
                Some(answer) => {
                    let place = || path.display().to_string();
                    known
                        .take_fields(entity, answer)
                        .map_err(|()| FieldSourceError::NoFields { place: place() })?;
                }
                None if entity == Entity::Contact => {
                    let (folder, account) = (folder.to_owned(), account.to_owned());
                    return Err(FieldSourceError::NotSaved { path, folder, account });
                }
                None => known.gaps.push((entity, SchemaGap::Missing)),
            }
        }
        for selector in SAVED_SELECTORS {
            let path = own.join(file_name(selector.as_str()));
            if let Some(answer) = read(&path)? {
                known.take_selector(selector, answer);
            }
        }
        Ok(known)
    }

    /// Reads one of the files that [`save`](Self::save) writes; the other entities are not known then.
    pub fn from_file(path: &Path) -> Result<Self, FieldSourceError> {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let entity = Entity::ALL.iter().copied().find(|entity| entity.plural() == stem);
        let Some(entity) = entity else {
            return Err(FieldSourceError::NotNamed { path: path.to_owned() });
        };
        let answer =
            std::fs::read(path).map_err(|source| FieldSourceError::Io { path: path.to_owned(), source })?;
        let mut known = Self::default();
        known
            .take_fields(entity, answer)
            .map_err(|()| FieldSourceError::NoFields { place: path.display().to_string() })?;
        let others = Entity::ALL.iter().copied().filter(|other| *other != entity);
        known.gaps.extend(others.map(|other| (other, SchemaGap::Missing)));
        Ok(known)
    }

    /// Asks Freshsales, for all entities at once.
    pub async fn from_api(client: &Client, account: &str) -> Result<Self, FieldSourceError> {
        let [contact, sales_account, deal] = [Entity::Contact, Entity::SalesAccount, Entity::Deal];
        let calls = [contact, sales_account, deal].map(Call::fields);
        let [of_contact, of_account, of_deal] = &calls;
        let answers = tokio::join!(client.send(of_contact), client.send(of_account), client.send(of_deal));
        let mut known = Self::default();
        for (entity, answer) in [(contact, answers.0), (sales_account, answers.1), (deal, answers.2)] {
            let refused = |why: String| FieldSourceError::Refused {
                account: account.to_owned(),
                address: client.address().to_owned(),
                entity: entity.singular().replace('_', " "),
                why,
            };
            let text = answer.as_ref().ok().and_then(RawResponse::body).map(<[u8]>::to_vec);
            let verdict = classify(Call::fields(entity).endpoint, answer.map(RawResponse::parse));
            match (verdict, entity) {
                (Verdict::Done(_), _) => {
                    known.take_fields(entity, text.unwrap_or_default()).map_err(|()| {
                        refused("the answer holds no list of fields; check the account's url".to_owned())
                    })?;
                }
                (Verdict::Denied { status: 403, .. }, Entity::SalesAccount | Entity::Deal) => {
                    known.gaps.push((entity, SchemaGap::Forbidden));
                }
                (
                    Verdict::Denied { .. } | Verdict::Refused { status: 404 | 410, .. },
                    Entity::SalesAccount | Entity::Deal,
                ) => known.gaps.push((entity, SchemaGap::Missing)),
                (verdict, _) => return Err(refused(why_not(&verdict))),
            }
        }
        Ok(known)
    }

    /// Asks Freshsales for selectors. One that cannot be read stays unknown, and the reason is returned.
    pub async fn read_selectors(&mut self, client: &Client, selectors: &[Selector]) -> Vec<String> {
        let mut failed = Vec::new();
        for selector in selectors.iter().copied() {
            if self.selectors.knows(selector) {
                continue;
            }
            let call = Call::selector(selector);
            let answer = client.send(&call).await;
            let text = answer.as_ref().ok().and_then(RawResponse::body).map(<[u8]>::to_vec);
            let verdict = classify(call.endpoint, answer.map(RawResponse::parse));
            let known = match &verdict {
                Verdict::Done(_) => self.take_selector(selector, text.unwrap_or_default()),
                Verdict::Refused { .. }
                | Verdict::Denied { .. }
                | Verdict::Unrecognized(_)
                | Verdict::Unauthorized { .. }
                | Verdict::Throttled { .. }
                | Verdict::TooManyJobs
                | Verdict::Unavailable { .. } => false,
            };
            if !known {
                failed.push(format!("the {} cannot be read: {}", words(selector), why_not(&verdict)));
            }
        }
        failed
    }

    /// Writes what was answered to `FOLDER/<account>/`, byte for byte. Returns the files.
    pub fn save(&self, folder: &Path, account: &str) -> Result<Vec<PathBuf>, FieldSourceError> {
        let own = folder.join(account);
        std::fs::create_dir_all(&own).map_err(|source| FieldSourceError::Io { path: own.clone(), source })?;
        let fields = self.read.iter().map(|read| (read.entity.plural(), &read.answer));
        let kept = self.selector_answers.iter().filter(|(selector, _)| SAVED_SELECTORS.contains(selector));
        let selectors = kept.map(|(selector, answer)| (selector.as_str(), answer));
        let mut written = Vec::new();
        for (name, answer) in fields.chain(selectors) {
            let path = own.join(file_name(name));
            std::fs::write(&path, answer)
                .map_err(|source| FieldSourceError::Io { path: path.clone(), source })?;
            written.push(path);
        }
        Ok(written)
    }

    /// The selectors that [`save`](Self::save) keeps.
    pub const fn saved_selectors() -> &'static [Selector] {
        &SAVED_SELECTORS
    }

    /// The fields that can be used.
    pub fn schema(&self) -> Schema {
        let mut schema = Schema::default();
        for read in &self.read {
            schema.of_mut(read.entity).clone_from(&read.fields);
        }
        schema
    }

    /// The entities whose fields are not known.
    pub fn gaps(&self) -> &[(Entity, SchemaGap)] {
        &self.gaps
    }

    /// What is known of the selectors.
    pub fn selectors(&self) -> Selectors {
        self.selectors.clone()
    }

    /// Fields that are not used because their metadata is malformed: entity, name and why.
    pub fn left_out(&self) -> impl Iterator<Item = (Entity, &LeftOut)> {
        self.read.iter().flat_map(|read| read.left_out.iter().map(|left_out| (read.entity, left_out)))
    }

    fn take_fields(&mut self, entity: Entity, answer: Vec<u8>) -> Result<(), ()> {
        let mut value: Value = serde_json::from_slice(&answer).map_err(drop)?;
        if value.is_array() {
            // The sandbox takes the bare list, too.
            value = json!({ "fields": value });
        }
        let (fields, left_out) = Fields::read(&value).ok_or(())?;
        if entity == Entity::Contact && fields.is_empty() {
            return Err(());
        }
        self.read.push(EntityFields { entity, answer, fields, left_out });
        Ok(())
    }

    fn take_selector(&mut self, selector: Selector, answer: Vec<u8>) -> bool {
        let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let known = self.selectors.read(selector, &value);
        if known {
            self.selector_answers.push((selector, answer));
        }
        known
    }
}

fn file_name(word: &str) -> String {
    format!("{word}.json")
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FieldSourceError> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(FieldSourceError::Io { path: path.to_owned(), source }),
    }
}

/// The account's lists by their words.
const fn words(selector: Selector) -> &'static str {
    match selector {
        Selector::Owners => "account's users",
        Selector::LifecycleStages => "account's lifecycle stages",
        Selector::DealPipelines => "account's pipelines",
    }
}

/// What an answer that holds no fields says, and what to do.
fn why_not(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Done(_) | Verdict::Unavailable { cause: UnavailableCause::UnexpectedBody(_), .. } => {
            "the answer cannot be understood; check the account's url".to_owned()
        }
        Verdict::Unauthorized { status } => {
            format!("Freshsales does not accept the API key (status {status}); check api_key")
        }
        Verdict::Denied { status: 404, .. } | Verdict::Refused { status: 404, .. } => {
            "nothing is there (status 404); check the account's url".to_owned()
        }
        Verdict::Denied { status, .. } | Verdict::Refused { status, .. } => {
            format!("Freshsales refuses (status {status}); the key's user needs the right to read settings")
        }
        Verdict::Throttled { .. } => {
            "the account's hourly quota is used up (status 429); try again later".to_owned()
        }
        Verdict::Unrecognized(answer) => format!("{answer} came back: {}", answer.advice()),
        Verdict::Unavailable {
            cause: UnavailableCause::ServerError(status) | UnavailableCause::UnexpectedStatus(status),
            ..
        } => format!("Freshsales answers with status {status}; try again later"),
        Verdict::TooManyJobs | Verdict::Unavailable { .. } => {
            "Freshsales does not answer; check the account's url and the network, or try again later"
                .to_owned()
        }
    }
}

/// Why a value was judged without a selector that the folder does not hold.
pub const fn not_in_folder(selector: Selector) -> &'static str {
    match selector {
        Selector::Owners => {
            "the folder does not hold the account's users, so an owner given by e-mail address is not found here; \
             a lane asks Freshsales for them"
        }
        Selector::LifecycleStages => {
            "the folder does not hold lifecycle_stages.json; `freshet fields --save` writes it"
        }
        Selector::DealPipelines => {
            "the folder does not hold deal_pipelines.json; `freshet fields --save` writes it"
        }
    }
}

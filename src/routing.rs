//! Finds the account that an event belongs to. Pure. Asked by the router and the file feed, so that both agree.

use std::collections::{HashMap, HashSet};

use strum::IntoStaticStr;

use crate::delivery::AccountName;
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::segment::RoutingKeys;

/// The names by which events refer to one account.
#[derive(Debug, Clone)]
pub struct AccountKeys {
    /// The `freshsales-account` header may hold it, too.
    pub name: AccountName,
    /// Of Segment sources.
    pub write_keys: Vec<String>,
    /// Of Segment projects.
    pub project_ids: Vec<String>,
}

/// All accounts, by everything that may name them.
#[derive(Debug, Clone, Default)]
pub struct AccountIndex {
    names: HashSet<AccountName>,
    by_write_key: HashMap<String, AccountName>,
    by_project: HashMap<String, AccountName>,
    /// The only account, if it lists no keys: then it gets every event.
    only: Option<AccountName>,
}

/// The header in which a sender names the account. It outranks the event's keys.
pub(crate) const ACCOUNT_HEADER: &str = "freshsales-account";

/// What named an event's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
pub enum RoutedBy {
    /// The header, which outranks the event's keys.
    #[strum(serialize = "header")]
    Header,
    /// A Segment source's key.
    #[strum(serialize = "writeKey")]
    WriteKey,
    /// A Segment project.
    #[strum(serialize = "projectId")]
    ProjectId,
    /// Whoever reads the events says it.
    #[strum(serialize = "option")]
    Option,
    /// There is one account, and it takes everything.
    #[strum(serialize = "only_account")]
    OnlyAccount,
}

impl AccountIndex {
    /// Where two accounts list the same key, the later one wins; the configuration refuses that.
    pub fn new(accounts: &[AccountKeys]) -> Self {
        let mut index = Self::default();
        for account in accounts {
            index.names.insert(account.name.clone());
            for key in &account.write_keys {
                index.by_write_key.insert(key.clone(), account.name.clone());
            }
            for id in &account.project_ids {
                index.by_project.insert(id.clone(), account.name.clone());
            }
        }
        if let [account] = accounts
            && account.write_keys.is_empty()
            && account.project_ids.is_empty()
        {
            index.only = Some(account.name.clone());
        }
        index
    }

    /// A header decides alone. Without one it is the only account, if that lists no keys; else the first key that belongs to
    /// an account, each object's `writeKey` before its `projectId`.
    ///
    /// `header` is `Some(None)` where the header is there and is no string. `keys` yields the event's own, and then those
    /// of the objects around it.
    pub fn find(
        &self,
        header: Option<Option<&str>>,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
    ) -> Result<AccountName, Refusal> {
        self.find_and_tell(header, keys).map(|(account, _)| account)
    }

    /// The same, and what named the account.
    pub fn find_and_tell(
        &self,
        header: Option<Option<&str>>,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
    ) -> Result<(AccountName, RoutedBy), Refusal> {
        if let Some(named) = header {
            let account = named.and_then(|name| self.names.get(name).cloned()).ok_or_else(|| {
                unknown(format!("the header `{ACCOUNT_HEADER}` names no account of this configuration"))
            })?;
            return Ok((account, RoutedBy::Header));
        }
        // Without reading the event: its lane finds out what is wrong with it.
        if let Some(only) = &self.only {
            return Ok((only.clone(), RoutedBy::OnlyAccount));
        }
        let found = keys()?.into_iter().find_map(|keys| {
            let by_key = keys.write_key.and_then(|key| self.by_write_key.get(&key));
            let by_project = || keys.project_id.and_then(|id| self.by_project.get(&id));
            let by_key = by_key.map(|account| (account.clone(), RoutedBy::WriteKey));
            by_key.or_else(|| by_project().map(|account| (account.clone(), RoutedBy::ProjectId)))
        });
        found.ok_or_else(|| {
            unknown(
                "neither `writeKey` nor `projectId` belongs to an account of this configuration".to_owned(),
            )
        })
    }
}

fn unknown(problem: String) -> Refusal {
    let expected = Some("a key listed in some account's `write_keys` or `project_ids`".to_owned());
    Refusal::new(DeadLetterReason::UnknownAccount, Problem { problem, expected, ..Problem::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment;

    fn read_keys(body: &[u8]) -> Result<Vec<RoutingKeys>, Refusal> {
        segment::routing_keys(body).map(|keys| vec![keys])
    }

    fn keys_of(name: &str, write_keys: &[&str], project_ids: &[&str]) -> AccountKeys {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        AccountKeys { name: name.into(), write_keys: owned(write_keys), project_ids: owned(project_ids) }
    }

    fn two() -> AccountIndex {
        AccountIndex::new(&[keys_of("acme", &["wk_a"], &["p_a"]), keys_of("globex", &["wk_g"], &[])])
    }

    #[test]
    fn the_first_key_that_is_known_decides() {
        let index = two();
        for (header, body, expected) in [
            (Some(Some("globex")), r#"{"writeKey":"wk_a"}"#, Ok("globex")),
            (Some(Some("nobody")), r#"{"writeKey":"wk_a"}"#, Err("unknown_account")),
            (Some(None), r#"{"writeKey":"wk_a"}"#, Err("unknown_account")),
            (Some(Some("acme")), "not json", Ok("acme")),
            (None, r#"{"writeKey":"wk_g","projectId":"p_a"}"#, Ok("globex")),
            (None, r#"{"writeKey":"other","projectId":"p_a"}"#, Ok("acme")),
            (None, r#"{"writeKey":"other"}"#, Err("unknown_account")),
            (None, "{}", Err("unknown_account")),
            (None, "not json", Err("malformed_json")),
            (None, r#"{"writeKey":7}"#, Err("invalid_event")),
        ] {
            let found = index.find(header, || read_keys(body.as_bytes()));
            let found = found.as_deref().map_err(|refusal| refusal.reason.as_str());
            assert_eq!(found, expected, "{header:?} {body}");
        }
    }

    #[test]
    fn the_only_account_takes_everything_unless_it_lists_keys() {
        let open = AccountIndex::new(&[keys_of("acme", &[], &[])]);
        assert_eq!(&*open.find(None, || read_keys(b"not even json")).unwrap(), "acme");
        assert_eq!(
            open.find(Some(Some("other")), || read_keys(b"{}")).unwrap_err().reason,
            DeadLetterReason::UnknownAccount
        );
        let closed = AccountIndex::new(&[keys_of("acme", &["wk"], &[])]);
        assert_eq!(
            closed.find(None, || read_keys(b"{}")).unwrap_err().reason,
            DeadLetterReason::UnknownAccount
        );
    }

    #[test]
    fn keys_nearest_to_the_event_decide() {
        let of = |write_key: &str| RoutingKeys { write_key: Some(write_key.to_owned()), project_id: None };
        for (keys, expected) in [
            (vec![of("wk_a"), of("wk_g")], Some("acme")),
            (vec![RoutingKeys::default(), of("wk_g")], Some("globex")),
            (vec![of("other"), of("wk_g")], Some("globex")),
            (vec![of("other")], None),
            (vec![], None),
        ] {
            let found = two().find(None, || Ok(keys.clone())).ok();
            assert_eq!(found.as_deref(), expected, "{keys:?}");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_as_too_large() {
        let mut body = br#"{"writeKey":"wk_a","pad":""#.to_vec();
        body.resize(segment::BODY_LIMIT, b' ');
        body.extend_from_slice(b"\"}");
        assert_eq!(two().find(None, || read_keys(&body)).unwrap_err().reason, DeadLetterReason::TooLarge);
    }
}

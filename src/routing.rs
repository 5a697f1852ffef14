//! Finds the account an event belongs to. Pure.

use std::collections::{HashMap, HashSet};

use crate::delivery::AccountName;
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::segment::RoutingKeys;

/// What one account claims.
#[derive(Debug, Clone)]
pub struct AccountKeys {
    /// The account.
    pub name: AccountName,
    /// Segment sources.
    pub write_keys: Vec<String>,
    /// Segment projects.
    pub project_ids: Vec<String>,
}

/// All accounts, by all that may name them.
#[derive(Debug, Clone, Default)]
pub struct AccountIndex {
    names: HashSet<AccountName>,
    by_write_key: HashMap<String, AccountName>,
    by_project: HashMap<String, AccountName>,
    /// The only account, if it claims nothing: then everything is its.
    only: Option<AccountName>,
}

/// The AMQP header in which a publisher names the account.
pub(crate) const ACCOUNT_HEADER: &str = "freshsales-account";

impl AccountIndex {
    /// A directory of these accounts.
    pub fn new(accounts: &[AccountKeys]) -> Self {
        let mut directory = Self::default();
        for account in accounts {
            directory.names.insert(account.name.clone());
            for key in &account.write_keys {
                directory.by_write_key.insert(key.clone(), account.name.clone());
            }
            for id in &account.project_ids {
                directory.by_project.insert(id.clone(), account.name.clone());
            }
        }
        if let [account] = accounts
            && account.write_keys.is_empty()
            && account.project_ids.is_empty()
        {
            directory.only = Some(account.name.clone());
        }
        directory
    }

    /// The account of an event: its header, its `writeKey`, its `projectId`, the only account.
    /// `header` is `Some(None)` where the header is there but is no string. `keys` are those of the event, and then those
    /// of what it stands in.
    pub fn find(
        &self,
        header: Option<Option<&str>>,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
    ) -> Result<AccountName, Refusal> {
        if let Some(named) = header {
            return named.and_then(|name| self.names.get(name).cloned()).ok_or_else(|| {
                unknown(format!("the header `{ACCOUNT_HEADER}` names no account of this configuration"))
            });
        }
        // With one account for everything no keys need be read: its lane will judge the event.
        if let Some(only) = &self.only {
            return Ok(only.clone());
        }
        let found = keys()?.into_iter().find_map(|keys| {
            let by_key = keys.write_key.and_then(|key| self.by_write_key.get(&key));
            by_key.or_else(|| keys.project_id.and_then(|id| self.by_project.get(&id)))
        });
        found.cloned().ok_or_else(|| {
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

    fn keys(body: &[u8]) -> Result<Vec<RoutingKeys>, Refusal> {
        segment::routing_keys(body).map(|keys| vec![keys])
    }

    fn claims(name: &str, write_keys: &[&str], project_ids: &[&str]) -> AccountKeys {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        AccountKeys { name: name.into(), write_keys: owned(write_keys), project_ids: owned(project_ids) }
    }

    fn two() -> AccountIndex {
        AccountIndex::new(&[claims("acme", &["wk_a"], &["p_a"]), claims("globex", &["wk_g"], &[])])
    }

    #[test]
    fn the_first_hit_wins() {
        let directory = two();
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
            let found = directory.find(header, || keys(body.as_bytes()));
            let found = found.as_deref().map_err(|refusal| refusal.reason.as_str());
            assert_eq!(found, expected, "{header:?} {body}");
        }
    }

    #[test]
    fn the_only_account_takes_everything_unless_it_lists_keys() {
        let open = AccountIndex::new(&[claims("acme", &[], &[])]);
        assert_eq!(&*open.find(None, || keys(b"not even json")).unwrap(), "acme");
        assert_eq!(
            open.find(Some(Some("other")), || keys(b"{}")).unwrap_err().reason,
            DeadLetterReason::UnknownAccount
        );
        let closed = AccountIndex::new(&[claims("acme", &["wk"], &[])]);
        assert_eq!(closed.find(None, || keys(b"{}")).unwrap_err().reason, DeadLetterReason::UnknownAccount);
    }

    #[test]
    fn the_keys_nearest_to_the_event_win() {
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
    fn a_body_over_the_limit_is_told_as_such() {
        let mut body = br#"{"writeKey":"wk_a","pad":""#.to_vec();
        body.resize(segment::BODY_LIMIT, b' ');
        body.extend_from_slice(b"\"}");
        assert_eq!(two().find(None, || keys(&body)).unwrap_err().reason, DeadLetterReason::TooLarge);
    }
}

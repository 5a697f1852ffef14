//! What only one account may have: its name, its write keys and projects.

use super::reading::reader::Problems;

/// What an account claims, also one with mistakes.
#[derive(Debug)]
pub(super) struct AccountClaims {
    pub(super) name: Option<String>,
    pub(super) write_keys: Vec<String>,
    pub(super) project_ids: Vec<String>,
}

/// A name, a write key or a project must belong to one account only. Accounts with other mistakes are compared, too.
pub(super) fn check_unique(
    earlier: &[(String, AccountClaims)],
    account: &AccountClaims,
    path: &str,
    problems: &mut Problems,
) {
    for (other_path, other) in earlier {
        let mut clash = |key: &str, what: &str| {
            let owner =
                other.name.as_ref().map_or_else(|| other_path.clone(), |name| format!("account `{name}`"));
            problems.add(format!("{path}.{key}"), format!("{what} belongs to {owner} already"));
        };
        if other.name.is_some() && other.name == account.name {
            clash("name", "this name");
        }
        let lists = [
            ("write_keys", &account.write_keys, &other.write_keys),
            ("project_ids", &account.project_ids, &other.project_ids),
        ];
        for (key, own, others) in lists {
            for (index, one) in own.iter().enumerate().filter(|(_, one)| others.contains(one)) {
                clash(&format!("{key}[{index}]"), &format!("\"{one}\""));
            }
        }
    }
}

//! Why an account's fields are not known, in words that say what to do.

use std::io;
use std::path::PathBuf;

/// Why an account's fields are not known.
#[derive(Debug, thiserror::Error)]
pub enum FieldSourceError {
    /// A folder has no file for an account.
    #[error(
        "there is no {}: write it with `freshet fields --account {account} --save {}`", .path.display(), .folder.display()
    )]
    NotSaved {
        /// The file that is missing.
        path: PathBuf,
        /// The folder of all accounts.
        folder: PathBuf,
        #[expect(missing_docs, reason = "as it says")]
        account: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        #[expect(missing_docs, reason = "as it says")]
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file's name does not say what its fields are of.
    #[error(
        "{}: its name does not say whose fields it holds; name a file contacts.json, sales_accounts.json or deals.json, \
         or the folder that `freshet fields --save` wrote",
        .path.display()
    )]
    NotNamed {
        #[expect(missing_docs, reason = "as it says")]
        path: PathBuf,
    },
    /// A file or an answer holds something else.
    #[error("{place} does not hold fields: expected {{\"fields\": [...]}} as Freshsales answers it")]
    NoFields {
        /// The file, or what was asked for.
        place: String,
    },
    /// Freshsales did not answer with fields.
    #[error("the {entity} fields of account `{account}` cannot be read from {address}: {why}")]
    Refused {
        #[expect(missing_docs, reason = "as it says")]
        account: String,
        /// The account's.
        address: String,
        /// In singular.
        entity: String,
        /// What came, and what to do.
        why: String,
    },
}

impl FieldSourceError {
    /// Whether what was named on the command line is wrong, and not what was asked.
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::NotSaved { .. } | Self::NotNamed { .. } | Self::NoFields { .. } => true,
            Self::Io { .. } | Self::Refused { .. } => false,
        }
    }
}

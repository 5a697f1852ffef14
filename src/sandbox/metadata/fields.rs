//! The field metadata of a whole account: built in, read from a directory, or replaced while the sandbox runs.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::field_file::{FieldFile, Form};

/// Why field metadata could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FieldsError {
    /// The path is not a directory.
    #[error("{} is not a directory: expected one with contacts.json, sales_accounts.json or deals.json", .0.display())]
    NoDirectory(PathBuf),
    /// The directory holds none of the four files.
    #[error("{} holds no field metadata: expected contacts.json, sales_accounts.json, deals.json or sales_activities.json", .0.display())]
    NoFiles(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// From the file system.
        source: io::Error,
    },
    /// A file holds something else than field metadata.
    #[error("{} is not field metadata: {problem}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
}

/// The field metadata of a whole account.
#[derive(Clone)]
pub struct FieldFiles {
    contacts: Arc<FieldFile>,
    sales_accounts: Arc<FieldFile>,
    deals: Arc<FieldFile>,
    sales_activities: Arc<FieldFile>,
}

impl FieldFiles {
    /// An account with Freshsales' default fields and a custom field of every type.
    pub fn built_in() -> Self {
        Self::build(|form| Ok(FieldFile::built_in(form))).unwrap_or_else(|never: Infallible| match never {})
    }

    /// Reads `contacts.json`, `sales_accounts.json`, `deals.json` and `sales_activities.json` from a directory, each as
    /// the settings endpoint answers it. A form whose file is absent has the built-in fields; a directory without any of
    /// the files is an error.
    pub fn load(directory: &Path) -> Result<Self, FieldsError> {
        if !directory.is_dir() {
            return Err(FieldsError::NoDirectory(directory.to_owned()));
        }
        let mut found = false;
        let files = Self::build(|form| {
            let path = directory.join(format!("{}.json", form.as_str()));
            match std::fs::read(&path) {
                Ok(text) => {
                    found = true;
                    FieldFile::parse(form, &text).map_err(|problem| FieldsError::Malformed { path, problem })
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(FieldFile::built_in(form)),
                Err(source) => Err(FieldsError::Unreadable { path, source }),
            }
        })?;
        if found { Ok(files) } else { Err(FieldsError::NoFiles(directory.to_owned())) }
    }

    pub(in crate::sandbox) fn get(&self, form: Form) -> &FieldFile {
        match form {
            Form::Contacts => &self.contacts,
            Form::SalesAccounts => &self.sales_accounts,
            Form::Deals => &self.deals,
            Form::SalesActivities => &self.sales_activities,
        }
    }

    pub(in crate::sandbox) fn replace(&mut self, form: Form, file: FieldFile) {
        match form {
            Form::Contacts => self.contacts = Arc::new(file),
            Form::SalesAccounts => self.sales_accounts = Arc::new(file),
            Form::Deals => self.deals = Arc::new(file),
            Form::SalesActivities => self.sales_activities = Arc::new(file),
        }
    }

    fn build<E>(mut file: impl FnMut(Form) -> Result<FieldFile, E>) -> Result<Self, E> {
        Ok(Self {
            contacts: Arc::new(file(Form::Contacts)?),
            sales_accounts: Arc::new(file(Form::SalesAccounts)?),
            deals: Arc::new(file(Form::Deals)?),
            sales_activities: Arc::new(file(Form::SalesActivities)?),
        })
    }
}

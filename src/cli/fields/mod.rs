//! `freshet fields`: the accounts' fields as senders must write them, what changed about them, and what has none.

mod changes;
mod lines;
mod missing;

use std::path::{Path, PathBuf};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde_json::Value;

use super::config_file::{ConfigFile, account_named};
use super::explain::{missing_traits, not_known};
use super::running::engine::with_secrets;
use super::terminal::output::{Failure, print, print_error, print_styled, width};
use crate::config::{self, AccountConfig, SecretsNeeded};
use crate::explain::{AccountFields, FieldSourceError, ListedField, list};
use crate::freshsales::HttpTransport;
use crate::mapping::SchemaGap;
use lines::{BOLD, json_lines};

/// So many choices of a field are shown.
const SHOWN_CHOICES: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct FieldsArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Only this account
    #[arg(long)]
    account: Option<String>,
    #[arg(
        long,
        value_name = "DIR",
        help = "Write what Freshsales answers to DIR/<account>/{contacts,sales_accounts,deals}.json, for explain --fields"
    )]
    save: Option<PathBuf>,
    /// Say what changed since the fields were saved: a folder that --save wrote, or one file of it, such as
    /// fields/acme/contacts.json
    #[arg(long, value_name = "SAVED", conflicts_with_all = ["save", "missing"])]
    diff: Option<PathBuf>,
    /// Say which traits of these events have no field, how often, and what they may have meant; .gz for gzip, - for standard
    /// input. --account: all events are this account's
    #[arg(long, value_name = "EVENTS", conflicts_with = "save")]
    missing: Option<PathBuf>,
    /// Take the fields from this folder, as --save writes it, and ask Freshsales nothing: no key is needed
    #[arg(long, value_name = "DIR", conflicts_with = "save")]
    fields: Option<PathBuf>,
    /// One JSON object per field, change or trait
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: FieldsArguments) -> Result<(), Failure> {
    // An account's key is read once its fields are asked for.
    let config = arguments.config.load(SecretsNeeded::None)?;
    let named = arguments.account.as_deref().map(|name| account_named(&config, name)).transpose()?;
    if let Some(events) = &arguments.missing {
        let (account, folder) = (named.map(|account| account.name.clone()), arguments.fields.as_ref());
        let (found, counts) = missing_traits(&config, events, account, folder).await?;
        missing::show(&found, &counts, arguments.json)?;
        return if found.is_empty() { Ok(()) } else { Err(Failure::Logged) };
    }
    let accounts = named.map_or_else(|| config.accounts.iter().collect(), |account| vec![account]);
    if let (Some(path), [_, _, ..]) = (&arguments.diff, &*accounts)
        && path.is_file()
    {
        let words = format!("{} is of one account: say which with --account", path.display());
        return Err(Failure::Usage(words));
    }
    let transport = HttpTransport::new(config.delivery.request_timeout).map_err(Failure::failed)?;
    let mut bad = false;
    for account in accounts {
        let saved =
            arguments.diff.as_deref().map(|path| Ok((path, changes::saved(path, account)?))).transpose()?;
        let fields = match &arguments.fields {
            Some(folder) => AccountFields::from_folder(folder, &account.name).map_err(not_known)?,
            None => match ask(account, &transport).await? {
                Ok(fields) => fields,
                Err(error) => {
                    // The other accounts are shown all the same.
                    print_error(&error.to_string());
                    bad = true;
                    continue;
                }
            },
        };
        if let Some((path, before)) = &saved {
            bad |= changes::show(account, (path, before), &fields, arguments.json)?;
            continue;
        }
        tell_what_is_left_out(account, &fields);
        match &arguments.save {
            Some(folder) => save(account, &fields, folder, arguments.json)?,
            None => show(&list(&account.name, &fields), arguments.json)?,
        }
    }
    if bad { Err(Failure::Logged) } else { Ok(()) }
}

/// Asks Freshsales for an account's fields, and for the choices that other choices depend on.
async fn ask(
    account: &AccountConfig,
    transport: &HttpTransport,
) -> Result<Result<AccountFields, FieldSourceError>, Failure> {
    let configured = with_secrets(account, &config::environment).map_err(Failure::Usage)?;
    let client = configured.own_client(transport).map_err(Failure::Usage)?;
    let mut fields = match AccountFields::from_api(&client, &account.name).await {
        Ok(fields) => fields,
        Err(error) => return Ok(Err(error)),
    };
    for why in fields.read_selectors(&client, AccountFields::saved_selectors()).await {
        print_error(&format!("account `{}`: {why}", account.name));
    }
    Ok(Ok(fields))
}

fn tell_what_is_left_out(account: &AccountConfig, fields: &AccountFields) {
    for (entity, left_out) in fields.left_out() {
        let (entity, name, why) = (entity.singular(), &left_out.name, &left_out.why);
        print_error(&format!("account `{}`: the {entity} field {name} is not used: {why}", account.name));
    }
    for (entity, gap) in fields.gaps() {
        let why = match gap {
            SchemaGap::Forbidden => "the API key has no right to read them",
            SchemaGap::Missing => "there are none",
            SchemaGap::NotYet => "they could not be read",
        };
        let entity = entity.plural().replace('_', " ");
        print_error(&format!("account `{}`: no fields of {entity}: {why}", account.name));
    }
}

/// Writes what was answered, and names the files.
fn save(account: &AccountConfig, fields: &AccountFields, folder: &Path, json: bool) -> Result<(), Failure> {
    let written = fields.save(folder, &account.name).map_err(Failure::failed)?;
    if json {
        return show(&list(&account.name, fields), true);
    }
    written.iter().try_for_each(|path| print(format!("{}\n", path.display())))
}

fn show(fields: &[ListedField], as_json: bool) -> Result<(), Failure> {
    if as_json {
        return print(json_lines(fields)?);
    }
    let mut text = String::new();
    for entity in ["contact", "sales_account", "deal"] {
        let of_entity: Vec<&ListedField> = fields.iter().filter(|field| field.entity == entity).collect();
        let Some(first) = of_entity.first() else { continue };
        let title = format!("{}: fields of a {}", first.account, entity.replace('_', " "));
        text.extend([&BOLD.to_string(), &*title, &format!("{BOLD:#}"), "\n"]);
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width()).set_header(["trait", "field", "label", "type", "", "choices"]);
        for field in of_entity {
            table.add_row([
                field.trait_path.clone(),
                field.field.clone(),
                field.label.clone(),
                field.kind.clone(),
                marks(field),
                choices(&field.choices),
            ]);
        }
        // Names are copied from here, so they are not broken.
        for column in [0, 1, 3, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        // Where there is no room, a long line is easier to read than a narrow column.
        for (column, least) in [(2, 16), (5, 32)] {
            if let Some(column) = table.column_mut(column) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
    }
    print_styled(&text)
}

fn marks(field: &ListedField) -> String {
    match (field.required, field.writable) {
        (true, true) => "required",
        (true | false, false) => "read-only",
        (false, true) => "",
    }
    .to_owned()
}

fn choices(choices: &[Value]) -> String {
    let label = |choice: &Value| choice.get("label").and_then(Value::as_str).unwrap_or_default().to_owned();
    let shown: Vec<String> = choices.iter().take(SHOWN_CHOICES).map(label).collect();
    let more = choices.len().saturating_sub(SHOWN_CHOICES);
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

//! `freshet fields`: the accounts' fields as senders must write them.

use std::path::PathBuf;

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde_json::Value;

use super::config_file::{ConfigFile, account_named};
use super::engine::with_secrets;
use super::output::{Failure, print, print_error, print_styled, width};
use crate::config::{self, AccountConfig, SecretsNeeded};
use crate::explain::{AccountFields, ListedField, list};
use crate::freshsales::HttpTransport;

/// So many choices of a field are shown.
const SHOWN_CHOICES: usize = 8;
const BOLD: Style = Style::new().bold();

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
    /// One JSON object per field
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: FieldsArguments) -> Result<(), Failure> {
    let config = arguments.config.load(SecretsNeeded::None)?;
    let accounts: Vec<&AccountConfig> = match &arguments.account {
        Some(name) => vec![account_named(&config, name)?],
        None => config.accounts.iter().collect(),
    };
    let transport = HttpTransport::new(config.delivery.request_timeout).map_err(Failure::failed)?;
    let mut failed = false;
    for account in accounts {
        let configured = with_secrets(account, &config::environment).map_err(Failure::Usage)?;
        let client = configured.own_client(&transport).map_err(Failure::Usage)?;
        let mut fields = match AccountFields::from_api(&client, &account.name).await {
            Ok(fields) => fields,
            Err(error) => {
                // The other accounts are shown all the same.
                print_error(&error.to_string());
                failed = true;
                continue;
            }
        };
        for why in fields.read_selectors(&client, AccountFields::saved_selectors()).await {
            print_error(&format!("account `{}`: {why}", account.name));
        }
        for (entity, left_out) in fields.left_out() {
            let (entity, name, why) = (entity.singular(), &left_out.name, &left_out.why);
            print_error(&format!("account `{}`: the {entity} field {name} is not used: {why}", account.name));
        }
        for (entity, gap) in fields.gaps() {
            print_error(&format!("account `{}`: no fields of {}: {gap:?}", account.name, entity.plural()));
        }
        if let Some(folder) = &arguments.save {
            let written = fields.save(folder, &account.name).map_err(Failure::failed)?;
            if !arguments.json {
                for path in written {
                    print(format!("{}\n", path.display()))?;
                }
                continue;
            }
        }
        show(&list(&account.name, &fields), arguments.json)?;
    }
    if failed { Err(Failure::Logged) } else { Ok(()) }
}

fn show(fields: &[ListedField], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let mut lines = String::new();
        for field in fields {
            lines.push_str(&serde_json::to_string(field).map_err(Failure::failed)?);
            lines.push('\n');
        }
        return print(lines);
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

//! `freshet check`: looks at the configuration, the broker and every account, and says what to do.

mod surroundings;
mod table;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::config_file::ConfigFile;
use super::terminal::files;
use super::terminal::output::{Failure, print, print_note};
use crate::broker::Names;
use crate::broker::survey;
use crate::check::{self, AccountAnswers, BrokerContext, CheckStatus, Finding, accounts_at_once};
use crate::config::{self, AccountConfig, Config};
use crate::delivery::AccountName;
use crate::freshsales::{Client, Credentials, HttpTransport};
use table::StatusCounts;

#[derive(Debug, clap::Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Look at this account alone
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Look at the configuration alone: needs no network, and reads no secret
    #[arg(long)]
    offline: bool,
    /// Print a JSON object a line, with the keys subject, check, status, message and remedy
    #[arg(long)]
    json: bool,
    /// Exit with 1 for warnings, too
    #[arg(long)]
    deny_warnings: bool,
}

/// What one account's part of the check ends with.
type AccountFindings = (AccountConfig, Vec<Finding>);

pub(super) async fn run(arguments: CheckArguments) -> Result<(), Failure> {
    let (config, facts) = surroundings::load(&arguments.config, arguments.offline)?;
    let accounts = chosen(&config, arguments.account.as_deref())?;
    if !arguments.offline {
        print_note(&cost(&config, accounts.len()));
    }
    let mut output = Output { json: arguments.json, totals: StatusCounts::default() };
    let chosen: Vec<&AccountConfig> = accounts.iter().collect();
    output.group("Configuration", "", &check::configuration(&config, &chosen, &facts))?;
    if arguments.offline {
        let skipped = check::broker_not_asked("not asked with --offline", "leave out --offline to ask it");
        output.group("RabbitMQ", "", &skipped)?;
    } else {
        online(&config, accounts, &mut output).await?;
    }
    output.finish(arguments.deny_warnings)
}

/// Asks the broker and the accounts side by side, and shows them in order.
async fn online(config: &Config, accounts: Vec<AccountConfig>, output: &mut Output) -> Result<(), Failure> {
    let bar = files::bar();
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.set_message("asking RabbitMQ and the accounts");
    let count = accounts.len();
    let names: Vec<AccountName> = accounts.iter().map(|account| account.name.clone()).collect();
    // Holds the answers of all, so that the broker's, which come first, hold up no account.
    let (answered, mut answers) = mpsc::channel(count.max(1));
    let mut asking = JoinSet::new();
    asking.spawn(ask_accounts(accounts, config.delivery.request_timeout, answered));
    let broker = ask_broker(config, &names).await;
    bar.suspend(|| output.group("RabbitMQ", "", &broker))?;
    let mut done = 0_usize;
    while let Some((account, findings)) = answers.recv().await {
        done += 1;
        bar.set_message(format!("{done} of {count} accounts"));
        let title = format!("Account {}", account.name);
        bar.suspend(|| output.group(&title, account.url.as_str(), &findings))?;
    }
    bar.finish_and_clear();
    Ok(())
}

async fn ask_broker(config: &Config, accounts: &[AccountName]) -> Vec<Finding> {
    let addresses = match config.broker.addresses(&config::environment) {
        Ok(addresses) => addresses,
        Err(error) => {
            let message = format!("broker.url: {error}");
            return check::broker_not_asked(&message, "provide it: nothing can be asked without");
        }
    };
    let names = Names::new(&config.broker.queue);
    let replica = &config.broker.replica;
    let survey = survey(&addresses, &names, replica, accounts).await;
    let context = BrokerContext { names: &names, replica, accounts, now: Timestamp::now() };
    check::broker(&survey, context)
}

/// Sends each account's findings in their order.
async fn ask_accounts(
    accounts: Vec<AccountConfig>,
    timeout: Duration,
    answered: mpsc::Sender<AccountFindings>,
) {
    // A longer timeout is for deliveries: a person waits for this.
    let transport = HttpTransport::with_certificates(timeout.min(Duration::from_secs(10)));
    let asked = accounts.into_iter().map(|account| {
        let transport = transport.as_ref().ok().cloned();
        async move {
            let findings = ask_account(&account, transport).await;
            (account, findings)
        }
    });
    let mut asked = stream::iter(asked).buffered(accounts_at_once());
    while let Some(answer) = asked.next().await {
        if answered.send(answer).await.is_err() {
            return;
        }
    }
}

async fn ask_account(account: &AccountConfig, transport: Option<HttpTransport>) -> Vec<Finding> {
    let secrets = account.read_secrets(&config::environment);
    let (Ok(secrets), Some(transport)) = (secrets, transport) else {
        return check::account_not_asked(account, "a secret is missing", "see `secrets` above");
    };
    let transport = match account.authorities() {
        Ok(None) => transport,
        Ok(Some(authorities)) => match transport.trusting(&authorities) {
            Ok(transport) => transport,
            Err(error) => {
                return check::account_not_asked(account, &format!("ca_file: {error}"), "mend the file");
            }
        },
        Err(_) => return check::account_not_asked(account, "ca_file is of no use", "see `secrets` above"),
    };
    let credentials = Credentials {
        base_url: account.url.as_str().to_owned(),
        api_key: secrets.api_key,
        app_token: secrets.app_token,
    };
    let answers = AccountAnswers::ask(&Client::new(&transport, credentials)).await;
    check::account(account, &answers, Timestamp::now())
}

/// All accounts, or the one that is named.
fn chosen(config: &Config, named: Option<&str>) -> Result<Vec<AccountConfig>, Failure> {
    let Some(named) = named else { return Ok(config.accounts.clone()) };
    let found = config.accounts.iter().find(|account| *account.name == *named);
    found.map(|account| vec![account.clone()]).ok_or_else(|| {
        let names: Vec<&str> = config.accounts.iter().map(|account| &*account.name).collect();
        Failure::Usage(format!("there is no account `{named}`; there are: {}", names.join(", ")))
    })
}

fn cost(config: &Config, accounts: usize) -> String {
    let calls = u64::from(check::CALLS) * accounts as u64;
    let of = match accounts {
        1 => format!("up to {calls} calls of the account's quota"),
        many => format!("up to {} calls of each of {many} accounts' quotas, {calls} in all", check::CALLS),
    };
    let nodes = match &config.broker.url {
        config::BrokerUrl::Given(addresses) => addresses.count(),
        config::BrokerUrl::Secret(_) => 1,
    };
    let minutes = accounts.div_ceil(accounts_at_once()).div_ceil(2).max(1);
    format!(
        "takes {of}, and {} connections to RabbitMQ for a moment; ends within {minutes} min, mostly within seconds",
        nodes + 1
    )
}

/// Shows findings, and counts them.
struct Output {
    json: bool,
    totals: StatusCounts,
}

impl Output {
    fn group(&mut self, title: &str, about: &str, findings: &[Finding]) -> Result<(), Failure> {
        self.totals.count(findings);
        if self.json {
            let mut lines = String::new();
            for finding in findings {
                let line = serde_json::json!({
                    "subject": finding.subject.to_string(),
                    "check": finding.check,
                    "status": finding.status,
                    "message": finding.message,
                    "remedy": finding.remedy,
                });
                lines.push_str(&line.to_string());
                lines.push('\n');
            }
            return print(lines);
        }
        print_styled(&table::group(title, about, findings, table::width()))
    }

    fn finish(self, deny_warnings: bool) -> Result<(), Failure> {
        if !self.json {
            print(format!("{}\n", self.totals))?;
        }
        let bad = self.totals.of(CheckStatus::Failed) > 0
            || (deny_warnings && self.totals.of(CheckStatus::Warning) > 0);
        if bad { Err(Failure::Logged) } else { Ok(()) }
    }
}

/// Takes colours out where they are not wanted: no terminal, or `NO_COLOR`.
fn print_styled(text: &str) -> Result<(), Failure> {
    let plain = anstream::AutoStream::choice(&std::io::stdout()) == anstream::ColorChoice::Never;
    if plain { print(anstream::adapter::strip_str(text).to_string()) } else { print(text) }
}

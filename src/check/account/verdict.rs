//! What an account's answers mean. Pure.

mod reach;
mod rights;
mod rules;

use jiff::Timestamp;

use super::answers::AccountAnswers;
use crate::check::certificate;
use crate::check::finding::{CheckFindings, Finding, Subject};
use crate::config::AccountConfig;
use crate::schema::Entity;

/// Says what the account answered.
pub fn account(account: &AccountConfig, answers: &AccountAnswers, now: Timestamp) -> Vec<Finding> {
    let mut findings = CheckFindings::about(Subject::Account(account.name.clone()));
    reach::connection(account, answers, &mut findings);
    if let Some(der) = &answers.server.certificate {
        certificate::judge(&host(account), der, now, &mut findings);
    }
    if !answers.server.reached {
        return findings.finish();
    }
    reach::clock(&answers.server, &mut findings);
    if !reach::api_key(answers, &mut findings) {
        return findings.finish();
    }
    reach::quota(account, answers, &mut findings);
    for entity in Entity::ALL {
        rights::rights(*entity, answers, &mut findings);
    }
    rights::others(&answers.rights, &mut findings);
    findings.skip(
        "writing",
        "creating and changing records, singly and in bulk: no attempt would leave the account as it is",
        "after the first events, the lane's state and freshet_api_requests_total show refusals; docs/RUNBOOK.md",
    );
    rights::app_token(account, &mut findings);
    rules::rules(account, &answers.fields, &mut findings);
    findings.finish()
}

/// Says that the account was not asked, and why.
pub fn account_not_asked(account: &AccountConfig, message: &str, remedy: &str) -> Vec<Finding> {
    let mut findings = CheckFindings::about(Subject::Account(account.name.clone()));
    findings.skip("connection", message, remedy);
    findings.finish()
}

fn host(account: &AccountConfig) -> String {
    let url = url::Url::parse(account.access.url.as_str()).ok();
    let host = url.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    host.unwrap_or_else(|| account.access.url.to_string())
}

#[cfg(test)]
mod tests;

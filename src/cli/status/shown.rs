//! What `/api/status` answers, as a sentence and a table. The answer may be of another version: what it lacks is not shown,
//! and what is not known here is passed over.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::cli::terminal::table::{printable, table};

/// States in which a lane needs nobody, the others first.
const QUIET_STATES: [&str; 2] = ["flowing", "standby"];

/// An answer.
pub(super) struct ReplicaStatus(Value);

/// One column: its heading and what stands in it.
type Column = (&'static str, fn(&Value, Timestamp) -> Option<String>);

/// What the replica that answers knows of itself alone, while the other columns are of the fleet.
const OWN_COLUMNS: [&str; 5] = ["IN FLIGHT", "DELIVERED", "SKIPPED", "DEAD", "CALLS"];

/// Shown where any account has it.
const COLUMNS: [Column; 11] = [
    ("ACCOUNT", |account, _| text(account, &["account", "name"])),
    ("STATE", |account, _| Some(state(account)?.replace('_', " "))),
    ("SINCE", |account, now| age(member(account, &["since"])?, now)),
    ("WAITING", |account, _| number(account, &["waiting"])),
    ("OLDEST", |account, now| age(member(account, &["oldest"])?, now)),
    ("IN FLIGHT", |account, _| number(account, &["in_flight"])),
    ("DELIVERED", |account, _| number(account, &["delivered"])),
    ("SKIPPED", |account, _| number(account, &["skipped"])),
    ("DEAD", |account, _| number(account, &["dead_lettered"])),
    ("CALLS", |account, _| quota(account)),
    ("REPLICA", |account, _| text(account, &["replica"])),
];

impl ReplicaStatus {
    /// `None` if it is no replica's answer.
    pub(super) fn read(body: &str) -> Option<Self> {
        let answer: Value = serde_json::from_str(body).ok()?;
        answer.get("accounts")?.as_array()?;
        Some(Self(answer))
    }

    pub(super) fn one_line(&self) -> String {
        self.0.to_string()
    }

    /// For people.
    pub(super) fn table(&self, now: Timestamp) -> String {
        let mut accounts: Vec<&Value> = self
            .0
            .get("accounts")
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |all| all.iter().collect());
        accounts.sort_by_key(|account| {
            state(account).is_some_and(|state| QUIET_STATES.contains(&state.as_str()))
        });
        let mut shown = format!("{}\n", self.sentence(&accounts));
        if !accounts.is_empty() {
            shown.push('\n');
            let columns = columns(&accounts, now);
            shown.push_str(&rows(&columns, &accounts, now));
            shown.push_str(&self.whose(&columns));
        }
        let mut why = accounts.iter().filter_map(|account| {
            Some(format!("{}: {}\n", text(account, &["account", "name"])?, why(account)?))
        });
        if let Some(first) = why.next() {
            shown.push('\n');
            shown.push_str(&first);
            shown.extend(why);
        }
        shown
    }

    /// Else what one replica delivered would be taken for what all did.
    fn whose(&self, columns: &[&Column]) -> String {
        let own: Vec<&str> = columns
            .iter()
            .map(|(heading, _)| *heading)
            .filter(|heading| OWN_COLUMNS.contains(heading))
            .collect();
        if own.is_empty() {
            return String::new();
        }
        let replica = text(&self.0, &["replica"])
            .map_or_else(|| "the replica that answers".to_owned(), |name| format!("replica {name}"));
        format!("\nOf {replica} alone, which counts from its start: {}.\n", own.join(", "))
    }

    fn sentence(&self, accounts: &[&Value]) -> String {
        if let Some(sentence) = text(&self.0, &["summary"]) {
            return sentence;
        }
        let mut states: BTreeMap<String, u64> = BTreeMap::new();
        for account in accounts {
            *states.entry(state(account).unwrap_or_else(|| "unknown".to_owned())).or_default() += 1;
        }
        let states: Vec<String> =
            states.into_iter().map(|(state, count)| format!("{count} {}", state.replace('_', " "))).collect();
        let count = accounts.len();
        let mut parts = vec![match count {
            1 => format!("1 account: {}", states.join(", ")),
            0 => "No accounts".to_owned(),
            _ => format!("{count} accounts: {}", states.join(", ")),
        }];
        match self.0.get("broker") {
            None | Some(Value::Null) => parts.push("events come from a file".to_owned()),
            Some(broker) => {
                let ready = broker.get("ready").and_then(Value::as_bool).unwrap_or(true);
                let why = text(broker, &["why"]).unwrap_or_else(|| "not ready".to_owned());
                parts.push(if ready {
                    "RabbitMQ is connected".to_owned()
                } else {
                    format!("RabbitMQ: {why}")
                });
            }
        }
        let dead: u64 =
            accounts.iter().filter_map(|account| total(member(account, &["dead_lettered"])?)).sum();
        if dead > 0 {
            let letters = if dead == 1 { "dead letter" } else { "dead letters" };
            parts.push(format!("{dead} {letters} since the start"));
        }
        if let Some(replica) = text(&self.0, &["replica"]) {
            parts.push(format!("replica {replica}"));
        }
        if let Some(version) = text(&self.0, &["version"]) {
            parts.push(format!("version {version}"));
        }
        format!("{}.", parts.join("; "))
    }
}

fn columns(accounts: &[&Value], now: Timestamp) -> Vec<&'static Column> {
    let is_there = |(_, cell): &&Column| accounts.iter().any(|account| cell(account, now).is_some());
    COLUMNS.iter().filter(is_there).collect()
}

fn rows(columns: &[&Column], accounts: &[&Value], now: Timestamp) -> String {
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let row = |account: &&Value| {
        columns.iter().map(|(_, cell)| cell(account, now).unwrap_or_else(|| "-".to_owned())).collect()
    };
    table(&headings, accounts.iter().map(row))
}

/// A member of an account, or of the report that a replica gave of it.
fn member<'a>(account: &'a Value, names: &[&str]) -> Option<&'a Value> {
    let report = account.get("report");
    let found = names.iter().find_map(|name| account.get(name).or_else(|| report?.get(name)));
    found.filter(|value| !value.is_null())
}

fn text(value: &Value, names: &[&str]) -> Option<String> {
    member(value, names)?.as_str().filter(|text| !text.is_empty()).map(printable)
}

fn state(account: &Value) -> Option<String> {
    if member(account, &["stuck"]).is_some_and(Value::is_object) {
        return Some("stuck".to_owned());
    }
    text(account, &["state"])
}

/// Why the account does not flow, if it does not.
fn why(account: &Value) -> Option<String> {
    member(account, &["stuck"]).and_then(|stuck| text(stuck, &["why"])).or_else(|| text(account, &["why"]))
}

/// A number, or the sum of one for each reason.
fn total(value: &Value) -> Option<u64> {
    let by_reason = || Some(value.as_object()?.values().filter_map(Value::as_u64).sum());
    value.as_u64().or_else(by_reason)
}

fn number(account: &Value, names: &[&str]) -> Option<String> {
    total(member(account, names)?).map(|number| number.to_string())
}

fn quota(account: &Value) -> Option<String> {
    let amount = |value: &Value| value.as_f64().map(|amount| format!("{amount:.0}"));
    let quota = member(account, &["quota"]);
    let left = quota.and_then(|quota| quota.get("left")).or_else(|| member(account, &["quota_remaining"]));
    let allowed = quota
        .and_then(|quota| quota.get("allowed"))
        .or_else(|| member(account, &["quota_requests_per_hour"]));
    Some(format!("{} now, {}/h", amount(left?)?, amount(allowed?)?))
}

/// How long ago a time was, in its largest unit.
fn age(time: &Value, now: Timestamp) -> Option<String> {
    let time: Timestamp = time.as_str()?.parse().ok()?;
    let age = now.duration_since(time).max(SignedDuration::ZERO);
    let (seconds, minutes, hours) = (age.as_secs(), age.as_mins(), age.as_hours());
    Some(match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, _) if hours < 48 => format!("{hours} h"),
        (hours, _) => format!("{} d", hours / 24),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(answer: &Value) -> String {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        ReplicaStatus::read(&answer.to_string()).unwrap().table(now)
    }

    #[test]
    fn an_answer_of_today() {
        let account = |name: &str, state: &str, why: &str| {
            json!({"account": name, "state": state, "since": "2026-11-26T11:57:10Z", "why": why, "in_flight": 3,
                "delivered": 12_345, "skipped": 2, "dead_lettered": 4, "quota_remaining": 880, "quota_requests_per_hour": 900})
        };
        let mut stuck = account("stark", "flowing", "");
        stuck["stuck"] = json!({"seconds": 1000, "events": 4, "why": "no call ends"});
        insta::assert_snapshot!(shown(&json!({
            "version": "0.1.0", "replica": "worker-0", "started": "2026-11-26T09:00:00Z",
            "broker": {"ready": true, "why": "", "since": "2026-11-26T09:00:01Z"},
            "accounts": [account("acme", "flowing", ""), account("globex", "unauthorized", "the key is refused"), stuck],
        })));
    }

    #[test]
    fn an_answer_of_a_fleet() {
        insta::assert_snapshot!(shown(&json!({
            "schema_version": 7, "summary": "1 account flowing; 2 replicas.", "replicas": [{"name": "a"}, 5],
            "accounts": [
                {"account": "acme", "replica": "b", "waiting": 1200, "report": {"state": "waiting_for_schema",
                    "since": "2026-11-20T09:00:00Z", "oldest": "2026-11-26T08:00:00Z", "delivered": 9,
                    "dead_lettered": {"rejected": 2, "too_large": 1}, "quota": {"left": 3, "allowed": 9.6}}},
                {"name": "new\u{1b}[2J", "state": null, "since": "never", "waiting": -5},
                7,
            ],
        })));
    }

    #[test]
    fn a_replica_without_its_broker_says_why() {
        let answer = json!({"accounts": [], "broker": {"ready": false, "why": "connection refused"}});
        assert_eq!(shown(&answer), "No accounts; RabbitMQ: connection refused.\n");
    }

    #[test]
    fn what_is_no_replica_s_answer_is_not_shown() {
        for body in ["", "<html>", "[]", "{}", "{\"accounts\": 5}", "null"] {
            assert!(ReplicaStatus::read(body).is_none(), "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_can_be_shown(account in "\\PC{0,20}", state in "\\PC{0,20}", n in proptest::num::i64::ANY, f in proptest::num::f64::ANY) {
            let text = shown(&json!({"broker": n, "accounts": [
                {"account": account, "state": state, "waiting": n, "quota": {"left": f, "allowed": n}, "stuck": f, "report": n}
            ]}));
            proptest::prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}

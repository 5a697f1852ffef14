//! Fuzz tests of the configuration: no panic, every problem names its key, and no error shows a secret.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;

use toml::{Table, Value};

use crate::broker::Address;
use crate::config::*;
use crate::fuzz::{altered, any_text, feed};

/// Part of every secret.
const SECRET: &str = "pw!Zq7x";

const FILES: &[&str] = &[
    r#"
[broker]
url = "amqp://user:pw!Zq7x@broker:5672/%2f"
queue = "segment.events"
prefetch = 400
prefetch_bytes = "64MiB"
max_batch = "16MiB"
unwrap = ["payload", "data"]
replica = "one"
[http]
listen = "127.0.0.1:9464"
[delivery]
request_timeout = "30s"
shutdown_grace = "1h30m"
give_up_after = "3d"
concurrency = 8
[log]
format = "json"
level = "info,freshet=debug"
[[accounts]]
name = "acme"
url = "acme.myfreshworks.com/crm/sales"
api_key = { env = "KEY" }
app_token = { env = "TOKEN" }
plan = "growth"
quota_share = 0.9
tracking_requests_per_minute = 400
bulk_jobs = 6
write_keys = ["wk_a", "wk_b"]
project_ids = ["p"]
events = ["identify", "track", "page"]
unknown_custom_field = "ignore"
coercion = "strict"
[accounts.fields]
"plan.name" = "cf_plan"
"#,
    r#"
[[accounts]]
name = "acme"
url = "http://127.0.0.1:8090"
api_key = { env = "KEY" }
requests_per_hour = 5000
[[accounts]]
name = "globex"
url = "http://sandbox:8090"
insecure_http = true
api_key = { file = "/dev/null" }
company_fields = { employees = "number_of_employees" }
"#,
];

const PIECES: &[&[u8]] = &[
    b"\n",
    b"\n[",
    b"[[",
    b"]]",
    b"=",
    b"\"",
    b"\"\"\"",
    b"'",
    b"#",
    b".",
    b",",
    b"{",
    b"}",
    b"\\u0000",
    b"\xff",
    b"\0",
    b"-1",
    b"0x7f",
    b"1e400",
    b"nan",
    b"-inf",
    b"9223372036854775808",
    b"true",
    b"2026-03-01T12:00:00Z",
    b"0s",
    b"9999999999h",
    b"\n[accounts]\n",
    b"\n[[accounts]]\n",
    b"\nname = \"acme\"\n",
    b"\napi_key = \"pw!Zq7x\"\n",
    b"amqps://",
    b"%",
    b"@",
    b":",
];

const KEYS: &[&str] = &[
    "broker",
    "http",
    "delivery",
    "log",
    "accounts",
    "url",
    "queue",
    "prefetch",
    "prefetch_bytes",
    "max_batch",
    "unwrap",
    "replica",
    "listen",
    "request_timeout",
    "shutdown_grace",
    "concurrency",
    "format",
    "level",
    "name",
    "api_key",
    "app_token",
    "plan",
    "requests_per_hour",
    "quota_share",
    "tracking_requests_per_minute",
    "bulk_jobs",
    "links",
    "write_keys",
    "project_ids",
    "events",
    "insecure_http",
    "fields",
    "company_fields",
    "deal_fields",
    "defaults",
    "company_defaults",
    "deal_defaults",
    "unknown_custom_field",
    "coercion",
    "env",
    "file",
    "brokers",
];

fn environment(name: &str) -> Option<String> {
    match name {
        "KEY" | "TOKEN" => Some(format!("key-{SECRET}")),
        "BLANK" => Some(format!("{SECRET} {SECRET}")),
        _ => None,
    }
}

/// Whether the changes moved a secret to a place where an error may show it: into any value but the broker's address and
/// the keys, or into the name of a trait.
fn misplaced(text: &str) -> bool {
    fn holds(place: &str, value: &Value) -> bool {
        if let Value::Table(table) = value {
            table.iter().any(|(key, value)| {
                let named = place.ends_with("fields") && key.contains(SECRET);
                named || holds(&format!("{place}.{key}"), value)
            })
        } else if let Value::Array(items) = value {
            items.iter().any(|item| holds(place, item))
        } else {
            let secret = place == ".broker.url"
                || place.ends_with(".api_key")
                || place.ends_with(".app_token")
                || place.rsplit('.').next() == Some("env");
            !secret && value.as_str().is_some_and(|text| text.contains(SECRET))
        }
    }
    text.parse::<Table>().is_ok_and(|root| holds("", &Value::Table(root)))
}

fn shows_no_secret(text: &str, environment: Environment<'_>) -> Result<(), TestCaseError> {
    match parse(text, Path::new("freshet.toml"), environment, SecretsNeeded::All) {
        Ok(config) => {
            prop_assert!(!config.accounts.is_empty());
            let keys = config.accounts.iter().map(|account| account.access.read_secrets(environment));
            let broker = (&config.broker.url, config.broker.addresses(environment));
            let shown = format!("{broker:?} {:?}", keys.collect::<Vec<_>>());
            prop_assert!(!shown.contains(SECRET), "{shown}");
        }
        Err(error) => {
            prop_assert!(!error.to_string().contains(SECRET) || misplaced(text), "{error}\n{text}");
            if let ConfigError::Invalid { problems, .. } = &error {
                prop_assert!(!problems.is_empty());
                prop_assert!(!error.coloured().contains(SECRET) || misplaced(text), "{error}\n{text}");
                for problem in problems {
                    prop_assert!(problem.key.as_deref() != Some("") && !problem.message.is_empty());
                    let Some(place) = &problem.place else { continue };
                    prop_assert!(place.text.get(place.marked.clone()).is_some(), "{problem:?}");
                    let line = text.split('\n').nth(place.line - 1);
                    let columns = line.map(|line| line.chars().count() + 1);
                    prop_assert!(columns.is_some_and(|columns| place.column <= columns), "{problem:?}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn an_altered_configuration_is_read_or_its_problems_are_reported() {
    feed("almost a configuration", &altered(FILES, PIECES), |bytes| {
        shows_no_secret(&String::from_utf8_lossy(&bytes), &environment)
    });
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Integer),
        (-5_i64..500).prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Float),
        Just(Value::Float(f64::NAN)),
        any_text().prop_map(Value::String),
        select(KEYS).prop_map(|word| Value::String(word.to_owned())),
        select(&["KEY", "30s", "acme", "identify", "127.0.0.1:1", "growth"][..])
            .prop_map(|word| Value::String(word.to_owned())),
    ];
    leaf.prop_recursive(3, 20, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            any_table(inner).prop_map(Value::Table),
        ]
    })
}

fn any_table(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Table> {
    let key = prop_oneof![9 => select(KEYS).prop_map(str::to_owned), 1 => any_text()];
    prop::collection::vec((key, values), 0..8).prop_map(|entries| entries.into_iter().collect())
}

#[test]
fn any_tables_are_read_or_their_problems_are_reported() {
    let string = |text: String| Value::String(text);
    let key = prop_oneof![
        Just(string(format!("key-{SECRET}"))),
        select(&["env", "file", "KEY"][..]).prop_flat_map(|kind| {
            let name = select(&["KEY", "BLANK", "NONE", "pw!Zq7x", "/dev/null", "/nowhere"][..]);
            name.prop_map(move |name| Value::Table(Table::from_iter([(kind.to_owned(), name.into())])))
        }),
    ];
    let account = (any_table(any_value()), prop::option::of(key)).prop_map(|(mut account, key)| {
        account.extend(key.map(|key| ("api_key".to_owned(), key)));
        Value::Table(account)
    });
    let accounts = prop::collection::vec(account, 0..3).prop_map(Value::Array);
    let sections =
        prop::collection::vec((select(&KEYS[..4]), any_table(any_value()).prop_map(Value::Table)), 0..5);
    let address =
        select(&["amqp://u:pw!Zq7x@b:5672/%2f", "amqp://u:pw!Zq7x@:x", "amqps//u:pw!Zq7x", "pw!Zq7x"][..]);
    let inputs = (any_table(any_value()), sections, prop::option::of(accounts), prop::option::of(address));
    feed("tables", &inputs, |(mut root, sections, accounts, address)| {
        root.extend(sections.into_iter().map(|(name, table)| (name.to_owned(), table)));
        root.extend(accounts.map(|accounts| ("accounts".to_owned(), accounts)));
        if let (Some(Value::Table(broker)), Some(address)) = (root.get_mut("broker"), address) {
            broker.insert("url".to_owned(), address.into());
        }
        let text = toml::to_string(&root).unwrap();
        shows_no_secret(&text, &environment)
    });
}

#[test]
fn any_override_of_the_environment_is_read_or_reported() {
    const NAMES: &[&str] = &[
        "FRESHET_BROKER_URL",
        "FRESHET_BROKER_QUEUE",
        "FRESHET_BROKER_PREFETCH",
        "FRESHET_BROKER_REPLICA",
        "FRESHET_HTTP_LISTEN",
        "FRESHET_DELIVERY_REQUEST_TIMEOUT",
        "FRESHET_DELIVERY_SHUTDOWN_GRACE",
        "FRESHET_DELIVERY_CONCURRENCY",
        "FRESHET_LOG_FORMAT",
        "FRESHET_LOG_LEVEL",
        "KEY",
    ];
    let value = prop_oneof![
        4 => any_text(),
        1 => any::<f64>().prop_map(|number| number.to_string()),
        1 => altered(&["amqp://user:pw!Zq7x@broker:5672/%2f?heartbeat=5", "info,freshet[x]=debug", "1h 5m"], PIECES)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ];
    feed("overrides", &prop::collection::vec((select(NAMES), value), 0..4), |variables| {
        let environment = |name: &str| {
            let set = variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
            set.or_else(|| environment(name))
        };
        shows_no_secret(FILES[1], &environment)
    });
}

#[test]
fn any_text_is_a_duration_above_zero_or_none() {
    let units = select(vec!["s", "ms", "h", "m", "d", " ", "ns", "hours", "."]);
    let written = prop::collection::vec((prop_oneof![0_u64..3, 0_u64..100_000], units), 0..4)
        .prop_map(|parts| parts.iter().map(|(number, unit)| number.to_string() + unit).collect());
    feed("durations", &prop_oneof![2 => written, 1 => any_text()], |text: String| {
        if let Ok(duration) = parse_duration(&text) {
            prop_assert!(!duration.is_zero());
            prop_assert_eq!(parse_duration(&format!(" {text} ")), Ok(duration));
        }
        Ok(())
    });
}

#[test]
fn any_text_is_an_address_of_an_account_or_none() {
    let urls = altered(
        &[
            "https://acme.myfreshworks.com/crm/sales/api/",
            "http://[::1]:8090/",
            "acme",
            "http://localhost",
            "acme.freshsales.io",
        ],
        &[
            b"/",
            b"//",
            b":",
            b"@",
            b"?",
            b"#",
            b"%",
            b"%2f",
            b".",
            b"..",
            b"/api",
            b" ",
            b"\t",
            b"user:pw@",
            b"\xc3\x9f",
            b"xn--",
            b"http://",
        ],
    );
    feed(
        "account addresses",
        &(urls, select(vec![PlainHttp::LoopbackOnly, PlainHttp::Anywhere])),
        |(bytes, plain_http)| {
            let text = String::from_utf8_lossy(&bytes);
            let Ok(address) = BaseUrl::parse(&text, plain_http) else { return Ok(()) };
            let read = url::Url::parse(address.as_str());
            prop_assert!(read.is_ok(), "{address}");
            let read = read.unwrap();
            prop_assert!(
                !address.as_str().ends_with('/') && read.query().is_none() && read.fragment().is_none()
            );
            prop_assert!(read.username().is_empty() && read.password().is_none(), "{address}");
            prop_assert!(read.host_str().is_some_and(|host| !host.is_empty()), "{address}");
            // Reading the result again gives the same scheme and host.
            let again = BaseUrl::parse(address.as_str(), plain_http)
                .map(|again| url::Url::parse(again.as_str()).unwrap());
            prop_assert!(again.is_ok(), "{address}");
            prop_assert_eq!(again.unwrap().origin(), read.origin());
            Ok(())
        },
    );
}

#[test]
fn any_text_is_an_address_of_a_broker_or_none_and_its_password_stays_in_it() {
    let urls = altered(
        &[
            "amqp://user:pw!Zq7x@broker:5672/%2f?heartbeat=20",
            "amqps://user:pw!Zq7x@[::1]/vhost?connection_timeout=5",
        ],
        PIECES,
    );
    feed("broker addresses", &urls, |bytes| {
        let text = String::from_utf8_lossy(&bytes);
        match Address::parse(&text) {
            Ok(address) => {
                prop_assert!(!format!("{address:?}").contains(SECRET), "{text}");
                // The changes may have moved the password to the place of the host.
                let host = url::Url::parse(&text).ok().and_then(|url| url.host_str().map(str::to_owned));
                let torn = host.is_some_and(|host| host.contains(SECRET));
                prop_assert!(torn || !address.shown().contains(SECRET), "{text}");
            }
            Err(error) => prop_assert!(!error.to_string().contains(SECRET)),
        }
        Ok(())
    });
}

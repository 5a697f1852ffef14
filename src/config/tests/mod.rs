mod fuzz;
mod report;

use serde_json::json;

use super::*;
use secrecy::ExposeSecret;
use std::time::Duration;

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    read_for(text, variables, SecretsNeeded::All)
}

fn read_for(text: &str, variables: &[(&str, &str)], secrets: SecretsNeeded) -> Result<Config, ConfigError> {
    parse(text, Path::new("freshet.toml"), &|name| variable(variables, name), secrets)
}

fn variable(variables: &[(&str, &str)], name: &str) -> Option<String> {
    variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    match read(text, variables) {
        Err(ConfigError::Invalid { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("expected problems, got {other:?}"),
    }
}

/// The first node of the broker.
fn node(config: &Config) -> String {
    config.broker.addresses(&|_| None).unwrap().nth(0).shown()
}

const ACME: &str = r#"
[[accounts]]
name = "acme"
url = "acme"
api_key = { env = "KEY" }
"#;

#[test]
fn a_short_file_has_the_documented_defaults() {
    let config = read(ACME, &[("KEY", "secret")]).unwrap();
    assert_eq!(node(&config), "127.0.0.1:5672");
    assert_eq!(config.broker.queue, "segment.events");
    assert_eq!(config.broker.prefetch.get(), 1000);
    assert_eq!(config.broker.prefetch_bytes, 64 << 20);
    assert_eq!(config.broker.max_batch, 16 << 20);
    assert!(config.broker.unwrap.is_empty());
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(config.delivery.request_timeout, Duration::from_secs(30));
    assert_eq!(config.delivery.shutdown_grace, Duration::from_secs(25));
    assert_eq!(config.delivery.concurrency, 8);
    assert_eq!(config.delivery.stuck_after, Duration::from_mins(15));
    assert_eq!(config.delivery.give_up_after, Duration::from_hours(72));
    assert_eq!(config.log.level, "info");
    let account = &config.accounts[0];
    assert!((account.limits.requests_per_hour - 900.0).abs() < 1e-9);
    assert!((account.limits.tracking_requests_per_minute - 400.0).abs() < 1e-9);
    assert_eq!(account.events, crate::segment::EventType::ALL);
}

#[test]
fn every_mistake_shows_at_once_and_names_its_key() {
    let text = r#"
[broker]
prefetch = 0
prefetch_bytes = "64 apples"
quue = "x"
[delivery]
request_timeout = 30
shutdown_grace = "25"
stuck_after = "900ms"
give_up_after = "3"
[log]
format = "xml"
[[accounts]]
name = "Acme"
url = "http://acme.example.com"
api_key = "inline"
plan = "gold"
quota_share = 2
events = ["identify", "screen"]
unknwon_custom_field = "ignore"
[brokre]
"#;
    insta::assert_snapshot!(problems(text, &[]).join("\n"), @r#"
    broker.prefetch: expected a number from 1 to 65535
    broker.prefetch_bytes: expected a size above zero, such as "64MiB", "500kB" or 1048576
    broker.quue: unknown key; did you mean `queue`?
    delivery.request_timeout: expected a duration above zero with its unit, such as "200ms", "30s" or "3d"
    delivery.shutdown_grace: expected a duration above zero with its unit, such as "200ms", "30s" or "3d"
    delivery.stuck_after: expected at least one second
    delivery.give_up_after: expected a duration above zero with its unit, such as "200ms", "30s" or "3d"
    log.format: expected "text" or "json"
    accounts[0].name: expected 1 to 64 of a-z, 0-9, `_` and `-`, starting with a letter or a digit
    accounts[0].url: plain http is for loopback addresses only; use https, or say `insecure_http = true`
    accounts[0].api_key: secrets are never written into the configuration; expected { env = "NAME" } or { file = "/path" }
    accounts[0].plan: expected one of free, growth, pro, enterprise; or say requests_per_hour = N
    accounts[0].quota_share: expected a number from 0.01 to 1
    accounts[0].events[1]: expected identify, track or page
    accounts[0].unknwon_custom_field: unknown key; did you mean `unknown_custom_field`?
    brokre: unknown key; did you mean `broker`?
    "#);
}

#[test]
fn the_environment_overrides_scalars_outside_accounts() {
    let variables = [
        ("KEY", "k"),
        ("FRESHET_BROKER_URL", "amqps://u:p@broker.example.com/prod"),
        ("FRESHET_BROKER_PREFETCH", "7"),
        ("FRESHET_DELIVERY_SHUTDOWN_GRACE", "3s"),
        ("FRESHET_HTTP_LISTEN", "0.0.0.0:1"),
    ];
    let config = read(&format!("[broker]\nprefetch = 9\n{ACME}"), &variables).unwrap();
    assert_eq!(node(&config), "broker.example.com:5671");
    assert_eq!(config.broker.prefetch.get(), 7);
    assert_eq!(config.delivery.shutdown_grace, Duration::from_secs(3));
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:1");
}

#[test]
fn a_size_has_a_unit_or_is_a_number_of_bytes() {
    for (text, bytes) in [
        ("\"64MiB\"", Some(67_108_864)),
        ("\"500kB\"", Some(500_000)),
        ("\" 1.5 KiB \"", Some(1536)),
        ("\"9000\"", Some(9000)),
        ("9000", Some(9000)),
        ("0", None),
        ("-1", None),
        ("\"-1MiB\"", None),
        ("\"\"", None),
        ("\"64 M iB\"", None),
        ("1.5", None),
        ("true", None),
    ] {
        let config = read(&format!("[broker]\nprefetch_bytes = {text}\n{ACME}"), &[("KEY", "k")]);
        assert_eq!(config.ok().map(|config| config.broker.prefetch_bytes), bytes, "{text}");
    }
    let variables = [("KEY", "k"), ("FRESHET_BROKER_PREFETCH_BYTES", "1GiB")];
    assert_eq!(read(ACME, &variables).unwrap().broker.prefetch_bytes, 1 << 30);
}

#[test]
fn a_batch_is_never_smaller_than_an_event_nor_larger_than_a_message() {
    for (text, bytes) in [
        ("\"1MiB\"", Some(1 << 20)),
        ("\"512MiB\"", Some(512 << 20)),
        ("1048575", None),
        ("\"513MiB\"", None),
        ("\"large\"", None),
    ] {
        let config = read(&format!("[broker]\nmax_batch = {text}\n{ACME}"), &[("KEY", "k")]);
        assert_eq!(config.ok().map(|config| config.broker.max_batch), bytes, "{text}");
    }
}

#[test]
fn the_keys_that_hold_events_are_a_list() {
    let unwrap = |text: &str, variable: Option<&str>| {
        let mut variables = vec![("KEY", "k")];
        variables.extend(variable.map(|keys| ("FRESHET_BROKER_UNWRAP", keys)));
        read(&format!("[broker]\n{text}\n{ACME}"), &variables).map(|config| config.broker.unwrap)
    };
    assert_eq!(unwrap("unwrap = []", None).unwrap(), [""; 0]);
    assert_eq!(unwrap("unwrap = [\"payload\", \"data\"]", None).unwrap(), ["payload", "data"]);
    assert_eq!(unwrap("unwrap = []", Some("detail, message")).unwrap(), ["detail", "message"]);
    assert_eq!(unwrap("unwrap = [\"x\"]", Some("")).unwrap(), [""; 0]);
    let text = format!("[broker]\nunwrap = [\"payload\", \"type\", \"\"]\n{ACME}");
    insta::assert_snapshot!(problems(&text, &[("KEY", "k")]).join("\n"), @r#"
    broker.unwrap[1]: expected a key's name such as payload, without brackets or quotes, and none of `type`, `batch`, `specversion`
    broker.unwrap[2]: expected a key's name such as payload, without brackets or quotes, and none of `type`, `batch`, `specversion`
    "#);
    for variable in ["[\"payload\"]", "payload,\"data\""] {
        assert!(unwrap("unwrap = []", Some(variable)).is_err(), "{variable}");
    }
    let text = format!("[broker]\nunwrap = 5\n{ACME}");
    insta::assert_snapshot!(problems(&text, &[("KEY", "k")]).join("\n"), @r#"broker.unwrap: expected a list of strings, such as ["a", "b"]"#);
}

#[test]
fn a_broker_of_several_nodes_has_several_addresses() {
    let shown = |config: &Config| {
        let url = config.broker.addresses(&|_| None).unwrap();
        (0..url.count()).map(|turn| url.nth(turn).shown()).collect::<Vec<_>>()
    };
    let list = format!("[broker]\nurl = [\"amqp://a\", \"amqp://b:1\"]\n{ACME}");
    assert_eq!(shown(&read(&list, &[("KEY", "k")]).unwrap()), ["a:5672", "b:1"]);
    let variable = ("FRESHET_BROKER_URL", "amqp://u:p@c,amqps://u:p@d");
    assert_eq!(shown(&read(&list, &[("KEY", "k"), variable]).unwrap()), ["c:5672", "d:5671"]);

    let expected =
        "expected an AMQP address, such as \"amqp://user:password@host:5672/%2f\" (%2f is the vhost `/`)";
    for (url, problem) in [
        ("[\"amqp://a\", \"http://s3cret\"]", format!("broker.url[1]: {expected}")),
        ("\"http://s3cret\"", format!("broker.url: {expected}")),
        ("[]", "broker.url: expected a string, or a list of strings".to_owned()),
        ("[7]", "broker.url: expected a string, or a list of strings".to_owned()),
    ] {
        let text = format!("[broker]\nurl = {url}\n{ACME}");
        assert_eq!(problems(&text, &[("KEY", "k")]), [problem], "{url}");
    }
}

#[test]
fn secrets_come_from_the_environment_or_a_file_and_are_never_printed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from-a-file\n").unwrap();
    let text = format!("{ACME}app_token = {{ file = {:?} }}\n", file.path());
    let variables = [("KEY", "from-the-environment")];
    let config = read(&text, &variables).unwrap();
    let account = &config.accounts[0];
    let environment = |name: &str| variable(&variables, name);
    let secrets = account.access.read_secrets(&environment).unwrap();
    assert_eq!(secrets.api_key.expose_secret(), "from-the-environment");
    assert_eq!(secrets.app_token.as_ref().unwrap().expose_secret(), "from-a-file");
    let printed = format!("{config:?} {secrets:?}");
    assert!(!printed.contains("from-a-file") && !printed.contains("from-the-environment"));

    assert_eq!(
        problems(ACME, &[]),
        ["accounts[0].api_key: the environment variable KEY is not set; export it, or use { file = ... }"]
    );
    assert_eq!(problems(ACME, &[("KEY", " ")]), ["accounts[0].api_key: the secret is empty"]);
    assert_eq!(
        problems(ACME, &[("KEY", "two words")]),
        ["accounts[0].api_key: the secret holds blanks or characters that no key has"]
    );

    // They are read when they are used, and may have changed by then.
    std::fs::write(file.path(), "rotated\n").unwrap();
    assert_eq!(
        account.access.read_secrets(&environment).unwrap().app_token.unwrap().expose_secret(),
        "rotated"
    );
    drop(file);
    let error = account.access.read_secrets(&environment).unwrap_err().to_string();
    assert!(error.starts_with("app_token: cannot read "), "{error}");
}

/// Secrets that are nowhere, in each place that may name one.
const NOWHERE: &str = r#"
[broker]
url = { env = "BROKER" }
ca_file = "/nowhere/ca.pem"
client_certificate = "/nowhere/client.pem"
client_key = { file = "/nowhere/client.key" }
[http]
admin_token = { env = "ADMIN" }
[[accounts]]
name = "acme"
url = "acme"
api_key = { env = "KEY" }
app_token = { file = "/nowhere/token" }
"#;

#[test]
fn a_command_asks_for_the_secrets_that_it_uses_and_no_others() {
    let of_broker = [
        "broker.url: the environment variable BROKER is not set; export it, or use { file = ... }",
        "broker.ca_file: cannot read /nowhere/ca.pem: No such file or directory (os error 2)",
        "broker.client_certificate: cannot read /nowhere/client.pem: No such file or directory (os error 2)",
        "broker.client_key: cannot read /nowhere/client.key: No such file or directory (os error 2)",
    ];
    let of_others = [
        "http.admin_token: the environment variable ADMIN is not set; export it, or use { file = ... }",
        "accounts[0].api_key: the environment variable KEY is not set; export it, or use { file = ... }",
        "accounts[0].app_token: cannot read /nowhere/token: No such file or directory (os error 2)",
    ];
    for (needed, expected) in [
        (SecretsNeeded::None, Vec::new()),
        (SecretsNeeded::Broker, of_broker.to_vec()),
        (SecretsNeeded::All, [&of_broker[..], &of_others].concat()),
    ] {
        let found = match read_for(NOWHERE, &[], needed) {
            Ok(_) => Vec::new(),
            Err(ConfigError::Invalid { problems, .. }) => problems,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{needed:?}");
    }
    // What is wrong in the file itself is a mistake for every command.
    let inline = ACME.replace("{ env = \"KEY\" }", "\"s3cret\"");
    assert!(read_for(&inline, &[], SecretsNeeded::None).is_err());
}

#[test]
fn the_broker_s_address_may_be_a_secret() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "amqps://u:s3cret@a/%2f, amqp://u:s3cret@b\n").unwrap();
    let text = format!("[broker]\nurl = {{ file = {:?} }}\n{ACME}", file.path());
    let config = read(&text, &[("KEY", "k")]).unwrap();
    let addresses = config.broker.addresses(&|_| None).unwrap();
    assert_eq!([addresses.nth(0).shown(), addresses.nth(1).shown()], ["a:5671", "b:5672"]);
    assert!(!format!("{config:?} {addresses:?}").contains("s3cret"));

    std::fs::write(file.path(), "http://u:s3cret@a").unwrap();
    let found = problems(&text, &[("KEY", "k")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("broker.url: expected an AMQP address"), "{found:?}");
    // A variable holds the address itself, and wins.
    let variables = [("KEY", "k"), ("FRESHET_BROKER_URL", "amqp://c")];
    assert_eq!(node(&read(&text, &variables).unwrap()), "c:5672");
}

#[test]
fn a_client_s_certificate_and_its_key_come_together() {
    let client = |lines: &str| {
        let text = format!("[broker]\n{lines}\n{ACME}");
        read_for(&text, &[], SecretsNeeded::None).map(|config| config.broker.client)
    };
    let (certificate, key) = ("client_certificate = \"c.pem\"", "client_key = { file = \"c.key\" }");
    assert_eq!(client("").unwrap(), None);
    let identity = ClientIdentity { certificate: "c.pem".into(), key: SecretSource::File("c.key".into()) };
    assert_eq!(client(&format!("{certificate}\n{key}")).unwrap(), Some(identity));
    for (lines, expected) in [
        (certificate, "broker.client_key: missing; `client_certificate` is used with its key"),
        (key, "broker.client_certificate: missing; `client_key` is used with its certificate"),
    ] {
        assert!(client(lines).unwrap_err().to_string().contains(expected));
    }
}

#[test]
fn the_admin_token_is_long_and_may_be_a_variable() {
    let text =
        format!("[http]\nadmin_token = {{ env = \"ADMIN\" }}\nhosts = [\"freshet.example.com\"]\n{ACME}");
    let long = "x".repeat(32);
    let config = read(&text, &[("KEY", "k"), ("ADMIN", &long)]).unwrap();
    assert_eq!(config.http.hosts, ["freshet.example.com"]);
    let token = config.http.read_admin_token(&|_| Some(long.clone())).unwrap().unwrap();
    assert_eq!(token.expose_secret(), long);
    let found = problems(&text, &[("KEY", "k"), ("ADMIN", &long[1..])]);
    assert_eq!(
        found,
        ["http.admin_token: the token has fewer than 32 characters and might be guessed; make one with \
             `openssl rand -hex 32`"]
    );
    let config = read(ACME, &[("KEY", "k"), ("FRESHET_HTTP_ADMIN_TOKEN", &long)]).unwrap();
    assert_eq!(config.http.admin_token, Some(SecretSource::Env("FRESHET_HTTP_ADMIN_TOKEN".to_owned())));
    let wrong = problems(&format!("[http]\nhosts = [\"http://x/\"]\n{ACME}"), &[("KEY", "k")]);
    assert!(wrong[0].starts_with("http.hosts[0]: expected a host's name"), "{wrong:?}");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let pasted = ACME.replace("env = \"KEY\"", "env = \"s3cretKey\"");
    assert_eq!(
        problems(&pasted, &[]),
        [
            "accounts[0].api_key: the environment variable is not set; `env` takes its name, such as ACME_API_KEY, \
             and not the secret"
        ]
    );
    let text = format!("\"amqp://user:secret@host\" = 1\n[broker]\n\"\" = 2\n{ACME}");
    let found = problems(&text, &[("KEY", "k")]).join("\n");
    assert!(found.contains("broker.(a key in quotes, of length 0): unknown key"), "{found}");
    assert!(found.contains("(a key in quotes, of length 23): unknown key"), "{found}");
}

#[test]
fn a_name_or_a_key_belongs_to_one_account() {
    let one = format!("{ACME}write_keys = [\"wk\"]\n");
    let found = problems(&format!("{one}{one}"), &[("KEY", "k")]);
    assert_eq!(
        found,
        [
            "accounts[1].name: this name belongs to account `acme` already",
            "accounts[1].write_keys[0]: \"wk\" belongs to account `acme` already"
        ]
    );
}

#[test]
fn a_key_that_is_empty_is_a_mistake() {
    for (key, list) in [("write_keys", "[\"wk\", \"\"]"), ("project_ids", "[\" \"]"), ("events", "[\"\"]")] {
        let found = problems(&format!("{ACME}{key} = {list}\n"), &[("KEY", "k")]);
        let expected = "expected a list of strings that are not empty, such as [\"a\", \"b\"]";
        assert_eq!(found, [format!("accounts[0].{key}: {expected}")]);
    }
}

#[test]
fn a_name_that_repeats_is_told_in_the_same_round_as_other_mistakes() {
    let wrong = "[[accounts]]\nname = \"acme\"\nwrite_keys = [\"wk\"]\nplan = \"gold\"\n";
    let nameless = "[[accounts]]\nwrite_keys = [\"wk\"]\n";
    let found = problems(&format!("{wrong}{nameless}{wrong}"), &[]);
    for expected in [
        "accounts[0].url: missing; every account needs it",
        "accounts[2].name: this name belongs to account `acme` already",
        "accounts[1].write_keys[0]: \"wk\" belongs to account `acme` already",
        "accounts[2].write_keys[0]: \"wk\" belongs to account `acme` already",
        "accounts[2].write_keys[0]: \"wk\" belongs to accounts[1] already",
    ] {
        assert!(found.iter().any(|problem| problem == expected), "{expected}: {found:#?}");
    }
    assert!(found.iter().all(|problem| !problem.starts_with("accounts[1].name: this name")), "{found:#?}");
}

#[test]
fn missing_keys_are_reported() {
    assert_eq!(
        problems("", &[]),
        ["accounts: expected at least one `[[accounts]]` with name, url and api_key"]
    );
    assert_eq!(
        problems("[[accounts]]\n", &[]),
        [
            "accounts[0].name: missing; every account needs it",
            "accounts[0].url: missing; every account needs it",
            "accounts[0].api_key: missing; every account needs it"
        ]
    );
}

#[test]
fn overrides_of_fields_may_have_dots_in_quotes() {
    let text = format!("{ACME}[accounts.fields]\n\"plan.name\" = \"cf_plan\"\n");
    let config = read(&text, &[("KEY", "k")]).unwrap();
    assert_eq!(config.accounts[0].mapping.fields.contact["plan.name"], "cf_plan");
    let unquoted = format!("{ACME}[accounts.fields]\nplan.name = \"cf_plan\"\n");
    assert_eq!(
        problems(&unquoted, &[("KEY", "k")]),
        ["accounts[0].fields.plan: expected the field's name as a string (quote names that contain dots)"]
    );
}

#[test]
fn defaults_may_be_any_value_that_a_trait_may_have() {
    let text = format!(
        "{ACME}[accounts.defaults]\nlead_source_id = \"Web\"\ncf_score = 7\ntags = [\"a\"]\ncf_born = 2024-02-29\n\
         [accounts.company_defaults]\ncf_rate = 0.5\n[accounts.deal_defaults]\ncf_open = true\n"
    );
    let mapping = &read(&text, &[("KEY", "k")]).unwrap().accounts[0].mapping;
    let expected = json!({"lead_source_id": "Web", "cf_score": 7, "tags": ["a"], "cf_born": "2024-02-29"});
    assert_eq!(json!(mapping.defaults.contact), expected);
    assert_eq!(json!(mapping.defaults.sales_account), json!({"cf_rate": 0.5}));
    assert_eq!(json!(mapping.defaults.deal), json!({"cf_open": true}));
    for wrong in ["cf_a = nan", "cf_a = { b = 1 }", "cf.a = 1", "cf_a = [{}]"] {
        let found = problems(&format!("{ACME}[accounts.defaults]\n{wrong}\n"), &[("KEY", "k")]);
        assert_eq!(found.len(), 1, "{wrong}");
        assert!(found[0].starts_with("accounts[0].defaults.cf"), "{found:?}");
    }
    let flat = problems(&format!("{ACME}defaults = 1\n"), &[("KEY", "k")]);
    assert_eq!(flat, ["accounts[0].defaults: expected a table of \"field\" = value"]);
}

#[test]
fn broken_toml_is_reported_by_line_and_never_shown() {
    let error = read("[broker]\nurl = \"amqp://user:secret@host\n", &[]).unwrap_err().to_string();
    assert!(error.contains("not valid TOML") && error.contains("freshet.toml:2:"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_value_of_the_wrong_type_says_what_is_missing() {
    let text = "[broker]\nqueue = 7\n[delivery]\ngive_up_after = 3\nconcurrency = true\n\
                [[accounts]]\nname = \"acme\"\nurl = \"acme\"\napi_key = { env = \"KEY\" }\nbulk_jobs = \"6\"\n\
                invalid_value = true\nanonymous_identify = \"skip\"\nnull_traits = \"send\"\n\
                links = \"carefully\"";
    insta::assert_snapshot!(problems(text, &[("KEY", "k")]).join("\n"), @r#"
    broker.queue: expected a string, found integer
    delivery.give_up_after: expected a duration above zero with its unit, such as "200ms", "30s" or "3d"
    delivery.concurrency: expected a number from 1 to 256, found boolean
    accounts[0].bulk_jobs: expected a number from 1 to 10, found string
    accounts[0].invalid_value: expected "dead_letter" or "omit"
    accounts[0].anonymous_identify: expected "dead_letter" or "by_email"
    accounts[0].null_traits: expected "ignore" or "clear"
    accounts[0].links: expected "bulk" or "careful"
    "#);
}

#[test]
fn a_duration_may_have_days() {
    for (text, expected) in [
        ("3d", Some(72 * 3600)),
        ("1d12h", Some(36 * 3600)),
        ("0d5s", Some(5)),
        ("1m30s", Some(90)),
        ("0d", None),
        ("d", None),
        ("3", None),
        ("-1d", None),
        ("1d-5s", None),
        ("99999999999d", None),
    ] {
        assert_eq!(parse_duration(text).ok(), expected.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn a_lane_may_not_count_as_stuck_while_it_waits_for_one_answer_or_one_job() {
    let parsed = |lines: &str| read(&format!("[delivery]\n{lines}\n{ACME}"), &[("KEY", "secret")]);
    for lines in [
        "stuck_after = \"10m\"",
        "request_timeout = \"15m\"",
        "stuck_after = \"20m\"\nrequest_timeout = \"1h\"",
    ] {
        let error = parsed(lines).unwrap_err().to_string();
        let expected = "delivery.stuck_after: expected more than a bulk job may take (10m), and more than request_timeout";
        assert!(error.contains(expected), "{error}");
    }
    assert!(parsed("stuck_after = \"601s\"").is_ok());
    assert!(parsed("stuck_after = \"61m\"\nrequest_timeout = \"1h\"").is_ok());
}

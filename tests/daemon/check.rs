//! `freshet check` against a real broker and sandboxes: what it finds, and that it leaves nothing behind.

use std::time::Duration;

use freshet::sandbox::Options;
use lapin::options::QueueDeclareOptions;
use lapin::types::AMQPValue;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{Broker, TlsFront, Vhost, freshet, put, soon, table, text};
use crate::world::World;

/// Nobody listens there.
const CLOSED: &str = "127.0.0.1:1";

/// What a check ended with.
struct Checked {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Checked {
    /// The findings of `--json`.
    fn findings(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Those of one check, as status and message.
    fn of(&self, subject: &str, check: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = self.findings().into_iter();
        all.filter(|one| one["subject"] == subject && one["check"] == check)
            .map(|one| (text(&one["status"]), text(&one["message"])))
            .collect()
    }

    /// That one check ended once, like this, with a message that has this part.
    fn has(&self, subject: &str, check: &str, status: &str, part: &str) {
        let found = self.of(subject, check);
        let fits = found.iter().any(|(found, message)| found == status && message.contains(part));
        assert!(
            fits,
            "{subject} {check}: expected {status} with {part:?}, found {found:?}\n{}{}",
            self.out, self.err
        );
    }
}

/// Runs a check with this configuration beside the test, which serves the sandboxes meanwhile.
async fn check_with(config: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Checked {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("freshet.toml"), config).unwrap();
    let own = |text: &&str| (*text).to_owned();
    let arguments: Vec<String> = ["check"].iter().chain(arguments).map(own).collect();
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| (own(name), own(value))).collect();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        freshet(&arguments, folder.path(), &environment, b"")
    });
    let output = running.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let checked =
        Checked { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    for secret in ["secret-key-0815", "wrong-password"] {
        assert!(!checked.out.contains(secret) && !checked.err.contains(secret), "{}", checked.out);
    }
    checked
}

async fn check(world: &World, arguments: &[&str]) -> Checked {
    check_with(&world.config_at(world.vhost.url(), "one"), arguments, &World::environment()).await
}

async fn json_of(world: &World) -> Checked {
    check(world, &["--json"]).await
}

/// Everything in a virtual host of the shared broker, without what stands in the queues.
async fn objects(vhost: &Vhost) -> String {
    let broker = Broker::shared().await;
    let list = async |what: &str, columns: &[&str]| {
        let mut arguments = vec![what, "-p", &vhost.name, "--no-table-headers"];
        arguments.extend(columns);
        let mut lines: Vec<String> = broker.control(&arguments).await.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    [
        list("list_queues", &["name", "type", "arguments"]).await,
        list("list_exchanges", &["name", "type", "arguments"]).await,
        list("list_bindings", &["source_name", "destination_name", "routing_key"]).await,
    ]
    .join("\n--\n")
}

/// The address of the virtual host for a user that may do only this.
async fn user(vhost: &Vhost, name: &str, [configure, write, read]: [&str; 3]) -> String {
    let broker = Broker::shared().await;
    let user = format!("{name}-{}", vhost.name);
    broker.control(&["add_user", &user, "wrong-password"]).await;
    broker.control(&["set_permissions", "-p", &vhost.name, &user, configure, write, read]).await;
    vhost.url().replace("guest:guest", &format!("{user}:wrong-password"))
}

/// Without what differs from run to run.
fn redacted(text: &str, world: &World) -> String {
    let broker = world.vhost.addr();
    let mut text = text.replace(&broker, "broker:5672");
    for account in &world.accounts {
        text = text.replace(&account.address.to_string(), &format!("{}:80", account.name));
    }
    // Which broker the tests have found.
    let mut lines: Vec<String> = Vec::new();
    let mut of_version = false;
    for line in text.lines() {
        let starts = line.contains(" version ") || line.contains("\"version\"");
        let goes_on = of_version && line.starts_with("        ");
        of_version = starts || goes_on || line.contains("logged in, RabbitMQ ");
        match line.split_once("logged in, RabbitMQ ") {
            Some((before, after)) => {
                let rest = after.split_once('"').map_or("", |(_, rest)| rest);
                lines.push(format!("{before}logged in, RabbitMQ …{rest}"));
            }
            // A cluster's long name goes on in the next line.
            None if !of_version => lines.push(line.to_owned()),
            None => {}
        }
    }
    lines.join("\n")
}

#[tokio::test]
async fn before_the_first_start_it_says_what_will_be_declared_and_leaves_nothing_behind() {
    let world = World::of_two().await;
    let before = objects(&world.vhost).await;
    let checked = json_of(&world).await;
    assert_eq!(objects(&world.vhost).await, before);
    assert_eq!(checked.status, Some(0), "{}{}", checked.out, checked.err);
    for (name, part) in [
        ("connection", "logged in, RabbitMQ"),
        ("takes_messages", "no alarm"),
        ("permissions", "configure, write and read"),
        ("exchanges", "events.lanes, events.dead, events.status: declared at the first start"),
        ("intake", "events: declared at the first start"),
        ("lanes", "2 lanes: declared at the first start"),
        ("dead_letters", "declared at the first start"),
        ("queue_arguments", "no queue is there yet"),
        ("replica_name", "`one` is free"),
    ] {
        checked.has("broker", name, "ok", part);
    }
    checked.has("broker", "policies", "skipped", "AMQP does not show policies");
    for account in ["account:acme", "account:globex"] {
        for name in [
            "connection",
            "api_key",
            "quota",
            "contacts",
            "sales_accounts",
            "deals",
            "lookups",
            "jobs",
            "searches",
        ] {
            let found = checked.of(account, name);
            assert!(matches!(found.as_slice(), [(status, _)] if status == "ok"), "{name}: {found:?}");
        }
        checked.has(account, "app_token", "skipped", "cannot be tried");
        checked.has(account, "writing", "skipped", "no attempt");
    }
    assert!(checked.err.contains("18 in all"), "{}", checked.err);
    assert_eq!(world.state("acme")["total_requests"], 9, "as announced");
    assert_eq!(world.state("acme")["contacts"], json!([]));
}

#[tokio::test]
async fn people_read_a_table_and_programs_an_object_a_line() {
    let world = World::of_two().await;
    let config = world.config_at(world.vhost.url(), "one");
    let plain = check_with(&config, &[], &World::environment()).await;
    assert_eq!(plain.status, Some(0));
    insta::assert_snapshot!("text", redacted(&plain.out, &world));
    let json = check_with(&config, &["--json", "--account", "acme"], &World::environment()).await;
    insta::assert_snapshot!("json", redacted(&json.out, &world));
    for finding in json.findings() {
        let keys: Vec<&String> = finding.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["subject", "check", "status", "message", "remedy"]);
        assert_eq!(finding["remedy"].is_null(), finding["status"] == "ok", "{finding}");
        assert!(finding["subject"] != "account:globex");
    }
    let offline = check_with(&config, &["--offline"], &[]).await;
    assert_eq!(offline.status, Some(0), "no secret is needed: {}{}", offline.out, offline.err);
    insta::assert_snapshot!("offline", redacted(&offline.out, &world));
}

#[tokio::test]
async fn a_running_replica_is_not_disturbed_and_its_queues_are_as_they_should_be() {
    let world = World::of_two().await;
    let replica = world.start("one").await;
    world.subscribed(1).await;
    let before = objects(&world.vhost).await;
    let checked = json_of(&world).await;
    assert_eq!(checked.status, Some(0), "{}{}", checked.out, checked.err);
    assert_eq!(objects(&world.vhost).await, before);
    for (name, status, part) in [
        ("takes_messages", "ok", "a message was confirmed"),
        ("permissions", "ok", "configure, write and read"),
        ("exchanges", "ok", "are there"),
        ("intake", "ok", "0 messages wait, it is consumed"),
        ("lanes", "ok", "2 lanes there, 0 events wait"),
        ("dead_letters", "ok", "none"),
        ("queue_arguments", "ok", "as Freshet declares them: 4 queues"),
        ("replica_name", "warning", "goes by the name `one`"),
    ] {
        checked.has("broker", name, status, part);
    }
    let denied = check(&world, &["--json", "--deny-warnings"]).await;
    assert_eq!(denied.status, Some(1), "a warning is denied");
    world.subscribed(1).await;
    assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0);
    world.finish([replica]).await;
}

#[tokio::test]
async fn permissions_that_are_missing_are_named_whether_the_objects_are_there_or_not() {
    let world = World::with_acme().await;
    for declared in [false, true] {
        if declared {
            world.retire(world.start("early").await).await;
        }
        let before = objects(&world.vhost).await;
        for (name, rights, expected) in [
            (
                "none",
                ["^$", "^$", "^$"],
                &["configure events.lanes, events.dead, events", "write", "read"][..],
            ),
            ("no-configure", ["^$", ".*", ".*"], &["configure events.lanes"]),
            ("no-write", [".*", "^$", ".*"], &["write events.lanes, events.dead"]),
            ("no-read", [".*", ".*", "^$"], &["read events"]),
            ("no-lane", [".*", ".*", "^events(\\.(lanes|dead|probe))?$"], &["read events.lane.acme"]),
            ("no-dead", [".*", "^events(\\.(lanes|probe|lane.acme))?$", ".*"], &["write events.dead"]),
        ] {
            let name = format!("{name}-{declared}");
            let url = user(&world.vhost, &name, rights).await;
            let config = world.config_at(&url, "one");
            let checked = check_with(&config, &["--json"], &World::environment()).await;
            let mut found: Vec<_> = checked.of("broker", "permissions");
            // What events can be delivered without is a warning.
            found.retain(|(status, _)| status != "warning");
            assert_eq!(checked.status, Some(1), "{name}: {found:?}");
            assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
            for ((status, message), part) in found.iter().zip(expected) {
                let all = status == "failed" && message.contains(&format!("no permission to {part}"));
                assert!(all, "{name}: {found:?}");
            }
        }
        let rights = "^events(\\..+)?$";
        let url = user(&world.vhost, &format!("documented-{declared}"), [rights; 3]).await;
        let checked = check_with(&world.config_at(&url, "one"), &["--json"], &World::environment()).await;
        checked.has("broker", "permissions", "ok", "wherever Freshet needs them");
        assert_eq!(objects(&world.vhost).await, before, "nothing was declared or bound");
    }
    world.finish([]).await;
}

#[tokio::test]
async fn a_login_a_port_and_a_virtual_host_that_are_wrong_are_told_apart() {
    let world = World::with_acme().await;
    let url = world.vhost.url().to_owned();
    let address = world.vhost.addr();
    let sandbox = world.at("acme").address.to_string();
    for (url, part) in [
        (url.replace(&address, CLOSED), "Connection refused"),
        (url.replace("guest:guest", "guest:wrong-password"), "Login was refused"),
        (format!("{url}-is-not-there"), "not found"),
        (url.replace(&address, &sandbox), "answers in HTTP"),
        (url.replace("amqp://", "amqps://"), "does not answer in TLS"),
        (
            url.replace("127.0.0.1", "nowhere.invalid").replace("localhost", "nowhere.invalid"),
            "cannot be resolved",
        ),
    ] {
        let config = world.config_at(&url, "one");
        let checked = check_with(&config, &["--json"], &World::environment()).await;
        assert_eq!(checked.status, Some(1), "{}", checked.out);
        checked.has("broker", "connection", "failed", part);
        checked.has("account:acme", "api_key", "ok", "accepted");
    }
}

#[tokio::test]
async fn one_node_of_two_that_is_away_is_told_and_the_other_one_is_asked() {
    let world = World::with_acme().await;
    let url = world.vhost.url();
    let both = format!("{}\", \"{url}", url.replace(&world.vhost.addr(), CLOSED));
    let config =
        world.config_at(&both, "one").replace(&format!("url = \"{both}\""), &format!("url = [\"{both}\"]"));
    let checked = check_with(&config, &["--json"], &World::environment()).await;
    let statuses: Vec<String> = checked.of("broker", "connection").into_iter().map(|one| one.0).collect();
    assert_eq!(statuses, ["failed", "ok"], "{}", checked.out);
    checked.has("broker", "permissions", "ok", "");
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_given_up_in_time() {
    let mut world = World::with_acme().await;
    world.request_timeout = "300s";
    // The system takes connections, and nobody says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let url = world.vhost.url().replace(&world.vhost.addr(), &address.to_string());
    let config = world.config_at(&url, "one");
    let config = config.replace(&world.at("acme").address.to_string(), &address.to_string());
    // The bound that the command announces.
    let environment = World::environment();
    let checking = check_with(&config, &["--json"], &environment);
    let checked = tokio::time::timeout(Duration::from_mins(1), checking).await;
    let checked = checked.expect("it ends in the time that it announces");
    assert_eq!(checked.status, Some(1));
    checked.has("broker", "connection", "failed", "within 15 s");
    checked.has("account:acme", "connection", "failed", "no answer");
}

#[tokio::test]
async fn queues_of_another_kind_are_told_with_what_follows() {
    let world = World::of_two().await;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let channel = world.amqp.channel().await;
    let stream = table(&[("x-queue-type", text("stream"))]);
    channel.queue_declare(world.queue().as_str().into(), durable, stream).await.unwrap();
    let expiring = [("x-message-ttl", AMQPValue::LongLongInt(60_000))];
    world.amqp.declare_quorum(&world.lane("acme"), &expiring).await;
    world.amqp.declare_classic(&world.lane("globex")).await;
    let before = objects(&world.vhost).await;
    let checked = json_of(&world).await;
    assert_eq!(checked.status, Some(1), "{}", checked.out);
    checked.has("broker", "intake", "failed", "is a stream");
    checked.has("broker", "queue_arguments", "warning", "events.lane.acme: x-message-ttl");
    checked.has("broker", "queue_arguments", "warning", "events.lane.globex: a classic queue");
    checked.has("broker", "queue_arguments", "warning", "keep neither order nor quota");
    assert_eq!(objects(&world.vhost).await, before);
}

#[tokio::test]
async fn an_exchange_of_another_kind_and_a_queue_of_another_connection_are_failures() {
    let world = World::with_acme().await;
    let channel = world.amqp.channel().await;
    let options = lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
    let kind = lapin::ExchangeKind::Fanout;
    channel.exchange_declare(world.lanes().as_str().into(), kind, options, table(&[])).await.unwrap();
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(world.queue().as_str().into(), exclusive, table(&[])).await.unwrap();
    let checked = json_of(&world).await;
    assert_eq!(checked.status, Some(1));
    checked.has("broker", "exchanges", "failed", "events.lanes is of another kind");
    checked.has("broker", "intake", "failed", "exclusive to another connection");
}

#[tokio::test]
async fn names_that_others_took_are_told_and_left_to_them() {
    let world = World::with_acme().await;
    let channel = world.amqp.channel().await;
    let status = format!("{}.status", world.queue());
    let kind = lapin::ExchangeKind::Direct;
    channel
        .exchange_declare(
            status.as_str().into(),
            kind,
            lapin::options::ExchangeDeclareOptions::default(),
            table(&[]),
        )
        .await
        .unwrap();
    for name in ["counter", "dead.claim"] {
        world.amqp.declare_classic(&format!("{}.{name}", world.queue())).await;
    }
    let before = objects(&world.vhost).await;
    let checked = json_of(&world).await;
    assert_eq!(checked.status, Some(0), "{}", checked.out);
    checked.has("broker", "exchanges", "warning", "events.status is of another kind");
    checked.has("broker", "reserved_names", "warning", "events.counter is an ordinary queue");
    checked.has("broker", "reserved_names", "warning", "no letters can be replayed or dropped");
    assert_eq!(objects(&world.vhost).await, before);
}

#[tokio::test]
async fn a_right_that_only_pages_and_people_need_is_a_warning() {
    let world = World::with_acme().await;
    let configure = r"^events(\.(lanes|lane\..*|dead|probe|replica\..*))?$";
    let url = user(&world.vhost, "essential", [configure, ".*", ".*"]).await;
    let checked = check_with(&world.config_at(&url, "one"), &["--json"], &World::environment()).await;
    assert_eq!(checked.status, Some(0), "{}", checked.out);
    for object in ["events.status", "events.counter", "events.dead.claim"] {
        checked.has("broker", "permissions", "warning", &format!("no permission to configure {object}"));
    }
}

#[tokio::test]
async fn what_waits_and_letters_that_are_dead_are_counted() {
    let world = World::with_acme().await;
    world.retire(world.start("early").await).await;
    for _ in 0..3 {
        world.amqp.publish(&world.lane("acme"), "{}", &[]).await;
        world.amqp.publish(&world.dead(), "{}", &[]).await;
    }
    world.amqp.publish(&world.queue(), "{}", &[]).await;
    let checked = soon("the broker has counted them", async || {
        let checked = json_of(&world).await;
        let counted =
            checked.of("broker", "lanes").iter().any(|(_, message)| message.contains("3 events wait"));
        if counted { Ok(checked) } else { Err(checked.out) }
    })
    .await;
    checked.has("broker", "intake", "ok", "1 message waits, nobody consumes it");
    checked.has("broker", "dead_letters", "warning", "3 letters wait");
    for queue in [world.queue(), world.lane("acme"), world.dead()] {
        for letter in world.amqp.drain(&queue).await {
            assert!(!letter.redelivered, "nothing was taken out to look at it: {queue}");
        }
    }
}

#[tokio::test]
async fn an_alarm_is_a_failure_before_and_after_the_first_start() {
    let broker = Broker::private().await;
    let world = World::on(broker.vhost().await).await.account("acme", "").await;
    for declared in [false, true] {
        if declared {
            world.retire(world.start("early").await).await;
        }
        broker.control(&["eval", "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})."]).await;
        let checked = json_of(&world).await;
        assert_eq!(checked.status, Some(1), "{declared}: {}", checked.out);
        checked.has("broker", "takes_messages", "failed", "low on memory");
        checked.has("broker", "permissions", "ok", "");
        broker.control(&["eval", "rabbit_alarm:clear_alarm({resource_limit, memory, node()})."]).await;
    }
}

#[tokio::test]
async fn tls_shows_who_signed_the_certificate_and_when_it_ends() {
    let world = World::with_acme().await;
    let broker = TlsFront::to(&world.vhost.addr()).await;
    let account = TlsFront::to(&world.at("acme").address.to_string()).await;
    let url = world.vhost.url().replace("amqp://", "amqps://");
    let url = url.replace(&world.vhost.addr(), &format!("localhost:{}", broker.port));
    let config = world.config_at(&url, "one");
    let own = format!("http://{}", world.at("acme").address);
    let config = config.replace(&own, &format!("https://localhost:{}", account.port));
    let checked = check_with(&config, &["--json"], &World::environment()).await;
    assert_eq!(checked.status, Some(1));
    checked.has("broker", "connection", "failed", "certificate");
    checked.has("account:acme", "connection", "failed", "no TLS: invalid peer certificate");

    // Each has an authority of its own, and one file names both.
    let read = |front: &TlsFront| std::fs::read_to_string(front.authority()).unwrap();
    let folder = TempDir::new().unwrap();
    let authorities = folder.path().join("both.pem");
    std::fs::write(&authorities, read(&broker) + &read(&account)).unwrap();
    let [key] = World::environment();
    let environment = [key, ("SSL_CERT_FILE", authorities.to_str().unwrap())];
    let checked = check_with(&config, &["--json"], &environment).await;
    assert_eq!(checked.status, Some(0), "{}", checked.out);
    checked.has("broker", "connection", "ok", "over TLS");
    checked.has("broker", "certificate", "ok", "days left");
    checked.has("account:acme", "connection", "ok", "over TLS");
    checked.has("account:acme", "certificate", "ok", "issued by");
}

/// A world whose account misbehaves in this way, checked.
async fn misbehaving(faults: Value) -> Checked {
    let world = World::shared().await.account_with("acme", "", Options::default()).await;
    world.fault("acme", faults).await;
    json_of(&world).await
}

fn forbidden() -> Value {
    json!({"status": 403, "body": {"errors": {"code": 403, "message": ["You are not authorized"]}}})
}

#[tokio::test]
async fn a_key_that_is_refused_ends_the_account_s_checks() {
    let checked =
        misbehaving(json!([{"endpoint": "*", "action": {"status": 401, "body": {"login": "failed"}}}])).await;
    assert_eq!(checked.status, Some(1));
    checked.has("account:acme", "api_key", "failed", "not accepted (status 401)");
    assert!(checked.of("account:acme", "contacts").is_empty());
}

#[tokio::test]
async fn rights_are_told_entity_by_entity() {
    let entities = [("contacts", "failed", 1), ("sales_accounts", "warning", 0), ("deals", "warning", 0)];
    for (entity, status, exit) in entities {
        for endpoint in ["fields", "get"] {
            let name = format!("{entity}_{endpoint}");
            let checked = misbehaving(json!([{"endpoint": name, "action": forbidden()}])).await;
            assert_eq!(checked.status, Some(exit), "{name}: {}", checked.out);
            checked.has("account:acme", entity, status, "You are not authorized");
            for (other, ..) in entities.iter().filter(|(other, ..)| *other != entity) {
                checked.has("account:acme", other, "ok", "records can be read");
            }
        }
    }
    let checked = misbehaving(json!([
        {"endpoint": "lookup", "action": forbidden()}, {"endpoint": "job_statuses", "action": forbidden()}
    ]))
    .await;
    assert_eq!(checked.status, Some(0));
    checked.has("account:acme", "lookups", "warning", "no right to look up contacts");
    checked.has("account:acme", "jobs", "warning", "no right to read the status of jobs");
}

#[tokio::test]
async fn an_account_whose_searches_cannot_be_believed_is_told() {
    let found = |body: Value| json!({"status": 200, "headers": {"content-type": "application/json"}, "body": body.to_string()});
    for (action, part) in [
        (forbidden(), "no right to search contacts and sales accounts"),
        (json!({"status": 405}), "status 405"),
        (found(json!({"meta": {"total": 0}})), "no list of contacts"),
        (
            found(json!({"contacts": [{"id": 1, "email": "a@b.co"}], "meta": {"total": 1}})),
            "were not asked for",
        ),
        (found(json!({"contacts": [], "meta": {"total": 3}})), "does not say that it holds all"),
    ] {
        let faults = json!([{"endpoint": "filtered_search", "action": action}]);
        let checked = misbehaving(faults).await;
        assert_eq!(checked.status, Some(0), "{part}: {}", checked.out);
        checked.has("account:acme", "searches", "warning", part);
        checked.has("account:acme", "jobs", "ok", "can be read");
    }
}

#[tokio::test]
async fn an_account_that_hangs_breaks_or_answers_something_else_is_told_from_another() {
    let page =
        json!({"status": 200, "headers": {"content-type": "text/html"}, "body": "<html>maintenance</html>"});
    let moved = json!({"status": 301, "headers": {"location": "https://new.example.com/login?token=secret-key-0815"}});
    for (action, check, status, part) in [
        (json!({"hang": true}), "connection", "failed", "no answer"),
        (json!({"reset": true}), "connection", "failed", "no answer"),
        (json!({"status": 503}), "connection", "failed", "Freshsales is in trouble: status 503"),
        (page, "connection", "failed", "a web page with status 200"),
        (moved, "connection", "failed", "a redirect, status 301, which leads to https://new.example.com"),
        (json!({"status": 429, "headers": {"retry-after": "600"}}), "connection", "ok", "answers"),
    ] {
        let checked = misbehaving(json!([{"endpoint": "*", "action": action}])).await;
        checked.has("account:acme", check, status, part);
        assert_eq!(checked.status, Some(i32::from(status == "failed")), "{action}: {}", checked.out);
    }
}

#[tokio::test]
async fn a_clock_a_plan_and_a_quota_that_do_not_fit_are_warnings() {
    let body = json!({"errors": {"code": 403, "message": ["no"]}});
    let with = |headers: Value| json!([{"endpoint": "*", "action": {"status": 403, "headers": headers, "body": body}}]);
    let checked = misbehaving(with(json!({"date": "Sun, 01 Mar 2026 12:00:00 GMT"}))).await;
    checked.has("account:acme", "clock", "warning", "this machine's clock is");
    for (limit, remaining, part) in [
        ("1000", "900", "allows 1,000 calls an hour, 900 left, and the configuration expects 1,000,000"),
        ("2000000", "9", "expects only 1,000,000"),
        ("1000000", "2", "too few to look at everything"),
    ] {
        let headers = json!({"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining, "x-ratelimit-reset": "600"});
        let checked = misbehaving(with(headers)).await;
        checked.has("account:acme", "quota", "warning", part);
    }
}

#[tokio::test]
async fn what_is_configured_about_fields_is_held_against_the_account_s() {
    let settings = "[accounts.fields]\n\"tier\" = \"cf_no_such_field\"\n[accounts.defaults]\n\"no_such_field\" = \"x\"\n";
    let world = World::shared().await.account("acme", settings).await;
    let fields = json!({"fields": [
        {"name": "emails", "type": "group_field"},
        {"name": "last_name", "label": "Last name", "type": "text", "required": true},
    ]});
    let address = world.at("acme").address;
    let (status, answer) = put(address, "/_sandbox/fields/contacts", &fields.to_string()).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let checked = json_of(&world).await;
    assert_eq!(checked.status, Some(1), "{}", checked.out);
    checked.has("account:acme", "overrides", "failed", "\"tier\" = \"cf_no_such_field\"");
    checked.has("account:acme", "defaults", "failed", "no_such_field");
    checked.has("account:acme", "required_fields", "warning", "lastName");
}

#[tokio::test]
async fn a_secret_that_is_missing_fails_its_account_and_a_wrong_file_is_64() {
    let world = World::of_two().await;
    let config = world.config_at(world.vhost.url(), "one").replacen("TEST_KEY", "OTHER_KEY", 2);
    let checked = check_with(&config, &["--json"], &World::environment()).await;
    assert_eq!(checked.status, Some(1));
    checked.has(
        "configuration",
        "secrets",
        "failed",
        "account acme: api_key: the environment variable OTHER_KEY",
    );
    checked.has("account:acme", "connection", "skipped", "a secret is missing");
    checked.has("account:globex", "api_key", "ok", "accepted");

    let wrong = config.replace("prefetch = 400", "prefetch = 0\nprefetchs = 1");
    for arguments in [&["--offline"][..], &[]] {
        let checked = check_with(&wrong, arguments, &World::environment()).await;
        assert_eq!(checked.status, Some(64));
        assert!(checked.out.is_empty() && checked.err.contains("prefetchs"), "{}", checked.err);
    }
    let checked = check_with(&config, &["--account", "nobody"], &World::environment()).await;
    assert_eq!(checked.status, Some(64));
    assert!(checked.err.contains("acme, globex"), "{}", checked.err);
}

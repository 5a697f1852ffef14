//! The status pages in Chromium, with three accounts and with five hundred: how they look, and what a refresh leaves as it is.
//! Not among the tests that `cargo test` runs, because it needs Chromium, Node.js and npm: `cargo test --test pages`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    dead_code,
    unreachable_pub,
    reason = "in a test, a panic is the verdict; the world is shared with other tests"
)]
#![allow(clippy::needless_pass_by_value, reason = "`json!` where it is used reads best without a reference")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../daemon/world.rs"]
mod world;

mod chromium;

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use freshet::sandbox::Options;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chromium::look;
use crate::support::{Freshet, script, soon};
use crate::world::{World, sum};

const ACCOUNTS: usize = 500;
const ADMIN_TOKEN: &str = "a-token-that-nobody-else-has-0815-4711";
/// As long as a name may be.
const LONG_NAME: &str = "an-account-with-a-name-as-long-as-a-name-may-be_0123456789012345";

fn event(number: usize, write_key: &str, traits: Value) -> String {
    let user = format!("ada{number}@example.com");
    json!({"type": "identify", "messageId": format!("{write_key} {number}"), "writeKey": write_key, "userId": user,
        "traits": traits})
    .to_string()
}

async fn pages(replica: &Freshet, prefix: &str, paths: &[(&str, &str, u16)]) -> Vec<Value> {
    let address = replica.http_addr().await;
    let page = |(name, path, status): &(&str, &str, u16)| json!({"name": format!("{prefix}-{name}"), "url": format!("http://{address}{path}"), "status": status});
    paths.iter().map(page).collect()
}

/// The pages that the head of each page links to, but for the first one.
async fn linked(replica: &Freshet) -> Vec<String> {
    let page = replica.get("/").await.1;
    let links = page.split_once("<nav aria-label=\"Pages\">").unwrap().1.split_once("</nav>").unwrap().0;
    let links = links.split("href=\"./").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    links.filter(|link| !link.is_empty()).collect()
}

#[tokio::test]
async fn the_pages_of_a_small_fleet_in_trouble() {
    let world = World::shared().await.account("acme", "write_keys = [\"a\"]").await;
    let world = world.account(LONG_NAME, "write_keys = [\"l\"]\nquota_share = 0.5").await;
    let world = world.account("globex", "write_keys = [\"g\"]").await;
    let all = world.account("initech", "write_keys = [\"i\"]").await;
    let token = "[http]\nadmin_token = { env = \"ADMIN_TOKEN\" }\n";
    let config = all.config_at(all.vhost.url(), "worker-0").replace("[http]\n", token);
    let environment = World::environment().into_iter().chain([("ADMIN_TOKEN", ADMIN_TOKEN)]);
    let environment: Vec<_> = environment.collect();
    let replica = Freshet::start(&config, &environment);
    replica.ready().await;
    let other = all.start("worker-1").await;
    all.subscribed(2).await;
    all.fault("globex", json!([{"endpoint": "*", "action": {"status": 401}}])).await;
    for number in 0..40 {
        all.publish(event(number, "a", json!({"firstName": "Ada"}))).await;
        all.publish(event(number, "l", json!({"firstName": "Ada"}))).await;
    }
    // Dead letters of several reasons.
    for number in 40..44 {
        all.publish(event(number, "a", json!({"cfNoSuchField": "a value"}))).await;
        all.publish(event(number, "a", json!({"email": "none"}))).await;
    }
    all.publish(json!({"type": "screen", "writeKey": "a", "userId": "ada@example.com"}).to_string()).await;
    all.settled(&[&replica, &other]).await;
    all.amqp.publish(&all.queue(), event(0, "g", json!({"firstName": "Ada"})), &[]).await;
    // An account is taken out.
    std::fs::write(replica.config_file(), config.rsplit_once("[[accounts]]").unwrap().0).unwrap();
    replica.signal("HUP");
    replica.line("the configuration was read again").await;
    soon("the account is refused, and the replica knows the other", async || {
        let page = replica.get("/").await.1;
        page.contains("Freshsales refuses the credentials") && page.contains("2 replicas")
    })
    .await;
    let long = format!("/accounts/{LONG_NAME}");
    let linked = linked(&replica).await;
    assert!(linked.len() >= 2, "{linked:?}");
    let others: Vec<(&str, String)> = linked.iter().map(|link| (&**link, format!("/{link}"))).collect();
    let others: Vec<_> = others.iter().map(|(name, path)| (*name, &**path, 200)).collect();
    let mut plan = pages(&replica, "small", &others).await;
    let more = pages(
        &replica,
        "small",
        &[
            ("accounts", "/", 200),
            ("account", "/accounts/acme", 200),
            ("long-name", &long, 200),
            ("unauthorized", "/accounts/globex", 200),
            ("removed", "/accounts/initech", 200),
            ("login", "/login", 200),
            ("not-found", "/accounts/nobody", 404),
            ("nothing-matches", "/?q=nobody", 200),
        ],
    )
    .await;
    plan.extend(more);
    let address = replica.http_addr().await;
    let admin = pages(
        &replica,
        "admin",
        &[
            ("dead-letters", "/dead-letters", 200),
            ("replay", "/dead-letters/replay?account=acme&reason=invalid_email", 200),
        ],
    )
    .await;
    let admin = json!({"login": format!("http://{address}/login"), "token": ADMIN_TOKEN, "pages": admin});
    look("small", &json!({"pages": plan, "admin": admin})).await;
}

#[tokio::test]
async fn the_pages_of_five_hundred_accounts_and_what_a_refresh_leaves_as_it_is() {
    let world = World::shared().await.account_with("acme", "", Options::default()).await;
    let address = world.at("acme").address;
    let folder = TempDir::new().unwrap();
    assert!(script("mkfifo pipe", folder.path(), &[]).status.success());
    let pipe = folder.path().join("pipe");
    // Both ends are held, so that opening it waits for nobody and it never ends.
    let mut events = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut config = "[http]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for number in 0..ACCOUNTS {
        write!(
            config,
            "[[accounts]]\nname = \"account-{number:03}\"\nurl = \"http://{address}\"\n\
             api_key = {{ env = \"TEST_KEY\" }}\nplan = \"pro\"\nwrite_keys = [\"wk{number}\"]\n"
        )
        .unwrap();
    }
    let run = format!("exec \"$FRESHET\" run --events - < '{}'", pipe.display());
    let replica = Freshet::start_script(&run, &config, &World::environment());
    replica.ready().await;
    for number in 0..ACCOUNTS {
        writeln!(events, "{}", event(number, &format!("wk{number}"), json!({"firstName": "Ada"}))).unwrap();
    }
    soon("every account has had its event", async || {
        let delivered = sum(&replica.get("/metrics").await.1, "freshet_events_delivered_total", &[]);
        if delivered >= ACCOUNTS as u64 { Ok(()) } else { Err(format!("{delivered} of {ACCOUNTS}")) }
    })
    .await;
    let address = replica.http_addr().await;
    let plan = pages(
        &replica,
        "many",
        &[
            ("accounts", "/", 200),
            ("last-page", "/?sort=name&page=5", 200),
            ("account", "/accounts/account-499", 200),
            ("replicas", "/replicas", 200),
        ],
    )
    .await;
    let refreshed = json!({
        "list": format!("http://{address}/?q="), "account": format!("http://{address}/accounts/account-007")
    });
    look("many", &json!({"pages": plan, "refreshed": refreshed})).await;
}

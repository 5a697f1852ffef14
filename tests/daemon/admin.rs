//! Sending dead letters back from the page and over HTTP, against RabbitMQ.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::events::track;
use crate::letters::{fill, fill_alike, letter, numbers};
use crate::support::{Broker, Freshet, soon};
use crate::world::World;

const TOKEN: &str = "an-admin-token-of-more-than-32-characters";
const REPLAY: &str = "/api/dead-letters/replay";

type Headers<'a> = &'a [(&'a str, &'a str)];

/// What was answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// One request, as a browser or a program writes it.
async fn ask(at: SocketAddr, request: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut text = format!("{request} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        write!(text, "Host: {at}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.replace('\r', ""), body: body.to_owned() }
}

fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

/// As a program asks that has the token.
async fn with_token(at: SocketAddr, request: &str, body: &str) -> Answer {
    ask(at, request, &[("Authorization", &bearer())], body).await
}

/// A replica whose pages may do more than show.
async fn start(world: &World, replica: &str) -> Freshet {
    start_at(world, world.vhost.url(), replica).await
}

async fn start_at(world: &World, url: &str, replica: &str) -> Freshet {
    start_with(&world.config_at(url, replica)).await
}

fn with_admin(config: &str) -> String {
    let admin = "[http]\nadmin_token = { env = \"ADMIN\" }\nhosts = [\"freshet.example.com\"]\n";
    config.replace("[http]\n", admin)
}

async fn start_with(config: &str) -> Freshet {
    let config = with_admin(config);
    let environment: Vec<_> = World::environment().into_iter().chain([("ADMIN", TOKEN)]).collect();
    let freshet = Freshet::start(&config, &environment);
    freshet.ready().await;
    freshet
}

/// Waits until a replay has this state, and returns what is said of it.
async fn replay_is(at: SocketAddr, state: &str) -> Value {
    soon(&format!("the replay is {state}"), async || {
        let said = ask(at, &format!("GET {REPLAY}"), &[], "").await.json();
        if said["state"] == state { Ok(said) } else { Err(said.to_string()) }
    })
    .await
}

/// Waits until the page has read so many letters.
async fn letters_are(at: SocketAddr, letters: u64) -> Value {
    soon(&format!("the page knows {letters} letters"), async || {
        let said = ask(at, "GET /api/dead-letters", &[], "").await.json();
        if said["letters"] == letters { Ok(said) } else { Err(said.to_string()) }
    })
    .await
}

/// Signs in as the form does, and returns the cookie.
async fn sign_in(at: SocketAddr) -> String {
    let origin = format!("http://{at}");
    let answer = ask(at, "POST /login", &[("Origin", &origin)], &format!("token={TOKEN}")).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("dead-letters")), "{}", answer.body);
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// A page without what differs from one time to the next.
fn same(page: &str, at: SocketAddr) -> String {
    let mut text = String::new();
    let mut rest = page.split_once("<main>").unwrap().1.split_once("</main>").unwrap().0;
    while let Some((before, time)) = rest.split_once("<time") {
        text.push_str(before);
        text.push_str("[time]");
        rest = time.split_once("</time>").unwrap().1;
    }
    text.push_str(rest);
    let counted = text.lines().map(|line| match line.split_once("<li>read [time]</li>") {
        Some((before, _)) => format!("{before}<li>read [time]</li>…"),
        None => line.to_owned(),
    });
    counted.collect::<Vec<_>>().join("\n").replace(&at.to_string(), "[address]")
}

#[tokio::test]
async fn a_person_signs_in_mends_the_field_and_sends_the_letters_back_from_the_page() {
    let mut world = World::with_acme().await;
    let before = start(&world, "before").await;
    let at = before.http_addr().await;
    assert_eq!(letters_are(at, 0).await["groups"], json!([]));
    for number in 0..3 {
        let traits = json!({"email": format!("c{number}@example.com"), "cfNowhere": "secret value"});
        let id = format!("m-{number}");
        let event =
            json!({"type": "identify", "userId": format!("u{number}"), "messageId": id, "traits": traits});
        world.publish(event.to_string()).await;
    }
    world.settled(&[&before]).await;
    let dead = world.dead();
    soon("the letters are there", async || world.amqp.depth(&dead).await == Some(3)).await;
    world.retire(before).await;
    // The mend.
    world.accounts[0].settings = "unknown_custom_field = \"ignore\"".to_owned();
    let replica = start(&world, "after").await;
    let at = replica.http_addr().await;
    let said = letters_are(at, 3).await;
    let group = &said["groups"][0];
    assert_eq!(
        (&said["schema_version"], &group["account"], &group["reason"], &group["trait"], &group["letters"]),
        (&json!(1), &json!("acme"), &json!("unknown_custom_field"), &json!("cfNowhere"), &json!(3))
    );

    let stranger = ask(at, "GET /dead-letters", &[], "").await;
    insta::assert_snapshot!("stranger", same(&stranger.body, at));
    let sent_away = ask(at, "GET /dead-letters/replay?account=acme", &[], "").await;
    assert_eq!((sent_away.status, sent_away.header("location")), (303, Some("../login")));
    let cookie = sign_in(at).await;
    let page = ask(at, "GET /dead-letters", &[("Cookie", &cookie)], "").await;
    insta::assert_snapshot!("admin", same(&page.body, at));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    let link = page.body.split_once("href=\"dead-letters/replay?").unwrap().1.split_once('"').unwrap().0;
    let query = link.replace("&#38;", "&");
    let asks = ask(at, &format!("GET /dead-letters/replay?{query}"), &[("Cookie", &cookie)], "").await;
    insta::assert_snapshot!("asks", same(&asks.body, at));
    let origin = format!("http://{at}");
    world.expect(3);
    let form = format!("{query}&trait=cfNowhere&limit=&rate=");
    let answer =
        ask(at, "POST /dead-letters/replay", &[("Cookie", &cookie), ("Origin", &origin)], &form).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("../dead-letters")), "{}", answer.body);
    let done = replay_is(at, "done").await;
    assert_eq!((&done["done"], &done["matched"], &done["failed"]), (&json!(3), &json!(3), &json!(0)));
    world.settled(&[&replica]).await;
    assert_eq!(world.state("acme")["contacts"].as_array().unwrap().len(), 3, "delivered after the mend");
    letters_are(at, 0).await;
    let page = ask(at, "GET /dead-letters", &[("Cookie", &cookie)], "").await;
    insta::assert_snapshot!("done", same(&page.body, at));

    let counted = "freshet_dead_letters_replayed_total{account=\"acme\",reason=\"unknown_custom_field\"}";
    assert_eq!(replica.metric(counted).await, 3.0);
    let audit = |part: &str| replica.log().lines().find(|line| line.contains(part)).unwrap().to_owned();
    for line in [audit("a replay of dead letters was asked for"), audit("dead letters replayed")] {
        assert!(
            line.contains("127.0.0.1, by the pages of after") && line.contains("--account acme"),
            "{line}"
        );
    }
    assert!(audit("dead letters replayed").contains("letters=3"));
    for text in [page.body, asks.body, stranger.body, said.to_string(), done.to_string(), replica.log()] {
        let private = ["secret value", "c0@example.com", TOKEN, "m-0\""];
        assert!(!private.iter().any(|word| text.contains(word)), "{text}");
    }
    world.finish([replica]).await;
}

#[tokio::test]
async fn only_who_has_the_token_and_comes_from_no_other_site_may_send_letters_back() {
    let world = World::with_acme().await;
    let replica = start(&world, "one").await;
    fill(&world, "acme", 0..2).await;
    let at = replica.http_addr().await;
    let (own, bearer, cookie) = (format!("http://{at}"), bearer(), sign_in(at).await);
    let foreign = ("Origin", "https://evil.example.com");
    let refused: &[(Headers<'_>, u16, &str)] = &[
        (&[], 401, "sign in first"),
        (&[("Authorization", "Bearer wrong")], 401, "not the token"),
        (&[("Authorization", &bearer), foreign], 403, "another site"),
        (&[("Authorization", &bearer), ("Sec-Fetch-Site", "cross-site")], 403, "another site"),
        (&[("Cookie", &cookie), foreign], 403, "another site"),
        (&[("Cookie", &cookie), ("Origin", "null")], 403, "another site"),
        (&[("Cookie", &cookie)], 403, "from which page"),
        (&[("Cookie", "freshet_session=9999999999.AAAA"), ("Origin", &own)], 401, "sign in first"),
        (&[("Authorization", &bearer), ("Host", "evil.example.com")], 403, "http.hosts"),
    ];
    for (headers, status, says) in refused {
        for request in [format!("POST {REPLAY}"), format!("DELETE {REPLAY}")] {
            let answer = ask(at, &request, headers, "{}").await;
            assert!(
                answer.status == *status && answer.body.contains(says),
                "{request} {headers:?}: {}",
                answer.body
            );
        }
        for path in ["/dead-letters/replay", "/dead-letters/stop"] {
            let answer = ask(at, &format!("POST {path}"), headers, "").await;
            assert!(
                answer.status == *status && answer.body.contains(says),
                "{path} {headers:?}: {}",
                answer.body
            );
        }
        assert!(ask(at, &format!("POST {REPLAY}"), headers, "{}").await.status >= 400);
        // Each failure of a token was counted: a right one clears nothing, so another address is not needed here.
        if replica.log().matches("a wrong admin token was given").count() >= 5 {
            let answer = with_token(at, &format!("POST {REPLAY}"), "{}").await;
            assert_eq!(
                (answer.status, answer.header("retry-after").is_some()),
                (429, true),
                "{}",
                answer.body
            );
        }
    }
    // Whoever is signed in is not shut out by others' attempts.
    let answer = ask(at, &format!("DELETE {REPLAY}"), &[("Cookie", &cookie), ("Origin", &own)], "").await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    let evil = ask(at, "GET /dead-letters", &[("Host", "evil.example.com")], "").await;
    assert_eq!(evil.status, 403, "{}", evil.body);
    for (path, host, status) in [
        ("/", "freshet.example.com:80", 200),
        ("/api/status", "evil.example.com", 403),
        ("/metrics", "replica-1.internal", 200),
        ("/readyz", "10.0.0.7:9464", 200),
    ] {
        assert_eq!(
            ask(at, &format!("GET {path}"), &[("Host", host)], "").await.status,
            status,
            "{path} {host}"
        );
    }
    assert_eq!(world.amqp.depth(&world.lane("acme")).await, Some(0));
    assert_eq!(numbers(&world.dead_letters(2).await), [0, 1]);
    world.finish([replica]).await;
}

#[tokio::test]
async fn without_a_token_the_page_only_shows_and_says_how_to_change_that() {
    let world = World::with_acme().await;
    let replica = world.start("one").await;
    fill(&world, "acme", [1]).await;
    let at = replica.http_addr().await;
    letters_are(at, 1).await;
    let page = ask(at, "GET /dead-letters", &[("Host", "any.example.com")], "").await;
    insta::assert_snapshot!("reader", same(&page.body, at));
    for request in [
        &format!("POST {REPLAY}"),
        &format!("DELETE {REPLAY}"),
        "POST /dead-letters/replay",
        "GET /login",
        "POST /login",
    ] {
        let answer = ask(at, request, &[("Authorization", "Bearer ")], "{}").await;
        assert!(
            answer.status == 403 && answer.body.contains("set http.admin_token"),
            "{request}: {}",
            answer.body
        );
    }
    world.dead_letters(1).await;
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_wrong_order_is_answered_with_what_is_wrong() {
    let world = World::with_acme().await;
    let replica = start(&world, "one").await;
    let at = replica.http_addr().await;
    for (body, key) in
        [("{\"acount\":\"acme\"}", json!("acount")), ("{\"limit\":0}", json!("limit")), ("[1]", Value::Null)]
    {
        let answer = with_token(at, &format!("POST {REPLAY}"), body).await;
        assert_eq!((answer.status, &answer.json()["key"]), (400, &key), "{}", answer.body);
    }
    let large = format!("{{\"trait\":\"{}\"}}", "x".repeat(20_000));
    assert_eq!(with_token(at, &format!("POST {REPLAY}"), &large).await.status, 413);
    assert_eq!(ask(at, &format!("GET {REPLAY}"), &[], "").await.json()["state"], "none");
    // Nothing matches: it is begun, and says so.
    let answer = with_token(at, &format!("POST {REPLAY}"), "{\"account\":\"acme\"}").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(replay_is(at, "done").await["matched"], 0);
    world.finish([replica]).await;
}

#[tokio::test]
async fn one_replay_at_a_time_shows_its_progress_and_is_stopped_while_lanes_go_on() {
    const LETTERS: usize = 60;
    let world = World::with_acme().await;
    let (replica, other) = (start(&world, "one").await, start(&world, "two").await);
    fill_alike(&world, "acme", LETTERS).await;
    let (at, other_at) = (replica.http_addr().await, other.http_addr().await);
    let post = format!("POST {REPLAY}");
    let answer =
        with_token(at, &post, "{\"account\":\"acme\",\"reason\":\"rejected\",\"rate\":\"2/s\"}").await;
    assert_eq!(
        (answer.status, answer.json()["filter"]["account"].clone()),
        (202, json!("acme")),
        "{}",
        answer.body
    );
    let progress = soon("some are sent back", async || {
        let said = ask(at, &format!("GET {REPLAY}"), &[], "").await.json();
        if said["done"].as_u64() >= Some(2) { Ok(said) } else { Err(said.to_string()) }
    })
    .await;
    assert_eq!((&progress["state"], &progress["at_start"]), (&json!("running"), &json!(LETTERS)));
    // Here, at another replica, and on the command line.
    let answer = with_token(at, &post, "{}").await;
    assert!(answer.status == 409 && answer.body.contains("already"), "{}", answer.body);
    let answer = with_token(other_at, &post, "{}").await;
    assert!(answer.status == 409 && answer.body.contains("somebody else"), "{}", answer.body);
    let answer = with_token(other_at, &format!("DELETE {REPLAY}"), "").await;
    assert!(answer.status == 404 && answer.body.contains("the replica that started it"), "{}", answer.body);
    // Events of the day are delivered meanwhile.
    world.publish(track(0, 0).to_string()).await;
    soon("a new event is delivered", async || {
        world.state("acme")["activities"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["identifier"] == "contact.0@example.com")
    })
    .await;
    let page = ask(at, "GET /dead-letters", &[("Cookie", &sign_in(at).await)], "").await;
    assert!(
        page.body.contains("<progress") && page.body.contains("action=\"dead-letters/stop\""),
        "{}",
        page.body
    );
    assert!(page.body.contains("http-equiv=\"refresh\""), "{}", page.body);

    let answer = with_token(at, &format!("DELETE {REPLAY}"), "").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let end = replay_is(at, "stopped").await;
    let sent = end["done"].as_u64().unwrap();
    assert!((2..LETTERS as u64).contains(&sent) && end["ended"].is_string(), "{end}");
    letters_are(at, LETTERS as u64 - sent).await;
    world.expect(sent);
    let left = numbers(&world.dead_letters(LETTERS - usize::try_from(sent).unwrap()).await);
    assert_eq!(left, (usize::try_from(sent).unwrap()..LETTERS).collect::<Vec<_>>(), "in their places");
    world.finish([replica, other]).await;
}

#[tokio::test]
async fn a_stop_of_the_replica_in_the_middle_loses_nothing_and_ends_in_good_order() {
    const LETTERS: usize = 300;
    let world = World::with_acme().await;
    let mut replica = start(&world, "one").await;
    fill_alike(&world, "acme", LETTERS).await;
    let at = replica.http_addr().await;
    let answer = with_token(at, &format!("POST {REPLAY}"), "{\"rate\":20}").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    soon("some are sent back", async || {
        let said = ask(at, &format!("GET {REPLAY}"), &[], "").await.json();
        if said["done"].as_u64() >= Some(20) { Ok(()) } else { Err(said.to_string()) }
    })
    .await;
    replica.stop().await;
    let log = replica.log();
    let audit = log.lines().find(|line| line.contains("dead letters replayed")).expect("an audit line");
    assert!(audit.contains("stopped=true"), "{audit}");
    // Each letter is in one place: delivered, in the lane, or where it was.
    let gone: usize = audit.split_once("letters=").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
    assert!((20..LETTERS).contains(&gone), "{audit}");
    let left = numbers(&world.dead_letters(LETTERS - gone).await);
    assert_eq!(left, (gone..LETTERS).collect::<Vec<_>>());
    let lane = numbers(&world.amqp.drain(&world.lane("acme")).await);
    let delivered = world.state("acme")["activities"].as_array().unwrap().len();
    assert!(delivered + lane.len() >= gone, "{delivered} delivered, {} in the lane, {gone} sent", lane.len());
    world.finish([]).await;
}

#[tokio::test]
async fn the_page_answers_at_once_while_the_broker_is_away_and_shows_what_it_knew() {
    let world = World::with_acme().await;
    let proxy = crate::support::Proxy::to(&world.vhost.addr()).await;
    let replica = start_at(&world, &proxy.url(world.vhost.url()), "one").await;
    let unasked = start_at(&world, &proxy.url(world.vhost.url()), "two").await;
    fill(&world, "acme", 0..4).await;
    let at = replica.http_addr().await;
    letters_are(at, 4).await;
    proxy.refuse().await;
    proxy.cut();
    let began = tokio::time::Instant::now();
    let answer = with_token(at, &format!("POST {REPLAY}"), "{}").await;
    assert!(answer.status == 503 && answer.body.contains("cannot reach the broker"), "{}", answer.body);
    let page = ask(at, "GET /dead-letters", &[], "").await;
    assert!(page.status == 200 && page.body.contains("4 dead letters wait"), "{}", page.body);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let unasked_at = unasked.http_addr().await;
    soon("it says why there is nothing to show", async || {
        let page = ask(unasked_at, "GET /dead-letters", &[], "").await.body;
        let said = ["The dead letters could not be read.", "cannot reach the broker"];
        if said.iter().all(|words| page.contains(words)) { Ok(()) } else { Err(page) }
    })
    .await;
    proxy.pass().await;
    replica.ready().await;
    unasked.ready().await;
    let answer = with_token(at, &format!("POST {REPLAY}"), "{\"limit\":1}").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(replay_is(at, "done").await["done"], 1);
    world.expect(1);
    world.settled(&[&replica, &unasked]).await;
    assert_eq!(numbers(&world.dead_letters(3).await), [1, 2, 3]);
    world.finish([replica, unasked]).await;
}

#[tokio::test]
async fn a_replay_that_fails_after_it_was_answered_shows_that_it_failed() {
    let world = World::with_acme().await;
    let proxy = crate::support::Proxy::to(&world.vhost.addr()).await;
    let url = proxy.url(world.vhost.url());
    // Two nodes that say nothing take longer than the answer is waited for.
    let config = world.config_at(&url, "one").replace(
        &format!("url = \"{url}\"\n"),
        &format!("url = [\"{url}\", \"{url}?connection_timeout=16000\"]\n"),
    );
    let replica = start_with(&config).await;
    let at = replica.http_addr().await;
    proxy.hang().await;
    let answer = with_token(at, &format!("POST {REPLAY}"), "{\"limit\":7}").await;
    assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("starting")), "{}", answer.body);
    let failed = replay_is(at, "failed").await;
    assert!(failed["why"].as_str().unwrap().contains("cannot reach the broker"), "{failed}");
    assert_eq!(failed["filter"]["limit"], 7, "{failed}");
    soon("its end is told", async || {
        let said = ask(at, &format!("GET {REPLAY}"), &[], "").await.json();
        if said["state"] == "failed" && said["ended"].is_string() { Ok(()) } else { Err(said.to_string()) }
    })
    .await;
    proxy.pass().await;
    replica.ready().await;
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_replica_stops_in_time_while_an_alarm_keeps_letters_from_going() {
    let broker = Broker::private().await;
    let world = World::on(broker.vhost().await).await.account("acme", "").await;
    let mut replica = start(&world, "one").await;
    fill_alike(&world, "acme", 5).await;
    let at = replica.http_addr().await;
    broker.control(&["eval", "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})."]).await;
    replica.line("the broker takes no messages for now").await;
    let answer = with_token(at, &format!("POST {REPLAY}"), "{}").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    replay_is(at, "running").await;
    // So that the first letter is on its way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    replica.stop().await;
    let log = replica.log();
    let audit = log.lines().find(|line| line.contains("dead letters replayed")).expect("an audit line");
    assert!(audit.contains("letters=0") && audit.contains("may be in both queues"), "{audit}");
    broker.control(&["eval", "rabbit_alarm:clear_alarm({resource_limit, memory, node()})."]).await;
    assert_eq!(numbers(&world.dead_letters(5).await), [0, 1, 2, 3, 4], "in their places");
}

#[tokio::test]
async fn letters_of_an_account_that_a_reload_removes_stay_from_then_on() {
    const LETTERS: usize = 20;
    let world = World::shared().await;
    let world = world.account("acme", "write_keys = [\"acme\"]").await;
    let world = world.account("beta", "write_keys = [\"beta\"]").await;
    let mut replica = start(&world, "one").await;
    fill_alike(&world, "acme", LETTERS).await;
    let at = replica.http_addr().await;
    let answer = with_token(at, &format!("POST {REPLAY}"), "{\"rate\":2}").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    soon("some are sent back", async || {
        let said = ask(at, &format!("GET {REPLAY}"), &[], "").await.json();
        if said["done"].as_u64() >= Some(2) { Ok(()) } else { Err(said.to_string()) }
    })
    .await;
    let config = with_admin(&world.config_at(world.vhost.url(), "one"));
    let without: Vec<&str> =
        config.split("[[accounts]]").filter(|part| !part.contains("name = \"acme\"")).collect();
    crate::reload::reload(&replica, &without.join("[[accounts]]")).await;
    let end = replay_is(at, "done").await;
    let sent = usize::try_from(end["done"].as_u64().unwrap()).unwrap();
    assert!((2..LETTERS).contains(&sent) && end["failed"] == LETTERS - sent, "{end}");
    assert!(end["causes"].to_string().contains("account acme is not in the configuration"), "{end}");
    let left = numbers(&world.dead_letters(LETTERS - sent).await);
    assert_eq!(left, (sent..LETTERS).collect::<Vec<_>>(), "in their places");
    replica.stop().await;
}

/// Puts letters into the queue that have so many bytes each.
async fn fill_large(world: &World, letters: usize, bytes: usize) {
    let filling = "x".repeat(bytes);
    let large = |number| {
        let (_, properties) = letter("acme", "rejected", "cfPlan", number);
        let body = json!({"type": "screen", "messageId": format!("m-{number}"), "name": &filling});
        (body.to_string(), properties)
    };
    world.amqp.publish_all(&world.dead(), "acme.rejected", (0..letters).map(large)).await;
}

#[tokio::test]
async fn a_slow_replay_of_large_letters_holds_a_small_part_of_them() {
    const LETTERS: usize = 400;
    const BYTES: usize = 400_000;
    let world = World::with_acme().await;
    let replica = start(&world, "one").await;
    let at = replica.http_addr().await;
    letters_are(at, 0).await;
    let before = replica.resident();
    fill_large(&world, LETTERS, BYTES).await;
    let begun = with_token(at, &format!("POST {REPLAY}"), r#"{"account": "acme", "rate": 5}"#).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    let mut most = before;
    let sent = soon("some letters were sent", async || {
        most = most.max(replica.resident());
        let said = ask(at, &format!("GET {REPLAY}"), &[], "").await.json();
        if said["done"].as_u64() >= Some(20) { Ok(()) } else { Err(said.to_string()) }
    });
    sent.await;
    let all = u64::try_from(LETTERS * BYTES / 1024).unwrap();
    assert!(most - before < all * 2 / 3, "{before} KiB before, {most} KiB at most, for {all} KiB of letters");
    assert_eq!(with_token(at, &format!("DELETE {REPLAY}"), "").await.status, 202);
    let done = replay_is(at, "stopped").await["done"].as_u64().unwrap();
    let left = LETTERS - usize::try_from(done).unwrap();
    assert_eq!(world.dead_letters(left).await.len(), left);
    world.finish([replica]).await;
}

#[tokio::test]
async fn looking_at_many_large_letters_holds_a_small_part_of_them() {
    const LETTERS: usize = 3000;
    const BYTES: usize = 50_000;
    let world = World::with_acme().await;
    let replica = start(&world, "one").await;
    let at = replica.http_addr().await;
    letters_are(at, 0).await;
    let before = replica.resident();
    fill_large(&world, LETTERS, BYTES).await;
    let mut most = before;
    soon("all letters were seen", async || {
        most = most.max(replica.resident());
        let said = ask(at, "GET /api/dead-letters", &[], "").await.json();
        if said["letters"] == LETTERS { Ok(()) } else { Err(said.to_string()) }
    })
    .await;
    most = most.max(replica.resident());
    let all = u64::try_from(LETTERS * BYTES / 1024).unwrap();
    assert!(most - before < all / 2, "{before} KiB before, {most} KiB at most, for {all} KiB of letters");
    assert_eq!(world.dead_letters(LETTERS).await.len(), LETTERS);
    world.finish([replica]).await;
}

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use axum::http::StatusCode;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

use super::http::handlers::Handlers;
use super::renderer::StatusPage;
use super::view::list::ListQuery;
use super::*;
use crate::fleet::{Survey, SurveySources};
use crate::lane::{LaneRoster, LaneStatus};
use crate::metrics::Metrics;

fn sources(accounts: usize) -> StatusSources {
    let metrics = Arc::new(Metrics::new().unwrap());
    let lane = |number| {
        let name = format!("account-{number}");
        Arc::new(LaneStatus::new(name.as_str().into(), metrics.account(&name)))
    };
    let lanes = LaneRoster::default();
    lanes.show((0..accounts).map(lane).collect(), Vec::new());
    let survey = SurveySources {
        metrics: metrics.clone(),
        lanes: lanes.clone(),
        stuck_after: Duration::from_mins(15),
        broker: None,
        build: ("0", "unknown"),
    };
    StatusSources {
        fleet: Arc::new(Survey::new("one", Timestamp::UNIX_EPOCH, survey)),
        lanes,
        metrics,
        stuck_after: Duration::from_mins(15),
        broker: None,
        letters: None,
        admin: AdminAccess::nobody(),
        alive_signal: None,
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // Far longer than an answer takes; a daemon that hangs would give none.
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_pages_answer_while_every_thread_of_the_daemon_is_busy() {
    let daemon = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (address, _pages) = daemon.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, serve(listener, sources(3), &CancellationToken::new()).unwrap())
    });
    let (go_on, waits) = mpsc::channel::<()>();
    let (begins, begun) = mpsc::channel();
    let mut busy = JoinSet::new();
    busy.spawn_on(
        async move {
            begins.send(()).unwrap();
            waits.recv().ok();
        },
        daemon.handle(),
    );
    begun.recv().unwrap();
    assert!(get(address, "/livez").ends_with("\r\n\r\nalive\n"));
    assert!(get(address, "/readyz").ends_with("\r\n\r\nready\n"));
    assert!(get(address, "/").contains("account-2"));
    assert!(get(address, "/api/status").contains("account-2"));
    assert!(get(address, "/metrics").contains("freshet_lane_state{account=\"account-2\""));
    drop(go_on);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_whose_tasks_do_not_run_is_not_alive() {
    let heartbeat = Heartbeat::default();
    let (handlers, _rendering) = Handlers::new(sources(1), heartbeat.clone());
    assert_eq!(handlers.livez().await.status(), StatusCode::OK);
    let mut tasks = JoinSet::new();
    tasks.spawn(heartbeat.watch());
    // Between two checks: the order of two timers that are due together is not defined.
    tokio::time::sleep(Duration::from_millis(59_500)).await;
    for answer in [handlers.livez().await, handlers.readyz().await] {
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
        assert!(
            String::from_utf8_lossy(&body).contains("no task of the daemon has run for 59 s"),
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn a_health_check_is_answered_while_a_lane_holds_the_lock_on_its_state() {
    let heartbeat = Heartbeat::default();
    let (handlers, _rendering) = Handlers::new(sources(1), heartbeat);
    let (release, held) = mpsc::channel::<()>();
    let hangs = handlers.health("well", |_| None);
    assert_eq!(hangs.await.status(), StatusCode::OK);
    HELD.set(std::sync::Mutex::new(held)).unwrap();
    let hangs = handlers.health("well", |_| {
        HELD.get().unwrap().lock().unwrap().recv().ok();
        None
    });
    assert_eq!(hangs.await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(release);
}

static HELD: std::sync::OnceLock<std::sync::Mutex<mpsc::Receiver<()>>> = std::sync::OnceLock::new();

#[test]
fn a_page_shows_each_account_its_own_numbers() {
    let sources = sources(3);
    sources.metrics.account("account-1").delivered.of("track").inc_by(5);
    sources.metrics.account("account-1").delivered.of("page").inc_by(2);
    sources.metrics.account("account-2").in_flight.set(3);
    let shown: serde_json::Value =
        serde_json::from_slice(&sources.render(&StatusPage::Status(ListQuery::parse(""), None)).unwrap())
            .unwrap();
    let of = |number: usize, key: &str| shown["accounts"][number][key].clone();
    assert_eq!([of(0, "delivered"), of(1, "delivered"), of(2, "delivered")], [0, 7, 0]);
    assert_eq!([of(0, "in_flight"), of(1, "in_flight"), of(2, "in_flight")], [0, 0, 3]);
}

fn address_of(pages: usize) -> (SocketAddr, Pages, tokio::runtime::Runtime) {
    let daemon = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (address, pages) = daemon.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, serve(listener, sources(pages), &CancellationToken::new()).unwrap())
    });
    (address, pages, daemon)
}

#[test]
fn every_answer_has_the_headers_that_keep_others_out() {
    let (address, _pages, _daemon) = address_of(2);
    let paths = [
        ("/", 200),
        ("/?q=%3Cscript%3E&page=7", 200),
        ("/accounts/account-1", 200),
        ("/accounts/nobody", 404),
        ("/accounts/%3Cscript%3E", 404),
        ("/replicas", 200),
        ("/runbook", 200),
        ("/api/status", 200),
        ("/api/accounts/account-1", 200),
        ("/api/accounts/nobody", 404),
        ("/api/nothing", 404),
        ("/metrics", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/nothing", 404),
        ("/a/b/c", 404),
    ];
    for (path, status) in paths {
        let answer = get(address, path);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.0 {status}")), "{path}: {head}");
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(head.contains(header), "{path}: {head}");
        }
        assert!(!body.contains("<script>") && !body.contains("style="), "{path}: {body}");
    }
}

#[test]
fn a_failure_is_a_page_for_people_json_for_programs_and_plain_for_health_checks() {
    let (address, _pages, _daemon) = address_of(1);
    let ask = |method: &str, path: &str| {
        let answer = exchange(address, &format!("{method} {path} HTTP/1.0\r\n\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    };
    for (method, path, status, root) in [
        ("GET", "/nothing", 404, "./"),
        ("GET", "/a/b/%3Cc%3E", 404, "../../"),
        ("GET", "/accounts/nobody", 404, "../"),
        ("GET", "/accounts/%FF", 400, "../"),
        ("POST", "/", 405, "./"),
        ("DELETE", "/accounts/account-0", 405, "../"),
    ] {
        let (head, body) = ask(method, path);
        assert!(head.starts_with(&format!("HTTP/1.0 {status}")), "{path}: {head}");
        assert!(head.contains("content-type: text/html") && !body.contains("<c>"), "{path}: {head} {body}");
        assert!(body.contains(&format!("<a href=\"{root}\">All accounts</a>")), "{path}: {body}");
        assert!(body.contains(&format!("href=\"{root}assets/page.")), "{path}: {body}");
        assert_eq!(head.contains("allow: GET,HEAD"), status == 405, "{path}: {head}");
    }
    for (method, path, status) in
        [("GET", "/api/nothing", 404), ("GET", "/api/accounts/nobody", 404), ("PUT", "/api/status", 405)]
    {
        let (head, body) = ask(method, path);
        assert!(head.contains("content-type: application/json"), "{path}: {head}");
        let failure: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&failure["status"], &failure["schema_version"]),
            (&status.into(), &1.into()),
            "{failure}"
        );
        assert!(!failure["error"].as_str().unwrap().is_empty(), "{failure}");
    }
    for (method, path) in [("GET", "/assets/nothing"), ("POST", "/metrics"), ("POST", "/livez")] {
        let (head, body) = ask(method, path);
        assert!(head.starts_with("HTTP/1.0 40") && !body.contains('<'), "{path}: {head} {body}");
    }
    // Too deep to refer to the root from there.
    let (head, body) = ask("GET", &"/a".repeat(5000));
    assert!(head.starts_with("HTTP/1.0 404") && body.len() < 100, "{head}");
}

#[test]
fn style_and_script_are_found_from_every_page_and_kept_for_ever() {
    let (address, _pages, _daemon) = address_of(1);
    for (page, folder) in [("/", "/"), ("/accounts/account-0", "/accounts/")] {
        let page = get(address, page);
        for (before, kind) in
            [("<link rel=\"stylesheet\" href=\"", "text/css"), ("<script src=\"", "text/javascript")]
        {
            let reference = page.split_once(before).unwrap().1.split('"').next().unwrap();
            let url = url::Url::parse(&format!("http://here{folder}")).unwrap().join(reference).unwrap();
            let asset = get(address, url.path());
            assert!(
                asset.starts_with("HTTP/1.0 200") && asset.contains(kind) && asset.contains("immutable"),
                "{url}"
            );
        }
    }
}

#[test]
fn programs_are_told_of_the_account_and_state_that_they_ask_for() {
    let (address, _pages, _daemon) = address_of(3);
    let accounts = |query: &str| {
        let answer = get(address, &format!("/api/status{query}"));
        let shown: serde_json::Value =
            serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(shown["schema_version"], 1);
        shown["accounts"].as_array().unwrap().len()
    };
    for (query, found) in [
        ("", 3),
        ("?account=account-1", 1),
        ("?account=nobody", 0),
        ("?state=standby", 3),
        ("?state=unauthorized", 0),
        ("?state=standby&account=account-2", 1),
    ] {
        assert_eq!(accounts(query), found, "{query}");
    }
}

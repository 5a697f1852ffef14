//! What can be seen of a running daemon over HTTP: metrics, health, and a page for people.
//!
//! On a thread of its own: whether the daemon lives is told in time, also where its own threads are busy or hang. Must
//! not wait for anything that an account, a message or a watcher can hold up.

mod door;
mod heartbeat;
mod page;
mod press;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::heartbeat::Heartbeat;
use self::press::{Page, Press, Rendered};
use crate::broker::{BrokerHealth, HealthView};
use crate::lane::{LaneStatus, LaneView, Stuck};
use crate::metrics::{Metrics, Totals};

/// Health is told within this time, come what may.
const HEALTH: Duration = Duration::from_secs(2);

/// Everything there is to see.
#[derive(Debug)]
pub struct StatusSources {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// One per account.
    pub lanes: Vec<Arc<LaneStatus>>,
    /// A lane that settles nothing for so long is stuck.
    pub stuck_after: Duration,
    /// `None` where events come from a file.
    pub broker: Option<Arc<BrokerHealth>>,
    /// This replica's name.
    pub replica: String,
    /// When the daemon started.
    pub started: Timestamp,
}

/// What `/api/status` answers.
#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    replica: String,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<HealthView>,
    accounts: Vec<Account>,
}

/// One account's line.
#[derive(Debug, Serialize)]
struct Account {
    #[serde(flatten)]
    lane: LaneView,
    /// Only where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<Stuck>,
    in_flight: i64,
    delivered: u64,
    skipped: u64,
    dead_lettered: u64,
    quota_remaining: f64,
    quota_requests_per_hour: f64,
}

impl StatusSources {
    fn status(&self) -> Status {
        let totals = self.metrics.totals();
        let account = |board: &Arc<LaneStatus>| {
            let lane = board.view();
            let totals = totals.get(&*lane.account).copied().unwrap_or_default();
            let stuck = board.stuck(self.stuck_after);
            Account::new(lane, stuck, totals)
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            replica: self.replica.clone(),
            started: self.started,
            broker: self.broker.as_ref().map(|link| link.view()),
            accounts: self.lanes.iter().map(account).collect(),
        }
    }

    fn render(&self, page: Page) -> Rendered {
        match page {
            Page::Html => Ok(page::render(&self.status()).into()),
            Page::Json => {
                serde_json::to_vec(&self.status()).map(Into::into).map_err(|error| error.to_string())
            }
            Page::Metrics => self.metrics.render().map(Into::into).map_err(|error| error.to_string()),
        }
    }

    /// Why the daemon is to be started again: a lane that is stuck beyond hope moves to another replica then.
    fn dead(&self) -> Option<String> {
        let stuck = self.lanes.iter().filter_map(|board| {
            let Stuck { seconds, events, why, .. } =
                board.stuck(self.stuck_after).filter(|stuck| stuck.needs_restart)?;
            let account = board.view().account;
            Some(format!("not alive: {account} is stuck with {events} events for {seconds} s: {why}\n"))
        });
        let told: String = stuck.collect();
        (!told.is_empty()).then_some(told)
    }

    /// Why no events come and go.
    fn unready(&self) -> Option<String> {
        let view = self.broker.as_ref().map(|link| link.view()).filter(|view| !view.ready)?;
        Some(format!("not ready: {}\n", view.why))
    }
}

impl Account {
    fn new(lane: LaneView, stuck: Option<Stuck>, totals: Totals) -> Self {
        Self {
            lane,
            stuck,
            in_flight: totals.in_flight,
            delivered: totals.delivered,
            skipped: totals.skipped,
            dead_lettered: totals.dead_lettered,
            quota_remaining: totals.quota_remaining,
            quota_requests_per_hour: totals.quota_requests_per_hour,
        }
    }
}

/// The pages, until it is dropped.
#[derive(Debug)]
pub struct Pages {
    _beating: JoinSet<()>,
    _stop: DropGuard,
}

/// Serves on `listener`, on a thread of its own, until `stop` or until what is returned is dropped.
pub fn serve(
    listener: TcpListener,
    sights: StatusSources,
    stop: &CancellationToken,
) -> std::io::Result<Pages> {
    let stop = stop.child_token();
    let heartbeat = Heartbeat::default();
    let mut beating = JoinSet::new();
    beating.spawn(heartbeat.clone().beat());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A listener belongs to the runtime in which it was opened.
    let listener = listener.into_std()?;
    let stopped = stop.clone();
    std::thread::Builder::new().name("pages".to_owned()).spawn(move || {
        let serving = stopped.run_until_cancelled_owned(serve_here(listener, sights, heartbeat));
        if let Some(Err(error)) = runtime.block_on(serving) {
            tracing::error!(%error, "the status pages ended");
        }
        // A rendering that waits for somebody must not keep the process.
        runtime.shutdown_background();
    })?;
    Ok(Pages { _beating: beating, _stop: stop.drop_guard() })
}

async fn serve_here(
    listener: std::net::TcpListener,
    sights: StatusSources,
    heartbeat: Heartbeat,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let sights = Arc::new(sights);
    let shown = sights.clone();
    let (press, printing) = Press::new(move |page| shown.render(page));
    let mut tasks = JoinSet::new();
    tasks.spawn(printing);
    tasks.spawn(heartbeat.clone().look());
    let router = Router::new()
        .route("/", get(async |State(site): State<Site>| site.page(Page::Html).await))
        .route("/api/status", get(async |State(site): State<Site>| site.page(Page::Json).await))
        .route("/metrics", get(async |State(site): State<Site>| site.page(Page::Metrics).await))
        .route("/livez", get(async |State(site): State<Site>| site.livez().await))
        .route("/readyz", get(async |State(site): State<Site>| site.readyz().await))
        .with_state(Site { sights, press, heartbeat });
    door::serve(listener, router).await;
    Ok(())
}

/// What the handlers share.
#[derive(Clone)]
struct Site {
    sights: Arc<StatusSources>,
    press: Press,
    heartbeat: Heartbeat,
}

impl Site {
    async fn page(&self, page: Page) -> Response {
        match self.press.page(page).await {
            Ok(text) => ([(header::CONTENT_TYPE, page.content_type())], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
        }
    }

    async fn livez(&self) -> Response {
        self.health("alive", StatusSources::dead).await
    }

    async fn readyz(&self) -> Response {
        self.health("ready", StatusSources::unready).await
    }

    /// 200 and `word`, or 503 and why not. What is asked may wait for a lock whose holder hangs.
    async fn health(&self, word: &str, wrong: fn(&StatusSources) -> Option<String>) -> Response {
        let sights = self.sights.clone();
        let asked = tokio::task::spawn_blocking(move || wrong(&sights));
        let why = match (self.heartbeat.hung(), tokio::time::timeout(HEALTH, asked).await) {
            (Some(seconds), _) => {
                Some(format!("not {word}: no task of the daemon has run for {seconds} s\n"))
            }
            (None, Ok(Ok(why))) => why,
            (None, Ok(Err(_)) | Err(_)) => Some(format!("not {word}: the daemon's state cannot be read\n")),
        };
        match why {
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
            None => format!("{word}\n").into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::mpsc;

    use super::*;

    fn sights(accounts: usize) -> StatusSources {
        let metrics = Arc::new(Metrics::new().unwrap());
        let board = |number| {
            let name = format!("account-{number}");
            Arc::new(LaneStatus::new(name.as_str().into(), metrics.account(&name)))
        };
        StatusSources {
            lanes: (0..accounts).map(board).collect(),
            metrics,
            stuck_after: Duration::from_mins(15),
            broker: None,
            replica: "one".to_owned(),
            started: Timestamp::UNIX_EPOCH,
        }
    }

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        // Far longer than an answer takes: on a daemon that hangs there is none.
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_pages_answer_while_every_thread_of_the_daemon_is_busy() {
        let daemon =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (address, _pages) = daemon.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            (address, serve(listener, sights(3), &CancellationToken::new()).unwrap())
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
        let (press, _printing) = Press::new(|_| Err(String::new()));
        let site = Site { sights: Arc::new(sights(1)), press, heartbeat: heartbeat.clone() };
        assert_eq!(site.livez().await.status(), StatusCode::OK);
        let mut tasks = JoinSet::new();
        tasks.spawn(heartbeat.look());
        // Between two looks: which of two timers that are due together goes first is nobody's promise.
        tokio::time::sleep(Duration::from_millis(59_500)).await;
        for answer in [site.livez().await, site.readyz().await] {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
            assert!(
                String::from_utf8_lossy(&body).contains("no task of the daemon has run for 59 s"),
                "{body:?}"
            );
        }
    }

    #[tokio::test]
    async fn health_is_told_although_a_lane_never_lets_go_of_its_state() {
        let heartbeat = Heartbeat::default();
        let (press, _printing) = Press::new(|_| Err(String::new()));
        let site = Site { sights: Arc::new(sights(1)), press, heartbeat };
        let (let_go, held) = mpsc::channel::<()>();
        let hangs = site.health("well", |_| None);
        assert_eq!(hangs.await.status(), StatusCode::OK);
        // What is asked may hang for as long as it likes.
        HELD.set(std::sync::Mutex::new(held)).unwrap();
        let hangs = site.health("well", |_| {
            HELD.get().unwrap().lock().unwrap().recv().ok();
            None
        });
        assert_eq!(hangs.await.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(let_go);
    }

    static HELD: std::sync::OnceLock<std::sync::Mutex<mpsc::Receiver<()>>> = std::sync::OnceLock::new();

    #[test]
    fn a_page_shows_each_account_its_own_numbers() {
        let sights = sights(3);
        sights.metrics.account("account-1").delivered.of("track").inc_by(5);
        sights.metrics.account("account-1").delivered.of("page").inc_by(2);
        sights.metrics.account("account-2").in_flight.set(3);
        let shown: serde_json::Value = serde_json::from_slice(&sights.render(Page::Json).unwrap()).unwrap();
        let of = |number: usize, key: &str| shown["accounts"][number][key].clone();
        assert_eq!([of(0, "delivered"), of(1, "delivered"), of(2, "delivered")], [0, 7, 0]);
        assert_eq!([of(0, "in_flight"), of(1, "in_flight"), of(2, "in_flight")], [0, 0, 3]);
    }
}

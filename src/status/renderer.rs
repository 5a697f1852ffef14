//! Renders the large pages, one at a time and once for all requests that came before it began. However many requests come,
//! rendering takes a bounded part of one core, and no page is older than its request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::pages::Viewer;
use super::view::list::ListQuery;

/// How many requests may wait. Each holds a connection, of which there are fewer.
const QUEUE_LENGTH: usize = 512;
/// After rendering comes a pause of so many times its duration: the pages take a fifth of a core at most.
const PAUSE_FACTOR: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pages that grow with the number of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StatusPage {
    /// For Prometheus.
    Metrics,
    /// The first page.
    Accounts(ListQuery),
    Account(String),
    Replicas,
    /// The dead letters, for people who may do more or less.
    Letters(Viewer),
    /// `/api/dead-letters`.
    LettersJson,
    /// `/api/status`: the accounts chosen, or the one of this name.
    Status(ListQuery, Option<String>),
    /// `/api/accounts/<name>`.
    AccountStatus(String),
}

impl StatusPage {
    pub(super) const fn content_type(&self) -> &'static str {
        match self {
            Self::Accounts(_) | Self::Account(_) | Self::Replicas | Self::Letters(_) => {
                "text/html; charset=utf-8"
            }
            Self::Status(..) | Self::AccountStatus(_) | Self::LettersJson => "application/json",
            Self::Metrics => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RenderError {
    /// Nothing of that name is known.
    NotFound,
    /// In words.
    Failed(String),
}

impl RenderError {
    pub(super) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(super) type Rendered = Result<Bytes, RenderError>;

struct PageRequest {
    page: StatusPage,
    reply: oneshot::Sender<Rendered>,
}

/// Takes requests for pages.
#[derive(Debug, Clone)]
pub(super) struct PageRenderer(mpsc::Sender<PageRequest>);

impl PageRenderer {
    /// The second part renders while it is polled.
    pub(super) fn new<R>(render: R) -> (Self, impl Future<Output = ()> + use<R>)
    where
        R: Fn(&StatusPage) -> Rendered + Send + Sync + 'static,
    {
        let (sender, requests) = mpsc::channel(QUEUE_LENGTH);
        (Self(sender), answer(requests, Arc::new(render)))
    }

    /// The page, rendered after this was called.
    pub(super) async fn page(&self, page: StatusPage) -> Rendered {
        let (reply, rendered) = oneshot::channel();
        let closing = || RenderError::failed("the pages are closing");
        self.0.send(PageRequest { page, reply }).await.map_err(|_| closing())?;
        rendered.await.map_err(|_| closing())?
    }
}

async fn answer<R>(mut requests: mpsc::Receiver<PageRequest>, render: Arc<R>)
where
    R: Fn(&StatusPage) -> Rendered + Send + Sync + 'static,
{
    let mut waiting: Vec<PageRequest> = Vec::new();
    let mut last = None;
    while !waiting.is_empty() || requests.recv_many(&mut waiting, QUEUE_LENGTH).await > 0 {
        // Also those that came during the pause.
        while let Ok(request) = requests.try_recv() {
            waiting.push(request);
        }
        waiting.retain(|request| !request.reply.is_closed());
        let Some(page) = next(&waiting, last.as_ref()) else { continue };
        last = Some(page.clone());
        let (now, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|request: &PageRequest| request.page == page);
        waiting = later;
        let began = Instant::now();
        let render = render.clone();
        // On another thread, because this one answers health checks meanwhile.
        let rendered = tokio::task::spawn_blocking(move || render(&page)).await;
        let rendered = rendered.unwrap_or_else(|error| Err(RenderError::failed(error)));
        for request in now {
            // Its client may have gone.
            request.reply.send(rendered.clone()).ok();
        }
        tokio::time::sleep(pause_after(began.elapsed())).await;
    }
}

/// A scrape goes before people, but for one that follows another; else the first one.
fn next(waiting: &[PageRequest], last: Option<&StatusPage>) -> Option<StatusPage> {
    let (scrapes, others): (Vec<_>, Vec<_>) =
        waiting.iter().map(|request| &request.page).partition(|page| **page == StatusPage::Metrics);
    let (scrape, other) = (scrapes.first(), others.first());
    let turn = if last == Some(&StatusPage::Metrics) { other.or(scrape) } else { scrape.or(other) };
    turn.map(|page| (*page).clone())
}

fn pause_after(took: Duration) -> Duration {
    took.saturating_mul(PAUSE_FACTOR).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_page_is_rendered_once_for_all_waiting_requests_and_not_for_abandoned_ones() {
        let renders = Arc::new(AtomicUsize::new(0));
        let counted = renders.clone();
        let (renderer, rendering) = PageRenderer::new(move |page| {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::from(format!("{page:?} {number}")))
        });
        let mut clients = JoinSet::new();
        for page in [StatusPage::Replicas, StatusPage::Metrics].into_iter().cycle().take(400) {
            let renderer = renderer.clone();
            clients.spawn(async move { renderer.page(page).await });
        }
        for _ in 0..50 {
            let renderer = renderer.clone();
            clients.spawn(async move { renderer.page(StatusPage::Account("gone".to_owned())).await }).abort();
        }
        // All have asked, or are gone, before anything is rendered.
        tokio::task::yield_now().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(rendering);
        let mut shown = std::collections::BTreeMap::new();
        while let Some(asked) = clients.join_next().await {
            if let Ok(rendered) = asked {
                *shown.entry(rendered.unwrap()).or_insert(0) += 1;
            }
        }
        let expected =
            [("Metrics 0", 200), ("Replicas 1", 200)].map(|(text, times)| (Bytes::from(text), times));
        assert_eq!(shown.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(renders.load(Ordering::SeqCst), 2);
        // A later request gets a newer page.
        assert_eq!(renderer.page(StatusPage::Metrics).await.unwrap(), "Metrics 2");
        drop(renderer);
        tasks.join_next().await.unwrap().unwrap();
    }

    #[test]
    fn a_scrape_goes_first_and_a_flood_of_them_keeps_nobody_waiting() {
        let waiting = [StatusPage::Replicas, StatusPage::Metrics]
            .map(|page| PageRequest { page, reply: oneshot::channel().0 });
        assert_eq!(next(&waiting, None), Some(StatusPage::Metrics));
        assert_eq!(next(&waiting, Some(&StatusPage::Replicas)), Some(StatusPage::Metrics));
        assert_eq!(next(&waiting, Some(&StatusPage::Metrics)), Some(StatusPage::Replicas));
        assert_eq!(next(&waiting[1..], Some(&StatusPage::Metrics)), Some(StatusPage::Metrics));
    }

    #[tokio::test]
    async fn a_page_that_cannot_be_rendered_does_not_affect_others() {
        let (renderer, rendering) = PageRenderer::new(|page| match page {
            StatusPage::Replicas => panic!("a page that cannot be rendered"),
            StatusPage::Account(_) => Err(RenderError::NotFound),
            StatusPage::Metrics
            | StatusPage::Accounts(_)
            | StatusPage::Letters(_)
            | StatusPage::LettersJson
            | StatusPage::Status(..)
            | StatusPage::AccountStatus(_) => Ok(Bytes::new()),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(rendering);
        let panicked = renderer.page(StatusPage::Replicas).await.unwrap_err();
        assert!(matches!(panicked, RenderError::Failed(words) if words.contains("panicked")));
        let unknown = StatusPage::Account("nobody".to_owned());
        assert_eq!(renderer.page(unknown).await, Err(RenderError::NotFound));
        assert_eq!(renderer.page(StatusPage::Metrics).await, Ok(Bytes::new()));
    }

    #[test]
    fn the_pause_is_a_multiple_of_the_work_up_to_a_second() {
        assert_eq!(pause_after(Duration::from_millis(10)), Duration::from_millis(40));
        assert_eq!(pause_after(Duration::from_secs(5)), LONGEST_PAUSE);
        assert_eq!(pause_after(Duration::MAX), LONGEST_PAUSE);
    }
}

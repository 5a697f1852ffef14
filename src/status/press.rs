//! Renders the large pages: one at a time, and once for all who asked before it began. However many ask, and however
//! soon they go away again, they cost a bounded part of one core, and nobody is shown what was so before he asked.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Who waits for a page; each holds a connection, and these are bounded.
const WAITING: usize = 512;
/// A rendering is followed by a rest of so many times as long: the pages take a fifth of a core at most.
const REST: u32 = 4;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The pages that grow with the number of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// For people.
    Html,
    /// The same as JSON.
    Json,
    /// For Prometheus.
    Metrics,
}

impl Page {
    const ALL: [Self; 3] = [Self::Html, Self::Json, Self::Metrics];

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Metrics => "text/plain; version=0.0.4",
        }
    }
}

/// A rendered page, shared by all who get it; or why there is none.
pub(super) type Rendered = Result<Bytes, String>;

struct Ask {
    page: Page,
    answer: oneshot::Sender<Rendered>,
}

/// Where pages are asked for.
#[derive(Debug, Clone)]
pub(super) struct Press(mpsc::Sender<Ask>);

impl Press {
    /// A press, and what must run for it to print.
    pub(super) fn new<R>(render: R) -> (Self, impl Future<Output = ()> + use<R>)
    where
        R: Fn(Page) -> Rendered + Send + Sync + 'static,
    {
        let (ask, asks) = mpsc::channel(WAITING);
        (Self(ask), print(asks, Arc::new(render)))
    }

    /// The page as it is now, or soon.
    pub(super) async fn page(&self, page: Page) -> Rendered {
        let (answer, answered) = oneshot::channel();
        let gone = || "the pages are closing".to_owned();
        self.0.send(Ask { page, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn print<R>(mut asks: mpsc::Receiver<Ask>, render: Arc<R>)
where
    R: Fn(Page) -> Rendered + Send + Sync + 'static,
{
    let mut waiting = Vec::new();
    while !waiting.is_empty() || asks.recv_many(&mut waiting, WAITING).await > 0 {
        let began = Instant::now();
        for page in Page::ALL {
            // Those who came during the rest, or while another page was rendered.
            while let Ok(ask) = asks.try_recv() {
                waiting.push(ask);
            }
            let (now, later): (Vec<Ask>, Vec<Ask>) = waiting.into_iter().partition(|ask| ask.page == page);
            waiting = later;
            if now.iter().all(|ask| ask.answer.is_closed()) {
                continue;
            }
            let render = render.clone();
            // On another thread: whether the process lives is told from this one meanwhile.
            let rendered = tokio::task::spawn_blocking(move || render(page)).await;
            let rendered = rendered.unwrap_or_else(|error| Err(error.to_string()));
            for ask in now {
                // Whoever has gone needs none.
                ask.answer.send(rendered.clone()).ok();
            }
        }
        tokio::time::sleep(rest(began.elapsed())).await;
    }
}

fn rest(took: Duration) -> Duration {
    took.saturating_mul(REST).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_page_is_rendered_once_for_all_who_wait_and_not_for_those_who_are_gone() {
        let renders = Arc::new(AtomicUsize::new(0));
        let counted = renders.clone();
        let (press, printing) = Press::new(move |page| {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::from(format!("{page:?} {number}")))
        });
        let mut askers = JoinSet::new();
        for page in [Page::Metrics, Page::Html].into_iter().cycle().take(400) {
            let press = press.clone();
            askers.spawn(async move { press.page(page).await });
        }
        for _ in 0..50 {
            let press = press.clone();
            askers.spawn(async move { press.page(Page::Json).await }).abort();
        }
        // All have asked, or are gone, before anything is printed.
        tokio::task::yield_now().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(printing);
        let mut shown = std::collections::BTreeMap::new();
        while let Some(asked) = askers.join_next().await {
            if let Ok(rendered) = asked {
                *shown.entry(rendered.unwrap()).or_insert(0) += 1;
            }
        }
        let expected = [("Html 0", 200), ("Metrics 1", 200)].map(|(text, times)| (Bytes::from(text), times));
        assert_eq!(shown.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(renders.load(Ordering::SeqCst), 2);
        // Who asks later is shown what is so later.
        assert_eq!(press.page(Page::Metrics).await.unwrap(), "Metrics 2");
        drop(press);
        tasks.join_next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_page_that_cannot_be_rendered_costs_no_other() {
        let (press, printing) = Press::new(|page| match page {
            Page::Html => panic!("a page that cannot be rendered"),
            Page::Json => Err("no".to_owned()),
            Page::Metrics => Ok(Bytes::new()),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(printing);
        assert!(press.page(Page::Html).await.unwrap_err().contains("panicked"));
        assert_eq!(press.page(Page::Json).await, Err("no".to_owned()));
        assert_eq!(press.page(Page::Metrics).await, Ok(Bytes::new()));
    }

    #[test]
    fn the_rest_is_a_multiple_of_the_work_up_to_a_second() {
        assert_eq!(rest(Duration::from_millis(10)), Duration::from_millis(40));
        assert_eq!(rest(Duration::from_secs(5)), LONGEST_REST);
        assert_eq!(rest(Duration::MAX), LONGEST_REST);
    }
}

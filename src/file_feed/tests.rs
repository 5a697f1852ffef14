//! A feed into one lane that the test plays by hand.

use std::io::Read;
use std::sync::Mutex;

use super::*;
use crate::dead_letter::Letter;
use crate::delivery::Session;
use crate::outcome::{DeadLetterReason, Problem};
use crate::routing::AccountKeys;

const LIMIT: usize = 1000;

/// Keeps letters in memory; `fails` where its disk does when it is synced.
#[derive(Clone, Default)]
struct MemoryStore {
    letters: Arc<Mutex<Vec<Letter>>>,
    fails: bool,
}

impl LetterStore for MemoryStore {
    fn append(&mut self, letter: &Letter) -> io::Result<()> {
        self.letters.lock().unwrap().push(letter.clone());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// Feeds the input into a lane that delivers tracks, and makes a dead letter of anything else.
async fn feed(input: impl Read + Send + 'static, store: MemoryStore) -> (Counts, Result<(), FeedError>) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (sessions_in, mut sessions) = mpsc::channel(1);
    let keys = AccountKeys { name: "acme".into(), write_keys: vec![], project_ids: vec![] };
    let counts = Arc::new(SharedCounts::default());
    let feed = Feed {
        account_index: AccountIndex::new(&[keys]).into(),
        opener: Opener::default(),
        lanes: vec![LaneInlet {
            account: "acme".into(),
            sessions: sessions_in,
            metrics: metrics.account("acme"),
            stop: CancellationToken::new(),
        }],
        prefetch: 10,
        held: HeldBytes::new(1 << 20),
        metrics,
        counts: counts.clone(),
        letters: Box::new(store),
    };
    let lane = async move {
        let Session { mut deliveries, .. } = sessions.recv().await.unwrap();
        while let Some(delivery) = deliveries.recv().await {
            let is_track = delivery.body.windows(5).any(|text| text == b"track");
            let refusal = Refusal::new(DeadLetterReason::InvalidEvent, Problem::default());
            let outcome = if is_track { Outcome::Delivered } else { Outcome::DeadLetter(refusal) };
            delivery.receipt.settle(outcome, 1);
        }
    };
    let fed = feed.run(read_lines(Box::new(input), LIMIT), CancellationToken::new());
    let (fed, ()) = tokio::join!(fed, lane);
    (counts.counts(), fed)
}

fn dead_lettered(counts: &Counts) -> Vec<(&str, &str, u64)> {
    counts.dead_lettered.iter().map(|((account, reason), number)| (&**account, *reason, *number)).collect()
}

#[tokio::test]
async fn a_line_over_the_limit_becomes_a_dead_letter_without_its_body_and_the_others_go_on() {
    let input = format!("{{\"type\":\"track\"}}\n{}\n\n{{\"type\":\"track\"}}\n", "x".repeat(100 * LIMIT));
    let store = MemoryStore::default();
    let (counts, fed) = feed(io::Cursor::new(input), store.clone()).await;
    fed.unwrap();
    assert_eq!((counts.read, counts.delivered["acme"], counts.unsettled()), (3, 2, 0));
    assert_eq!(dead_lettered(&counts), [("_unrouted", "too_large", 1)]);
    let letters = store.letters.lock().unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].body.is_empty());
    assert!(letters[0].headers["freshet-detail"].as_str().unwrap().contains("line 2 is too long"));
    assert_eq!(letters[0].routing_key, "_unrouted.too_large");
}

#[tokio::test]
async fn an_event_whose_letter_is_not_synced_is_not_settled() {
    let input = "{\"type\":\"page\"}\n{\"type\":\"track\"}\n";
    let (counts, fed) = feed(input.as_bytes(), MemoryStore::default()).await;
    fed.unwrap();
    assert_eq!((counts.read, counts.unsettled()), (2, 0));
    assert_eq!(dead_lettered(&counts), [("acme", "invalid_event", 1)]);

    let input = "{\"type\":\"page\"}\n{\"type\":\"page\"}\n{\"type\":\"page\"}\n";
    let (counts, fed) = feed(input.as_bytes(), MemoryStore { fails: true, ..MemoryStore::default() }).await;
    assert!(matches!(fed, Err(FeedError::LetterNotWritten(_))), "{fed:?}");
    assert_eq!(dead_lettered(&counts), []);
    assert_eq!((counts.settled(), counts.unsettled()), (0, counts.read));
}

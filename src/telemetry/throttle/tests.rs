use std::io::Write;

use tracing::subscriber::with_default;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, fmt};

use super::super::repeats::{INTERVAL, WRITTEN};
use super::*;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Written {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    fn count(&self, part: &str) -> u64 {
        self.lines().iter().filter(|line| line.contains(part)).count() as u64
    }
}

/// What is written while `log` logs.
fn written(throttle: &Throttle, log: impl FnOnce()) -> Written {
    let written = Written::default();
    let lines = fmt::layer().with_ansi(false).without_time().with_writer(written.clone());
    with_default(Registry::default().with(throttle.clone()).with(lines), log);
    written
}

fn dead_lettered(account: &str, reason: &str, id: u64) {
    tracing::warn!(account, reason, event.message_id = id, "event dead-lettered");
}

#[tokio::test(start_paused = true)]
async fn of_a_million_like_lines_a_few_are_written_and_the_others_counted() {
    let throttle = Throttle::default();
    let written = written(&throttle, || {
        for id in 0..1_000_000 {
            dead_lettered("acme", "invalid_field", id);
        }
        dead_lettered("acme", "missing_email", 1);
        dead_lettered("globex", "invalid_field", 1);
        assert_eq!(throttle.repeats().kinds(), 3);
        throttle.report_all();
    });
    let lines = written.lines();
    assert_eq!(written.count("event.message_id"), WRITTEN + 2, "{lines:#?}");
    let last = lines.last().unwrap();
    assert_eq!(lines.len() as u64, WRITTEN + 3, "{lines:#?}");
    for part in ["WARN", "lines like this were held back", "event dead-lettered", "acme", "invalid_field"] {
        assert!(last.contains(part), "{last}");
    }
    assert!(last.contains(&format!("log.held_back={}", 1_000_000 - WRITTEN)), "{last}");
}

#[tokio::test(start_paused = true)]
async fn the_count_is_told_when_the_interval_is_over_and_then_lines_are_written_again() {
    let throttle = Throttle::default();
    let start = Instant::now();
    let written = written(&throttle, || {
        for id in 0..WRITTEN + 7 {
            dead_lettered("acme", "rejected", id);
        }
        assert_eq!(throttle.repeats().take_due(start + INTERVAL - TICK), []);
        throttle.repeats().take_due(start + INTERVAL).iter().for_each(report);
        assert_eq!(throttle.repeats().kinds(), 0, "a kind is forgotten, so that memory is bounded");
        dead_lettered("acme", "rejected", 99);
        throttle.repeats().take_due(start + INTERVAL * 3).iter().for_each(report);
    });
    assert_eq!(written.count("event.message_id"), WRITTEN + 1);
    assert_eq!(written.count("log.held_back=7"), 1, "{:#?}", written.lines());
    assert_eq!(written.count("held back"), 1, "nothing is told where nothing was held back");
}

#[tokio::test(start_paused = true)]
async fn held_back_lines_are_told_though_no_other_line_comes() {
    let throttle = Throttle::default();
    let output = Written::default();
    let lines = fmt::layer().with_ansi(false).without_time().with_writer(output.clone());
    let _logging = tracing::subscriber::set_default(Registry::default().with(throttle.clone()).with(lines));
    for id in 0..100 {
        dead_lettered("acme", "rejected", id);
    }
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(throttle.report_in_time());
    tokio::time::sleep(INTERVAL + TICK * 2).await;
    assert_eq!(output.count("log.held_back=95"), 1, "{:#?}", output.lines());
}

#[test]
fn lines_for_finding_a_cause_are_all_written() {
    let written = written(&Throttle::default(), || {
        for id in 0..100 {
            tracing::debug!(id, "event skipped");
        }
    });
    assert_eq!(written.count("event skipped"), 100);
}

#[test]
fn kinds_without_end_take_bounded_memory_and_each_line_is_counted() {
    const LINES: u64 = 20_000;
    let throttle = Throttle::default();
    let written = written(&throttle, || {
        for id in 0..LINES {
            dead_lettered(&format!("account-{id}"), "rejected", id);
        }
        assert!(throttle.repeats().kinds() < 5000);
        throttle.report_all();
    });
    let told = written.lines().into_iter().filter(|line| line.contains("held back"));
    let number = |line: String| -> u64 {
        line.split("log.held_back=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    let told: u64 = told.map(number).sum();
    assert_eq!(told + written.count("event.message_id"), LINES);
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_does_is_always_told() {
    let written = written(&Throttle::default(), || {
        for round in 0..100 {
            tracing::info!(target: "freshet::cli::reload", round, "the configuration was read again");
            tracing::info!(target: "freshet::broker::dead_letter_queue::orders", round, "dead letters replayed");
            tracing::info!(target: "freshet::broker::router", round, "a message");
        }
    });
    assert_eq!(written.count("read again"), 100);
    assert_eq!(written.count("replayed"), 100);
    assert!(written.count("a message") < 100);
}

use std::sync::{Arc, Mutex};

use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// Formats events in place of a subscriber.
fn line(format: &PeopleFormat, width: Option<usize>, log: impl FnOnce()) -> String {
    struct Kept(Arc<Mutex<Vec<(Level, String, LineTexts)>>>);
    impl<S: Subscriber> tracing_subscriber::Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            let mut texts = LineTexts::default();
            event.record(&mut texts);
            let metadata = event.metadata();
            self.0.lock().unwrap().push((*metadata.level(), metadata.target().to_owned(), texts));
        }
    }
    let kept = Arc::default();
    let layer = Kept(Arc::clone(&kept));
    tracing::subscriber::with_default(tracing_subscriber::Registry::default().with(layer), log);
    let now: Timestamp = "2026-11-26T06:51:45.1234Z".parse().unwrap();
    let kept = kept.lock().unwrap();
    let lines: Vec<_> =
        kept.iter().map(|(level, target, texts)| format.line(now, width, *level, target, texts)).collect();
    lines.join("\n")
}

const FILE: PeopleFormat = PeopleFormat { terminal: false, colour: false };
const TERMINAL: PeopleFormat = PeopleFormat { terminal: true, colour: false };

fn dead_lettered(trace_id: Option<&str>, traits: &str) {
    tracing::warn!(
        trace_id,
        traits,
        event.message_id = "m-1",
        event.type = "identify",
        http.status = 400,
        reason = "invalid_custom_field",
        account = "acme",
        "event dead-lettered"
    );
}

fn some_lines() {
    tracing::info!(http.listen = %"127.0.0.1:9464", "metrics, health and status page");
    dead_lettered(Some("4bf92f3577b34da6a3ce929d0e0e4736"), "cfPlan,cfSize");
    tracing::warn!(
        why = "the key is refused: HTTP 401",
        account = "acme",
        lane.state = "unauthorized",
        "lane changed"
    );
    tracing::error!(
        error = "line\nbreak \u{1b}[31m\u{202e} \"quoted\"",
        empty = "",
        "a\nmessage\u{1b}[0m, \"so\" it's"
    );
    tracing::debug!(n = 5, "event skipped");
}

#[test]
fn lines_in_a_file() {
    insta::assert_snapshot!(line(&FILE, None, some_lines));
}

#[test]
fn lines_on_a_terminal() {
    insta::assert_snapshot!(line(&TERMINAL, Some(100), some_lines));
}

#[test]
fn coloured_lines() {
    let format = PeopleFormat { terminal: true, colour: true };
    let coloured = line(&format, Some(100), some_lines);
    insta::assert_snapshot!(coloured.replace('\u{1b}', "␛"));
}

#[test]
fn a_line_fits_the_terminal_and_is_whole_elsewhere() {
    let long = "cfAlternateNumber,".repeat(30);
    for width in 60..200 {
        let shown = line(&TERMINAL, Some(width), || dead_lettered(Some(&long), &long));
        assert!(shown.chars().count() <= width, "{width}: {shown}");
        assert!(shown.contains("event dead-lettered account=acme ") && shown.contains(ELLIPSIS), "{shown}");
    }
    let shown =
        line(&TERMINAL, Some(120), || tracing::warn!(account = "acme", traits = long, why = long, "m"));
    assert!(shown.chars().count() > 110 && shown.matches(ELLIPSIS).count() == 2, "the room is used: {shown}");
    for (format, width) in [(&FILE, None), (&TERMINAL, None)] {
        assert!(line(format, width, || tracing::warn!(traits = long, "m")).contains(&long));
    }
    assert!(line(&TERMINAL, Some(5), || dead_lettered(None, &long)).ends_with("event dead-lettered …"));
}

#[test]
fn no_value_breaks_its_line_or_pretends_to_be_another_field() {
    for value in [
        "a\nb",
        "a\r\nb",
        "\u{2028}",
        "a b",
        "a reason=other",
        "x=y",
        "\"",
        "\u{1b}[2K",
        "\u{0}",
        "é\u{200b}",
    ] {
        let shown = line(&FILE, None, || tracing::warn!(value, "m"));
        assert_eq!(shown.lines().count(), 1, "{shown}");
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert!(shown.ends_with(&format!("value={value:?}")), "{shown}");
    }
}

#[test]
fn half_an_address_does_not_come_through_a_cut() {
    for width in 20..120 {
        let shown = line(&TERMINAL, Some(width), || {
            tracing::warn!(id = "ada.lovelace.of.the.long.name@example.com and more", "m");
        });
        assert!(!shown.contains("ada"), "{shown}");
    }
}

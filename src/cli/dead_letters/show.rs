//! `dead-letters show`: everything that a letter says.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::config_file::ConfigFile;
use crate::cli::letters::command::{LetterCommand, failure, nothing_matched};
use crate::cli::letters::told;
use crate::cli::terminal::output::{Failure, print, print_error};
use crate::cli::terminal::table::printable;
use crate::config::SecretsNeeded;
use crate::dead_letter::{Letter, LetterFilter, ListedLetter};
use crate::delivery::UNROUTED;

/// Letters with the same id that are shown.
const MOST_SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShowArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// As a list shows it: the event's messageId, or the first 12 digits of the body's SHA-256
    id: String,
    /// The body, too, which may hold personal data
    #[arg(long)]
    body: bool,
    /// For programs: one JSON object a line; with --body the event alone, ready to be edited and published
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: ShowArguments) -> Result<(), Failure> {
    let ShowArguments { config, id, body, json } = arguments;
    let command = LetterCommand::open(config.load(SecretsNeeded::Broker)?)?;
    let filter = LetterFilter { message_id: Some(id), ..LetterFilter::default() };
    let selection = filter.selection(Timestamp::now());
    let (mut text, mut found) = (Vec::new(), 0);
    let looked = command
        .queue
        .look(&command.who, &command.stop, |listed, letter| {
            if selection.holds(listed) {
                found += 1;
                if found <= MOST_SHOWN {
                    match (json, body) {
                        (true, true) => text.extend(event_line(letter)),
                        (true, false) => text.extend(format!("{}\n", object(listed, letter)).into_bytes()),
                        (false, _) => text.extend(told_letter(listed, letter, body).into_bytes()),
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })
        .await
        .map_err(failure)?;
    if found == 0 {
        return Err(nothing_matched(&command.queue.name()));
    }
    print(text)?;
    if found > MOST_SHOWN {
        print_error(&format!("{found} letters have this id; the first {MOST_SHOWN} are shown"));
    }
    command.whole(looked)
}

/// The body on a line of its own, as it is where it is one line.
fn event_line(letter: &Letter) -> Vec<u8> {
    let mut line = match serde_json::from_slice::<Value>(&letter.body) {
        Ok(event) if letter.body.contains(&b'\n') => event.to_string().into_bytes(),
        Ok(_) | Err(_) => letter.body.to_vec(),
    };
    line.push(b'\n');
    line
}

fn object(listed: &ListedLetter, letter: &Letter) -> Value {
    let mut object = json!(listed);
    if let Value::Object(object) = &mut object {
        object.insert("headers".to_owned(), letter.headers.clone().into());
        object.insert("properties".to_owned(), letter.properties.clone().into());
        object.insert("routing_key".to_owned(), letter.routing_key.clone().into());
    }
    object
}

fn told_letter(listed: &ListedLetter, letter: &Letter, body: bool) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let written = writeln!(text, "{name:<14}{}", printable(&value.to_string()));
        debug_assert!(written.is_ok(), "a string takes everything");
    };
    line("id", &listed.id);
    line("account", &listed.account.as_deref().unwrap_or(UNROUTED));
    line("reason", &listed.reason.as_deref().unwrap_or("- (neither Freshet nor RabbitMQ dead-lettered it)"));
    line("type", &listed.event_type.as_deref().unwrap_or("-"));
    line("message id", &listed.message_id.as_deref().unwrap_or("-"));
    match listed.failed_at {
        Some(time) => {
            let ago = told::when(Some(time), Timestamp::now());
            line("failed", &if ago.ends_with("ago") { format!("{time} ({ago})") } else { time.to_string() });
        }
        None => line("failed", &"-"),
    }
    line("calls made", &listed.attempts);
    if let Some(status) = listed.http_status {
        line("HTTP status", &status);
    }
    line(
        "replayed",
        &match listed.replays {
            0 => "never".to_owned(),
            1 => "once".to_owned(),
            often => format!("{often} times"),
        },
    );
    line(
        "body",
        &format!("{} bytes{}", told::count(listed.bytes as u64), if body { "" } else { "; --body shows it" }),
    );
    for problem in &listed.problems {
        line("problem", &told::problem(problem));
    }
    let mut table = |name: &str, values: &serde_json::Map<String, Value>| {
        text.push_str(name);
        text.push('\n');
        for (name, value) in values.iter().filter(|(name, _)| !name.starts_with("freshet-detail")) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let written = writeln!(text, "  {} = {}", printable(name), printable(&value));
            debug_assert!(written.is_ok(), "a string takes everything");
        }
    };
    table("headers", &letter.headers);
    table("properties", &letter.properties);
    if body {
        text.push_str("body\n");
        text.push_str(&String::from_utf8_lossy(&letter.body));
        text.push('\n');
    }
    text.push('\n');
    text
}

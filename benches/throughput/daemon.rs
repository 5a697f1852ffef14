//! The daemon as a process of its own, as users run it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::support::Freshet;

/// What the configuration names.
const ENVIRONMENT: [(&str, &str); 1] = [("BENCH_KEY", "key")];

/// What stands in the configuration.
pub fn configuration(url: &str, queue: &str, prefetch: Option<u16>, accounts: &[SocketAddr]) -> String {
    let prefetch = prefetch.map_or_else(String::new, |prefetch| format!("prefetch = {prefetch}\n"));
    let mut text = format!(
        "[broker]\nurl = \"{url}\"\nqueue = \"{queue}\"\nreplica = \"one\"\n{prefetch}\
         [http]\nlisten = \"127.0.0.1:0\"\n"
    );
    for (number, address) in accounts.iter().enumerate() {
        write!(
            text,
            "[[accounts]]\nname = \"a{number}\"\nurl = \"http://{address}\"\nwrite_keys = [\"key-{number}\"]\n\
             api_key = {{ env = \"BENCH_KEY\" }}\napp_token = {{ env = \"BENCH_KEY\" }}\n\
             requests_per_hour = 10000000\ntracking_requests_per_minute = 100000\n"
        )
        .expect("text");
    }
    text
}

/// Starts this build's daemon, or another.
pub fn start(program: Option<&PathBuf>, configuration: &str) -> Freshet {
    match program {
        None => Freshet::start(configuration, &ENVIRONMENT),
        Some(program) => {
            let script = format!("exec '{}' run", program.display());
            Freshet::start_script(&script, configuration, &ENVIRONMENT)
        }
    }
}

/// Events that its lanes got so far, and those that were delivered or skipped.
pub async fn came_and_ended(freshet: &Freshet) -> (usize, usize) {
    let Ok((200, text)) = freshet.try_get("/metrics").await else { return (0, 0) };
    let sum = |name: &str| {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as usize
    };
    let dead = sum("freshet_events_dead_lettered_total{");
    assert_eq!(dead, 0, "dead letters:\n{}", freshet.log());
    let ended = sum("freshet_events_delivered_total{") + sum("freshet_events_skipped_total{");
    (sum("freshet_events_received_total{"), ended)
}

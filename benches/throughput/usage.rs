//! What a process used so far, as Linux tells it.

use std::time::Duration;

/// Linux counts in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// Time of all its threads on a processor.
pub fn processor_time(process: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a running process");
    // Its name comes in parentheses before, and may hold anything.
    let fields = text.rsplit_once(')').expect("a name").1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().expect("ticks"));
    TICK * ticks.sum::<u32>()
}

/// The most memory that it had in use.
pub fn peak_mib(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().expect("KiB") / 1024.0
}

/// What one run of a contestant came to, from the moment when it had its first event.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub events_per_second: f64,
    pub processor_us: f64,
    pub peak_mib: f64,
    pub calls_per_event: f64,
}

/// Measures from the first event on, because nobody waits for a start.
pub struct Stopwatch {
    process: u32,
    events: usize,
    begun: Option<(tokio::time::Instant, Duration)>,
}

impl Stopwatch {
    pub fn new(process: u32, events: usize) -> Self {
        Self { process, events, begun: None }
    }

    pub fn begun(&self) -> bool {
        self.begun.is_some()
    }

    /// So many have come, and so many have ended; the sample once those are all.
    pub fn look(&mut self, came: usize, ended: usize) -> Option<Sample> {
        let now = tokio::time::Instant::now();
        if self.begun.is_none() && came > 0 {
            self.begun = Some((now, processor_time(self.process)));
        }
        let (began, used) = self.begun.filter(|_| ended >= self.events)?;
        let measured = ended as f64;
        Some(Sample {
            events_per_second: measured / (now - began).as_secs_f64().max(1e-6),
            processor_us: processor_time(self.process).saturating_sub(used).as_secs_f64() * 1e6 / measured,
            peak_mib: peak_mib(self.process),
            calls_per_event: 0.0,
        })
    }
}

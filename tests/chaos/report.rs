//! The report of a run, as rows of Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::fault::Kind;
use crate::pauses::Pauses;
use crate::staging::Toll;
use crate::verdict::Verdict;

/// Collected while the run goes on.
#[derive(Debug, Default)]
pub struct Report {
    recoveries: BTreeMap<Kind, Vec<Duration>>,
    besides: BTreeMap<Kind, usize>,
    pub sessions_lost: usize,
    /// Of the other accounts, by what befell one.
    pauses: BTreeMap<Kind, Vec<Pauses>>,
    /// Of all accounts, while nothing befell any.
    without_faults: Option<Pauses>,
}

impl Report {
    /// The first fault of a step is the one that its recovery is counted for.
    pub fn note(&mut self, kinds: impl IntoIterator<Item = Kind>, toll: &Toll) {
        let mut kinds = kinds.into_iter();
        if let Some(first) = kinds.next() {
            self.recoveries.entry(first).or_default().push(toll.recovery);
            if let Some(pauses) = toll.pauses {
                self.pauses.entry(first).or_default().push(pauses);
            }
        } else {
            self.without_faults = toll.pauses;
        }
        for kind in kinds {
            *self.besides.entry(kind).or_default() += 1;
        }
        self.sessions_lost += toll.sessions_lost;
    }

    pub fn faults(&self) -> usize {
        self.recoveries.values().map(Vec::len).sum::<usize>() + self.besides.values().sum::<usize>()
    }

    /// Pauses that were too long: beyond what busy accounts pause without any fault.
    pub fn too_long(&self) -> Vec<(Kind, Pauses)> {
        let usual = self.without_faults.map_or(0.0, |pauses| pauses.net());
        let all = self.pauses.iter().flat_map(|(kind, pauses)| pauses.iter().map(|pauses| (*kind, *pauses)));
        all.filter(|(kind, pauses)| pauses.net() > usual + kind.pause()).collect()
    }

    /// One row for the run, and one for each kind of fault.
    pub fn markdown(
        &self,
        seed: u64,
        events: usize,
        bound: usize,
        took: Duration,
        verdict: &Verdict,
    ) -> String {
        let share = |part: usize, whole: usize| 100.0 * number(part) / number(whole.max(1));
        let mut text = format!(
            "\n| seed | events | faults | lost | reordered | unexpected | activities | repeated | bound | dead letters | repeated | minutes |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|\n\
             | {seed} | {events} | {} | {} | {} | {} | {} | {} ({:.2} %) | {bound} | {} | {} ({:.2} %) | {:.1} |\n\n",
            self.faults(),
            verdict.lost.len(),
            verdict.reordered.len(),
            verdict.unexpected.len(),
            verdict.activities,
            verdict.repeated,
            share(verdict.repeated, verdict.activities),
            verdict.letters,
            verdict.repeated_letters,
            share(verdict.repeated_letters, verdict.letters),
            took.as_secs_f64() / 60.0,
        );
        writeln!(
            text,
            "| contacts compared | companies | links | links lost | deals |\n|---|---|---|---|---|\n\
             | {} | {} | {} | {} | {} |\n",
            verdict.contacts, verdict.companies, verdict.links, verdict.lost_links, verdict.deals,
        )
        .unwrap();
        text += "| fault | times | besides another | median recovery | worst |\n|---|---|---|---|---|\n";
        for kind in Kind::ALL {
            let mut recoveries = self.recoveries.get(&kind).cloned().unwrap_or_default();
            let besides = self.besides.get(&kind).copied().unwrap_or_default();
            if recoveries.is_empty() && besides == 0 {
                continue;
            }
            recoveries.sort();
            let shown = |duration: Option<&Duration>| {
                duration.map_or_else(|| "-".to_owned(), |duration| format!("{:.1} s", duration.as_secs_f64()))
            };
            let (median, worst) = (recoveries.get(recoveries.len() / 2), recoveries.last());
            writeln!(
                text,
                "| {} | {} | {besides} | {} | {} |",
                kind.as_str(),
                recoveries.len(),
                shown(median),
                shown(worst)
            )
            .unwrap();
        }
        if !self.pauses.is_empty() {
            text += "\n| what befalls one account | times | the others pause at most | a bystander | less that |\n|---|---|---|---|---|\n";
        }
        if let Some(pauses) = self.without_faults {
            writeln!(text, "| nothing | 1 | {pauses} |").unwrap();
        }
        for (kind, pauses) in &self.pauses {
            let worst = pauses.iter().max_by(|one, other| one.net().total_cmp(&other.net())).unwrap();
            writeln!(text, "| {} | {} | {worst} |", kind.as_str(), pauses.len()).unwrap();
        }
        text
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

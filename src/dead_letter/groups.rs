//! Dead letters counted by account, reason and what is concerned. Senders choose what traits are called, so the number of
//! groups is bounded. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::listed::ListedLetter;
use super::shortened;
use crate::outcome::Problem;

/// The most groups that are told apart; the letters of all others are counted together.
const MOST_GROUPS: usize = 1000;
/// The most characters of a trait's name.
const LONGEST_TRAIT: usize = 120;
/// The most characters of each text of an example.
const LONGEST_EXAMPLE_TEXT: usize = 300;

/// Letters with the same account, reason and trait. The keys are a promise to programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LetterGroup {
    /// None where it is not known.
    pub account: Option<String>,
    /// None for messages that neither Freshet nor RabbitMQ dead-lettered.
    pub reason: Option<String>,
    /// The trait that the first problem names, else its field.
    #[serde(rename = "trait")]
    pub trait_path: Option<String>,
    /// It is the beginning of a longer name, and stands for all names that begin so.
    #[serde(skip)]
    pub trait_cut: bool,
    /// How many.
    pub letters: u64,
    /// When the first one failed.
    pub first: Option<Timestamp>,
    /// When the last one failed.
    pub last: Option<Timestamp>,
    /// The first problem of the first letter.
    #[serde(skip)]
    pub example: Option<Problem>,
    /// It stands for all groups beyond the most that are told apart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub others: bool,
}

/// Account, reason and trait.
type GroupKey = (Option<String>, Option<String>, Option<String>);

/// Groups that grow while letters are read.
#[derive(Debug, Default)]
pub struct LetterGroups {
    groups: HashMap<GroupKey, LetterGroup>,
    others: LetterGroup,
}

impl LetterGroups {
    /// Counts a letter.
    pub fn add(&mut self, letter: &ListedLetter) {
        let cut = |text: &str| text.chars().take(LONGEST_TRAIT).collect::<String>();
        let whole = letter.first_trait();
        let trait_cut = whole.is_some_and(|name| name.chars().nth(LONGEST_TRAIT).is_some());
        let key = (letter.account.clone(), letter.reason.clone(), whole.map(cut));
        let room = self.groups.len() < MOST_GROUPS;
        let group = match self.groups.get_mut(&key) {
            Some(group) => group,
            None if room => {
                let (account, reason, trait_path) = key.clone();
                let example = letter.problems.first().map(|problem| shortened(problem, LONGEST_EXAMPLE_TEXT));
                let group =
                    LetterGroup { account, reason, trait_path, trait_cut, example, ..LetterGroup::default() };
                self.groups.entry(key).or_insert(group)
            }
            None => &mut self.others,
        };
        group.letters += 1;
        // A whole name of just that length may share the group.
        group.trait_cut |= trait_cut && group.trait_path.is_some();
        if let Some(failed_at) = letter.failed_at {
            group.first = Some(group.first.map_or(failed_at, |first| first.min(failed_at)));
            group.last = Some(group.last.map_or(failed_at, |last| last.max(failed_at)));
        }
    }

    /// The groups, the largest first, and then all others together.
    pub fn into_sorted(self) -> Vec<LetterGroup> {
        let mut groups: Vec<LetterGroup> = self.groups.into_values().collect();
        groups.sort_by(|one, other| {
            let key =
                |group: &LetterGroup| (group.account.clone(), group.reason.clone(), group.trait_path.clone());
            other.letters.cmp(&one.letters).then_with(|| key(one).cmp(&key(other)))
        });
        if self.others.letters > 0 {
            groups.push(LetterGroup { others: true, ..self.others });
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::Letter;
    use crate::segment::Opener;

    fn letter(trait_path: &str, second: i64) -> ListedLetter {
        let mut letter = ListedLetter::of(&Letter::default(), &Opener::default());
        letter.account = Some("acme".into());
        letter.failed_at = Some(Timestamp::from_second(second).unwrap());
        letter.problems = vec![Problem { trait_path: Some(trait_path.into()), ..Problem::default() }];
        letter
    }

    #[test]
    fn the_largest_group_comes_first_with_its_first_and_last_time() {
        let mut groups = LetterGroups::default();
        for (name, second) in [("a", 5), ("b", 9), ("b", 7), ("c", 1)] {
            groups.add(&letter(name, second));
        }
        let sorted = groups.into_sorted();
        let shown: Vec<_> = sorted
            .iter()
            .map(|group| {
                (
                    group.trait_path.as_deref().unwrap(),
                    group.letters,
                    group.first.unwrap().as_second(),
                    group.last.unwrap().as_second(),
                )
            })
            .collect();
        assert_eq!(shown, [("b", 2, 7, 9), ("a", 1, 5, 5), ("c", 1, 1, 1)]);
    }

    #[test]
    fn a_name_that_was_cut_is_known_as_such() {
        for (length, cut) in [(LONGEST_TRAIT, false), (LONGEST_TRAIT + 1, true)] {
            let mut groups = LetterGroups::default();
            // Characters, not bytes.
            groups.add(&letter(&"é".repeat(length), 1));
            let sorted = groups.into_sorted();
            assert_eq!((sorted[0].trait_cut, sorted.len()), (cut, 1), "{length}");
        }
    }

    #[test]
    fn a_sender_that_makes_up_traits_fills_one_group_and_no_more_memory() {
        let mut groups = LetterGroups::default();
        for number in 0..MOST_GROUPS {
            groups.add(&letter(&format!("{number}{}", "x".repeat(100_000)), 1));
        }
        let letters: Vec<ListedLetter> =
            (0..500).map(|number| letter(&format!("more {number}"), 1)).collect();
        let memory = allocation_counter::measure(|| letters.iter().for_each(|letter| groups.add(letter)));
        assert!(memory.bytes_current <= 1024, "{memory:?}");
        let sorted = groups.into_sorted();
        assert_eq!(sorted.len(), MOST_GROUPS + 1);
        let others = sorted.last().unwrap();
        assert!(others.others && others.letters == 500 && others.trait_path.is_none());
        let longest = sorted.iter().filter_map(|group| group.trait_path.as_ref()).map(String::len).max();
        assert_eq!(longest, Some(LONGEST_TRAIT));
    }
}

//! When a call is sent, in words: what was answered to the questions before it.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// One answer to one question: "the contact has a deal of this name".
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// When it was asked on the way: conditions are told in this order. It does not distinguish them.
    pub(super) place: (usize, usize),
    pub(super) question: String,
    pub(super) answers: usize,
    pub(super) text: String,
    pub(super) is_refusal: bool,
    /// The question whose answer goes without saying beside this one.
    pub(super) implies: Option<String>,
}

impl Condition {
    fn parts(&self) -> (&str, &str) {
        (&self.question, &self.text)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Condition {}

impl PartialOrd for Condition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Condition {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

/// Adds a condition. The last answer to a question that was asked before counts.
pub(super) fn add(together: &mut Together, condition: Condition) {
    together.retain(|known| known.question != condition.question);
    together.insert(condition);
}

/// Conditions that hold together.
pub(super) type Together = BTreeSet<Condition>;

/// Ways in which a call comes to be sent; one of them is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ways(Vec<Together>);

impl Ways {
    pub(super) fn always() -> Self {
        Self(vec![Together::new()])
    }

    pub(super) fn add(&mut self, way: Together) {
        if !self.0.contains(&way) {
            self.0.push(way);
        }
    }

    /// Each of these, and then this.
    pub(super) fn and(&self, then: &Together) -> Self {
        let followed = |way: &Together| {
            let mut all = way.clone();
            for condition in then {
                add(&mut all, condition.clone());
            }
            all
        };
        Self(self.0.iter().map(followed).collect())
    }

    /// Whether every way leads over a refusal.
    pub(super) fn need_refusal(&self) -> bool {
        self.0.iter().all(|way| way.iter().any(|condition| condition.is_refusal))
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Together> {
        self.0.iter()
    }

    pub(super) fn extend(&mut self, other: Self) {
        for way in other.0 {
            self.add(way);
        }
    }

    /// Without ways that others include, and without questions whose answer does not matter.
    pub(super) fn simplified(mut self) -> Self {
        loop {
            let all = self.0.clone();
            self.0.retain(|way| !all.iter().any(|other| other != way && other.is_subset(way)));
            let Some(merged) = self.0.iter().find_map(|way| self.without_idle_question(way)) else {
                return self;
            };
            self.add(merged);
        }
    }

    /// The way without one of its conditions, if all other answers to that question lead to the same.
    fn without_idle_question(&self, way: &Together) -> Option<Together> {
        way.iter().find_map(|condition| {
            let mut rest = way.clone();
            rest.remove(condition);
            let leads = |other: &&Together| {
                let answer = other.iter().find(|answer| answer.question == condition.question);
                answer.is_some_and(|answer| {
                    let mut other = (*other).clone();
                    other.remove(answer);
                    other == rest
                })
            };
            (self.0.iter().filter(leads).count() >= condition.answers && !self.0.contains(&rest))
                .then_some(rest)
        })
    }

    /// In words, the shortest way first; `None` if the call is always sent.
    pub(super) fn words(&self) -> Option<String> {
        let mut ways: Vec<&Together> = self.0.iter().collect();
        ways.sort_by_key(|way| way.len());
        if ways.iter().any(|way| way.is_empty()) {
            return None;
        }
        let mut texts: Vec<String> = ways.into_iter().map(together).collect();
        let mut told = BTreeSet::new();
        texts.retain(|text| told.insert(text.clone()));
        texts.truncate(2);
        Some(texts.join("; or "))
    }
}

fn together(way: &Together) -> String {
    let mut in_order: Vec<&Condition> = way.iter().collect();
    in_order.sort_by_key(|condition| condition.place);
    let said: Vec<&str> = way.iter().filter_map(|condition| condition.implies.as_deref()).collect();
    in_order.retain(|condition| !said.contains(&condition.question.as_str()));
    let mut texts: Vec<&str> = Vec::new();
    for condition in in_order {
        match texts.contains(&condition.text.as_str()) {
            false => texts.push(&condition.text),
            true if condition.is_refusal => texts.push("Freshsales refuses it again"),
            true => {}
        }
    }
    match texts.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(answers: &[(&str, &str)]) -> Together {
        let condition = |(place, (question, text)): (usize, &(&str, &str))| Condition {
            place: (place, 0),
            question: (*question).to_owned(),
            answers: 2,
            text: (*text).to_owned(),
            is_refusal: question.contains("refused"),
            implies: (*question == "address").then(|| "found".to_owned()),
        };
        answers.iter().enumerate().map(condition).collect()
    }

    fn words(ways: &[Together]) -> Option<String> {
        let mut all = Ways::default();
        for way in ways {
            all.add(way.clone());
        }
        all.simplified().words()
    }

    #[test]
    fn a_question_whose_answer_does_not_matter_is_not_told() {
        for (ways, expected) in [
            (vec![way(&[])], None),
            (vec![way(&[("deal", "has one")])], Some("has one")),
            (vec![way(&[("deal", "has one")]), way(&[("deal", "has none")])], None),
            (vec![way(&[("deal", "has one")]), way(&[])], None),
            (
                vec![
                    way(&[("a", "a yes"), ("b", "b yes")]),
                    way(&[("a", "a yes"), ("b", "b no")]),
                    way(&[("a", "a no"), ("b", "b no")]),
                ],
                Some("a yes; or a no and b no"),
            ),
            (vec![way(&[("a", "a yes"), ("b", "b yes")])], Some("a yes and b yes")),
            (
                vec![way(&[("found", "found"), ("address", "found without address")])],
                Some("found without address"),
            ),
            (
                vec![
                    way(&[("0 refused", "refuses it"), ("found", "found"), ("3 refused", "refuses it")]),
                    way(&[("0 refused", "refuses it"), ("found", "found"), ("4 refused", "refuses it")]),
                ],
                Some("refuses it, found and Freshsales refuses it again"),
            ),
        ] {
            assert_eq!(words(&ways).as_deref(), expected, "{ways:?}");
        }
    }
}

//! Remembers which letters were counted, so that these and no others are taken out once a person has agreed. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};

use super::header_names::BROKER_COUNTS;
use super::letter::Letter;

/// Letters by a digest of all that RabbitMQ stores of them: some twenty bytes for each. Letters that are the same to the
/// last byte are told apart by their number.
#[derive(Debug, Default)]
pub struct CountedLetters {
    hashing: RandomState,
    left: HashMap<u64, u32>,
}

impl CountedLetters {
    /// Counts a letter.
    pub fn add(&mut self, letter: &Letter) {
        let times = self.left.entry(self.digest(letter)).or_default();
        *times = times.saturating_add(1);
    }

    /// Whether the letter was counted and not taken yet. Takes it.
    pub fn take(&mut self, letter: &Letter) -> bool {
        let digest = self.digest(letter);
        let Some(times) = self.left.get_mut(&digest).filter(|times| **times > 0) else { return false };
        *times -= 1;
        true
    }

    fn digest(&self, letter: &Letter) -> u64 {
        let Letter { headers, properties, routing_key, body } = letter;
        let mut hasher = self.hashing.build_hasher();
        body.hash(&mut hasher);
        routing_key.hash(&mut hasher);
        for (name, value) in headers.iter().filter(|(name, _)| !BROKER_COUNTS.contains(&name.as_str())) {
            (name, value).hash(&mut hasher);
        }
        // Parts of which there may be any number must not run together.
        0_u8.hash(&mut hasher);
        for entry in properties {
            entry.hash(&mut hasher);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn letter(headers: &Value, body: &'static str) -> Letter {
        let headers = headers.as_object().unwrap().clone();
        Letter { headers, routing_key: "acme.rejected".to_owned(), body: body.into(), ..Letter::default() }
    }

    #[test]
    fn a_letter_is_taken_as_often_as_it_was_counted_however_often_it_was_handed_out() {
        let mut counted = CountedLetters::default();
        let seen = |deliveries: i64| letter(&json!({"a": 1, "x-delivery-count": deliveries}), "{}");
        counted.add(&seen(0));
        counted.add(&seen(0));
        assert!(counted.take(&seen(1)) && counted.take(&seen(2)) && !counted.take(&seen(3)));
    }

    #[test]
    fn a_letter_that_differs_in_anything_was_not_counted() {
        let first = letter(&json!({"freshet-replays": 0}), "{}");
        let mut counted = CountedLetters::default();
        counted.add(&first);
        let mut with_id = first.clone();
        with_id.properties.insert("message_id".to_owned(), json!("m-1"));
        for other in [
            letter(&json!({"freshet-replays": 1}), "{}"),
            letter(&json!({"freshet-replays": 0}), "{ }"),
            letter(&json!({}), "{}"),
            Letter { routing_key: "acme.invalid_field".to_owned(), ..first.clone() },
            with_id,
        ] {
            assert!(!counted.take(&other), "{other:?}");
        }
        assert!(counted.take(&first));
    }
}

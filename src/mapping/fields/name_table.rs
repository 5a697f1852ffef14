//! Finds an entity's fields by their folded names. Every trait of every event is looked up, and most name no field, so a
//! look-up that finds nothing must cost next to nothing.

use super::string_arena::{small, wide};

/// Places of fields by the hash of their folded names, as an open table: eight to sixteen bytes a field.
#[derive(Debug)]
pub(super) struct NameTable(Box<[u32]>);

/// Stands in a slot without a place.
const FREE: u32 = u32::MAX;

/// The hash of a folded name. A sender's names are only looked up, so they cannot make the table slow.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameHash(u64);

impl NameHash {
    pub(super) fn of(folded: &str) -> Self {
        Self(0xcbf2_9ce4_8422_2325).with(folded)
    }

    /// The hash of the name with this text behind it.
    pub(super) fn with(self, text: &str) -> Self {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(text.bytes().fold(self.0, hash))
    }
}

/// A folded name, whose hash is made once for all look-ups.
#[derive(Debug, Clone, Copy)]
pub(in crate::mapping) struct FoldedName<'a> {
    pub(in crate::mapping) text: &'a str,
    pub(super) hash: NameHash,
}

impl<'a> FoldedName<'a> {
    pub(in crate::mapping) fn of(folded: &'a str) -> Self {
        Self { text: folded, hash: NameHash::of(folded) }
    }
}

impl NameTable {
    /// `folded` gives the names in the order of their places.
    pub(super) fn new(folded: impl ExactSizeIterator<Item = String>) -> Self {
        let mut table = Self(vec![FREE; (2 * folded.len() + 1).next_power_of_two()].into());
        for (place, name) in folded.enumerate() {
            let free = table.slots(NameHash::of(&name)).find(|slot| table.0.get(*slot) == Some(&FREE));
            if let Some(slot) = free.and_then(|slot| table.0.get_mut(slot)) {
                *slot = small(place);
            }
        }
        table
    }

    /// The places that may have a name of this hash; those of one name in their order.
    pub(super) fn places(&self, hash: NameHash) -> impl Iterator<Item = u32> {
        let slots = self.slots(hash).filter_map(|slot| self.0.get(slot).copied());
        slots.take_while(|place| *place != FREE)
    }

    fn slots(&self, hash: NameHash) -> impl Iterator<Item = usize> + use<> {
        let mask = self.0.len() - 1;
        // The upper half: the lower bits of this hash are the weaker ones.
        let first = wide(u32::try_from(hash.0 >> 32).unwrap_or_default());
        (0..=mask).map(move |step| (first + step) & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_those_of_one_name_in_their_order() {
        let names: Vec<String> = (0..1000).map(|number| format!("name{}", number % 400)).collect();
        let table = NameTable::new(names.iter().cloned());
        for (number, name) in names.iter().enumerate() {
            let found: Vec<usize> = table
                .places(NameHash::of("na").with(&name["na".len()..]))
                .map(wide)
                .filter(|place| names[*place] == *name)
                .collect();
            let expected: Vec<usize> = (0..1000).filter(|place| place % 400 == number % 400).collect();
            assert_eq!(found, expected);
        }
        assert_eq!(NameTable::new(Vec::new().into_iter()).places(NameHash::of("")).count(), 0);
    }
}

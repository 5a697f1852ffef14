//! Many short texts in one allocation; see [`Targets`](super::target::Targets) for why.

/// The texts in the order in which they were added.
#[derive(Debug, Default)]
pub(in crate::mapping) struct StringArena(String);

/// A text of an arena, by its place. Four bytes an index are enough: all texts come from answers of a few MiB.
#[derive(Debug, Clone, Copy)]
pub(in crate::mapping) struct ArenaStr {
    start: u32,
    end: u32,
}

impl StringArena {
    pub(in crate::mapping) fn add(&mut self, text: &str) -> ArenaStr {
        let start = small(self.0.len());
        self.0.push_str(text);
        ArenaStr { start, end: small(self.0.len()) }
    }

    pub(in crate::mapping) fn get(&self, text: ArenaStr) -> &str {
        self.0.get(wide(text.start)..wide(text.end)).unwrap_or_default()
    }

    /// Gives back the spare capacity. Call it after the last [`add`](Self::add).
    pub(in crate::mapping) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// An index as it is stored.
pub(in crate::mapping) fn small(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// A stored index as slices take it.
pub(in crate::mapping) fn wide(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_read_as_it_was_added() {
        let mut arena = StringArena::default();
        let added = ["name", "", "größer", "name"].map(|text| (text, arena.add(text)));
        arena.shrink();
        for (text, place) in added {
            assert_eq!(arena.get(place), text);
        }
    }
}

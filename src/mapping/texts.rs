//! Many short texts in one allocation.

/// Texts, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Texts(String);

/// Where one of them is. Four bytes are enough for each: all come from answers of a few MiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    start: u32,
    end: u32,
}

impl Texts {
    pub(super) fn add(&mut self, text: &str) -> Text {
        let start = place(self.0.len());
        self.0.push_str(text);
        Text { start, end: place(self.0.len()) }
    }

    pub(super) fn get(&self, text: Text) -> &str {
        self.0.get(index(text.start)..index(text.end)).unwrap_or_default()
    }

    /// No more will be added.
    pub(super) fn complete(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// An index in four bytes.
pub(super) fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The index it was made of.
pub(super) fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_read_as_it_was_added() {
        let mut texts = Texts::default();
        let added = ["name", "", "größer", "name"].map(|text| (text, texts.add(text)));
        texts.complete();
        for (text, place) in added {
            assert_eq!(texts.get(place), text);
        }
    }
}

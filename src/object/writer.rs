//! Puts an object together, member by member.

use super::parts::Member;
use super::strings::write_quoted;

/// Writes an object member by member.
#[derive(Debug)]
pub struct ObjectWriter(String);

impl ObjectWriter {
    /// `bytes`: the expected length of the whole text.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    /// Adds a member unchanged.
    pub fn member(&mut self, member: Member<'_>) {
        self.key(member.key);
        self.0.push_str(member.value);
    }

    /// Adds all members of an object that was written here, unchanged.
    pub fn all(&mut self, object: &str) {
        let members = object.strip_prefix('{').and_then(|object| object.strip_suffix('}'));
        if let Some(members) = members.filter(|members| !members.is_empty()) {
            self.separate();
            self.0.push_str(members);
        }
    }

    /// Adds a member whose value is an object.
    pub fn object(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.name(name);
        self.0.push('{');
        write(self);
        self.0.push('}');
    }

    /// Adds a member whose value is JSON text.
    pub fn json(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push_str(value);
    }

    /// Adds a member whose value is a string.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_quoted(&mut self.0, value);
    }

    fn name(&mut self, name: &str) {
        self.separate();
        write_quoted(&mut self.0, name);
        self.0.push(':');
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.0.push_str(key);
        self.0.push(':');
    }

    fn separate(&mut self) {
        // No member ends so.
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
    }

    /// Closes the object.
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::members;

    #[test]
    fn a_written_object_has_the_members_it_was_given() {
        let mut object = ObjectWriter::with_capacity(0);
        object.text("na\"me", "A\u{e9}\n");
        object.json("list", "[1.0]");
        for member in members(r#"{"\u0061":1e400}"#) {
            object.member(member);
        }
        object.all("{}");
        object.all(r#"{"x":1,"y":[]}"#);
        object.object("empty", |_| {});
        object.object("inner", |inner| {
            inner.text("brace", "{");
            inner.json("z", "2");
        });
        assert_eq!(
            object.finish(),
            r#"{"na\"me":"Aé\n","list":[1.0],"\u0061":1e400,"x":1,"y":[],"empty":{},"inner":{"brace":"{","z":2}}"#
        );
        assert_eq!(ObjectWriter::with_capacity(9).finish(), "{}");
    }
}

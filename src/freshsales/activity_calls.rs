//! The calls that report activities: their bodies are the sender's properties, of which only a few are renamed.

use super::call::Call;
use super::endpoint::Endpoint;
use crate::object::{Member, ObjectWriter, members};

/// The `sdk` of every tracking body. The official libraries send their language's name, and unknown names were reported
/// as refused, so this is one of theirs.
const SDK: &str = "ruby";

impl Call {
    /// Reports an event. `properties` is a JSON object. Its `name` (in Segment's specification the product's) would
    /// overwrite the event's, so it is sent as `property_name`, unless there is such a property.
    pub fn track_event(identifier: &str, name: &str, properties: &str) -> Self {
        let size = properties.len() + name.len();
        let (mut renamed, mut taken) = (false, false);
        let call = |add: &mut dyn FnMut(&mut ObjectWriter, Member<'_>)| {
            Self::track(Endpoint::TrackEvent, "/track/events", "event", identifier, size, |inner| {
                inner.text("name", name);
                members(properties).for_each(|member| add(inner, member));
            })
        };
        let both = call(&mut |inner, member| match &*member.name() {
            "name" => {
                renamed = true;
                inner.json("property_name", member.value);
            }
            other => {
                taken |= other == "property_name";
                inner.member(member);
            }
        });
        if !(renamed && taken) {
            return both;
        }
        call(&mut |inner, member| {
            if member.name() != "name" {
                inner.member(member);
            }
        })
    }

    /// Reports a page view. `properties` is a JSON object; `added` replace properties of the same name.
    pub fn track_page_view(
        identifier: &str,
        url: &str,
        properties: &str,
        added: &[(&'static str, String)],
    ) -> Self {
        let size = properties.len() + url.len();
        Self::track(Endpoint::TrackPageView, "/track/page_views", "page_view", identifier, size, |inner| {
            inner.text("url", url);
            for member in members(properties) {
                let name = member.name();
                if name != "url" && added.iter().all(|(added, _)| name != *added) {
                    inner.member(member);
                }
            }
            for (name, value) in added {
                inner.text(name, value);
            }
        })
    }

    /// `size`: the expected length of what `write` adds.
    fn track(
        endpoint: Endpoint,
        path: &'static str,
        wrapper: &str,
        identifier: &str,
        size: usize,
        write: impl FnOnce(&mut ObjectWriter),
    ) -> Self {
        let mut body = ObjectWriter::with_capacity(size + identifier.len() + 160);
        body.text("identifier", identifier);
        body.object(wrapper, write);
        body.text("sdk", SDK);
        Self::with_body(endpoint, path, body.finish())
    }
}

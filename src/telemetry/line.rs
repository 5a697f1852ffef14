//! Masks e-mail addresses in finished log lines and cuts them to 4 KiB. Pure.

use std::borrow::Cow;

use crate::mask::{ESCAPED_AT, is_at};
use crate::object::{ObjectWriter, members};

/// The most bytes of a line, including its line break.
pub(super) const LINE_LIMIT: usize = 4096;

/// Replaces an address.
const MASK: &str = "[e-mail]";

/// Ends a text that was cut.
const CUT: &str = "…";

/// The most bytes of a quoted name or a bracketed host that are recognised; the standard allows 64.
const QUOTED_LENGTH: usize = 70;

/// Masks and cuts a line for people.
pub(super) fn text(line: &str) -> Cow<'_, str> {
    // In such a line `=` separates a field from its value.
    let masked = masked(line, |c| local(c) && c != '=');
    if masked.len() <= LINE_LIMIT {
        return masked;
    }
    let more = |bytes: usize| format!("{CUT} ({bytes} bytes more)\n");
    let kept = start(&masked, LINE_LIMIT - more(masked.len()).len());
    format!("{kept}{}", more(masked.len() - kept.len())).into()
}

/// Masks and cuts a line that is one JSON object, which it stays.
pub(super) fn json(line: &str) -> Cow<'_, str> {
    let quick = line.len() <= LINE_LIMIT && !line.contains(is_at) && !line.contains(ESCAPED_AT);
    if quick {
        return line.into();
    }
    // Cut the longest texts first.
    for longest in [usize::MAX, 2048, 1024, 512, 256, 128, 64, 32] {
        let line = shortened(line, longest, |_| true);
        if line.len() <= LINE_LIMIT {
            return line.into();
        }
    }
    shortened(line, 64, |name| ["timestamp", "level", "message"].contains(&name)).into()
}

/// Masks a value that stands alone.
pub(super) fn masked_value(value: &str) -> Cow<'_, str> {
    masked(value, local)
}

/// Keeps the members whose name `kept` accepts, masks their texts and cuts them to a length.
fn shortened(line: &str, longest: usize, kept: impl Fn(&str) -> bool) -> String {
    let mut object = ObjectWriter::with_capacity(line.len().min(LINE_LIMIT));
    for member in members(line) {
        if !kept(&member.name()) {
            continue;
        }
        match serde_json::from_str::<String>(member.value) {
            Ok(text) => {
                let masked = masked(&text, local);
                let start = start(&masked, longest);
                let end = if start.len() < masked.len() { CUT } else { "" };
                object.text(&member.name(), &format!("{start}{end}"));
            }
            Err(_) if member.value.contains(is_at) || member.value.len() > longest => {
                object.json(&member.name(), "null");
            }
            Err(_) => object.member(member),
        }
    }
    let mut line = object.finish();
    line.push('\n');
    line
}

/// At most `bytes` of a text, cut between characters.
fn start(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// Masks everything that looks like an e-mail address, in one pass.
fn masked(text: &str, local: impl Fn(char) -> bool) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut done = 0;
    let mut from = 0;
    while let Some((at, behind)) = next_at(text, from) {
        from = behind;
        let (Some(before), Some(after)) = (text.get(done..at), text.get(behind..)) else { continue };
        let (name, host) = (name_length(before, &local), host_length(after));
        if name == 0 || host == 0 {
            continue;
        }
        masked.push_str(before.get(..before.len() - name).unwrap_or_default());
        masked.push_str(MASK);
        done = behind + host;
        // The sign may have been part of the name: then another sign and the host follow.
        while let Some((_, behind)) = next_at(text, done).filter(|(at, _)| *at == done)
            && let Some(host) = text.get(behind..).map(host_length).filter(|host| *host > 0)
        {
            done = behind + host;
        }
        from = done;
    }
    if done == 0 {
        return text.into();
    }
    masked.push_str(text.get(done..).unwrap_or_default());
    masked.into()
}

/// The next at sign, as itself or escaped: where it begins and ends.
fn next_at(text: &str, from: usize) -> Option<(usize, usize)> {
    text.get(from..)?.char_indices().find_map(|(at, c)| {
        let at = from + at;
        let escaped = c == '%' && text.get(at..)?.starts_with(ESCAPED_AT);
        let length = if escaped { ESCAPED_AT.len() } else { c.len_utf8() };
        (escaped || is_at(c)).then_some((at, at + length))
    })
}

/// How many bytes before the sign belong to the address.
fn name_length(before: &str, local: impl Fn(char) -> bool) -> usize {
    if let Some(quoted) = before.strip_suffix('"') {
        let from = quoted.ceil_char_boundary(quoted.len().saturating_sub(QUOTED_LENGTH));
        let opened = quoted.get(from..).and_then(|quoted| quoted.rfind('"'));
        return opened.map_or(0, |opened| before.len() - from - opened);
    }
    let mut end = before.len();
    loop {
        let whole = before.get(..end).unwrap_or_default();
        let head = whole.trim_end_matches(&local);
        let name = whole.get(head.len()..).unwrap_or_default();
        // Behind a terminal's escape character, everything up to an `m` sets a colour.
        let coloured = head.ends_with("\u{1b}[");
        let colour = if coloured { name.find('m').map_or(0, |at| at + 1) } else { 0 };
        // Invisible characters that a sender put into an address, escaped or not, do not end it.
        let escaped = (head.ends_with('\\') && name.starts_with("u{")) || head.ends_with("\\u{1b}[");
        let unseen = if escaped {
            1
        } else if coloured && colour == name.len() {
            2
        } else {
            // The letter after a backslash belongs to an escape.
            let escape = usize::from(head.ends_with('\\') && !name.is_empty());
            return before.len() - head.len() - escape.max(colour).min(name.len());
        };
        end = head.len() - unseen;
    }
}

/// How many bytes after the sign belong to the address.
fn host_length(after: &str) -> usize {
    if after.starts_with('[') {
        return start(after, QUOTED_LENGTH).find(']').map_or(0, |end| end + 1);
    }
    let host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || is_non_ascii(c);
    let seen = unescaped(after);
    let length = seen.len() - seen.trim_start_matches(host).len();
    if length == 0 { 0 } else { after.len() - seen.len() + length }
}

/// The text after its leading escapes of invisible characters.
fn unescaped(mut text: &str) -> &str {
    while let Some(rest) = text.strip_prefix("\\u{")
        && let Some((_, behind)) = rest.split_once('}')
    {
        text = behind;
    }
    text
}

/// Whether a character may be in the name of an address.
fn local(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c) || is_non_ascii(c)
}

fn is_non_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && !is_at(c)
}

#[cfg(test)]
mod tests;

//! Reads the fields of a frame, one after another, and replaces what is no UTF-8 in short strings.

use std::collections::BTreeSet;

/// A kind of change that lets the client library read a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker::transport) enum Repair {
    /// Bytes that are no UTF-8 became `?`.
    Text,
    /// Tables or arrays that are nested too deeply became byte arrays.
    Nesting,
    /// Properties that cannot be taken apart became one header.
    Form,
    /// Headers that do not fit the negotiated frame were left out.
    Size,
}

impl Repair {
    fn words(self) -> &'static str {
        match self {
            Self::Text => "bytes that are no UTF-8",
            Self::Nesting => "headers nested too deeply",
            Self::Form => "properties of an unknown form",
            Self::Size => "headers larger than a frame",
        }
    }
}

/// The kinds of change in one frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::broker::transport) struct Repairs(BTreeSet<Repair>);

impl Repairs {
    pub(in crate::broker::transport) fn note(&mut self, change: Repair) {
        self.0.insert(change);
    }

    pub(in crate::broker::transport) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// For the log.
    pub(in crate::broker::transport) fn words(&self) -> String {
        self.0.iter().map(|change| change.words()).collect::<Vec<_>>().join(", ")
    }
}

/// The bytes end before the field does, or mean nothing that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker::transport) struct Malformed;

/// The bytes that are not read yet.
#[derive(Debug)]
pub(in crate::broker::transport) struct FieldReader<B>(B);

impl<'a> FieldReader<&'a [u8]> {
    pub(in crate::broker::transport) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A number of `width` bytes, at most eight.
    pub(in crate::broker::transport) fn number(&mut self, width: usize) -> Option<u64> {
        let (number, rest) = self.0.split_at_checked(width)?;
        self.0 = rest;
        Some(big_endian(number))
    }

    pub(in crate::broker::transport) fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number(1)?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

impl<'a> FieldReader<&'a mut [u8]> {
    pub(in crate::broker::transport) fn of(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    pub(in crate::broker::transport) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::broker::transport) fn take(&mut self, count: usize) -> Result<&'a mut [u8], Malformed> {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(in crate::broker::transport) fn number_of(&mut self, width: usize) -> Result<u64, Malformed> {
        self.take(width).map(|bytes| big_endian(bytes))
    }

    pub(in crate::broker::transport) fn byte(&mut self) -> Result<&'a mut u8, Malformed> {
        self.take(1)?.first_mut().ok_or(Malformed)
    }

    /// A short string's bytes, as UTF-8.
    pub(in crate::broker::transport) fn short_string(
        &mut self,
        changes: &mut Repairs,
    ) -> Result<&'a mut [u8], Malformed> {
        let length = usize::from(*self.byte()?);
        let text = self.take(length)?;
        if make_utf8(text) {
            changes.note(Repair::Text);
        }
        Ok(text)
    }

    /// Bytes that come after their length in four bytes.
    pub(in crate::broker::transport) fn long_string(&mut self) -> Result<&'a mut [u8], Malformed> {
        let length = usize::try_from(big_endian(self.take(4)?)).map_err(|_| Malformed)?;
        self.take(length)
    }
}

/// A number as AMQP writes it.
pub(in crate::broker::transport) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Makes each byte that belongs to no character a `?`. Returns whether there was one.
fn make_utf8(text: &mut [u8]) -> bool {
    if text.is_ascii() {
        return false;
    }
    let mut changed = false;
    let mut from = 0;
    while let Some(rest) = text.get_mut(from..)
        && let Err(error) = std::str::from_utf8(rest)
    {
        let wrong = error.valid_up_to();
        let end = error.error_len().map_or(rest.len(), |length| wrong + length);
        if let Some(bytes) = rest.get_mut(wrong..end) {
            bytes.fill(b'?');
        }
        from += end;
        changed = true;
    }
    changed
}

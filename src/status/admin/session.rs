//! Who has the admin token, or had it a while ago: the token itself, and the cookie that stands for it. Pure.
//!
//! A cookie holds its own end and a code over that, made with the token. So no replica keeps a list of sessions, every
//! replica with the same token takes it, and another token ends all of them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};

/// How long a person is signed in.
pub(super) const SESSION: Duration = Duration::from_hours(8);
/// What is signed, so that a code for one purpose is of no use for the other.
const FOR_SESSION: &str = "freshet session until ";
const FOR_COMPARISON: &[u8] = b"freshet admin token";

/// The admin token, as the key that signs.
#[derive(Debug)]
pub(super) struct AdminKey(hmac::Key);

impl AdminKey {
    pub(super) fn new(token: &SecretString) -> Self {
        Self(key(token.expose_secret()))
    }

    /// Whether this is the token. Takes as long for a wrong one, however much of it is right.
    pub(super) fn is_token(&self, given: &str) -> bool {
        let given = hmac::sign(&key(given), FOR_COMPARISON);
        hmac::verify(&self.0, FOR_COMPARISON, given.as_ref()).is_ok()
    }

    /// The value of a cookie for who signs in now.
    pub(super) fn issue(&self, now: Timestamp) -> String {
        let seconds = i64::try_from(SESSION.as_secs()).unwrap_or(i64::MAX);
        let until = now.as_second().saturating_add(seconds);
        let code = hmac::sign(&self.0, signed(until).as_bytes());
        format!("{until}.{}", URL_SAFE_NO_PAD.encode(code))
    }

    /// Whether the value is one that was issued, and not over.
    pub(super) fn holds(&self, cookie: &str, now: Timestamp) -> bool {
        let Some((until, code)) = cookie.split_once('.') else { return false };
        let (Ok(until), Ok(code)) = (until.parse(), URL_SAFE_NO_PAD.decode(code)) else { return false };
        now.as_second() < until && hmac::verify(&self.0, signed(until).as_bytes(), &code).is_ok()
    }
}

fn key(token: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes())
}

fn signed(until: i64) -> String {
    format!("{FOR_SESSION}{until}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn key_of(token: &str) -> AdminKey {
        AdminKey::new(&token.to_owned().into())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_cookie_holds_for_eight_hours_and_on_every_replica_with_the_same_token() {
        let cookie = key_of(TOKEN).issue(at(1000));
        for (second, holds) in
            [(1000, true), (1000 + 28_799, true), (1000 + 28_800, false), (1_000_000, false)]
        {
            assert_eq!(key_of(TOKEN).holds(&cookie, at(second)), holds, "{second}");
        }
        assert!(!cookie.contains(TOKEN));
    }

    #[test]
    fn a_cookie_that_was_changed_or_made_with_another_token_holds_nothing() {
        let key = key_of(TOKEN);
        let cookie = key.issue(at(1000));
        let (until, code) = cookie.split_once('.').unwrap();
        let other = key_of("another token of thirty-two characters").issue(at(1000));
        let longer = format!("{}.{code}", until.parse::<i64>().unwrap() + 1);
        let mut flipped = code.to_owned().into_bytes();
        flipped[0] = if flipped[0] == b'A' { b'B' } else { b'A' };
        let flipped = format!("{until}.{}", String::from_utf8(flipped).unwrap());
        for forged in [
            other,
            longer,
            flipped,
            format!("{until}."),
            format!("{until}.{}", &code[2..]),
            format!("{until}.{code}00"),
            format!("{until}.{}", &code[1..]),
            format!("+{until}.{code}x"),
            format!("{until}{code}"),
            String::new(),
            ".".to_owned(),
            "9999999999.".to_owned() + &"A".repeat(43),
        ] {
            assert!(!key.holds(&forged, at(1001)), "{forged}");
        }
        assert!(key.holds(&cookie, at(1001)));
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let key = key_of(TOKEN);
        assert!(key.is_token(TOKEN));
        for wrong in ["", " ", &TOKEN[1..], &TOKEN[..31], &format!("{TOKEN} "), &TOKEN.to_uppercase()] {
            assert!(!key.is_token(wrong), "{wrong}");
        }
        // The code of a comparison is no cookie.
        let code = hmac::sign(&super::key(TOKEN), FOR_COMPARISON);
        assert!(!key.holds(&format!("2000.{}", URL_SAFE_NO_PAD.encode(code)), at(1000)));
    }

    #[test]
    fn the_token_is_not_shown_by_what_holds_it() {
        assert!(!format!("{:?}", key_of(TOKEN)).contains(TOKEN));
    }
}

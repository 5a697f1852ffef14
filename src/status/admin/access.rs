//! Whether a request may change something, and how somebody signs in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE, HOST};
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::Instant;

use super::hosts::OwnHosts;
use super::origin::{RequestOrigin, origin};
use super::session::{AdminKey, SESSION};
use super::throttle::FailedAttempts;

const COOKIE_NAME: &str = "freshet_session";
/// Set by proxies that speak TLS with the browser.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Who may do more than look, and under which names the pages may be asked for.
#[derive(Debug)]
pub struct AdminAccess {
    /// `None`: nobody.
    key: Option<AdminKey>,
    hosts: OwnHosts,
    attempts: FailedAttempts,
}

/// Why a request may change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AccessRefusal {
    #[error(
        "the pages of this replica only show: set http.admin_token in the configuration and restart it, or use \
         `freshet dead-letters replay`"
    )]
    NoToken,
    #[error(
        "the request comes from a page of another site; open the pages of this replica themselves. Behind a proxy, put the \
         name that browsers use into http.hosts"
    )]
    ForeignOrigin,
    #[error(
        "the browser does not say from which page the request comes; programs send the token as a bearer token"
    )]
    UnknownOrigin,
    #[error(
        "sign in first; programs send the header `Authorization: Bearer` with the token of http.admin_token"
    )]
    NotSignedIn,
    #[error("this is not the token of http.admin_token")]
    WrongToken,
    #[error("too many wrong tokens came from this address; try again in {} s", .0.as_secs().max(1))]
    TooOften(Duration),
}

impl AdminAccess {
    /// `hosts`: names of the pages beside the address and `localhost`.
    pub fn new(token: Option<&SecretString>, hosts: &[String], listen: SocketAddr) -> Self {
        Self {
            key: token.map(AdminKey::new),
            hosts: OwnHosts::new(listen, hosts),
            attempts: FailedAttempts::default(),
        }
    }

    /// Nobody may do more than look.
    pub fn nobody() -> Self {
        Self::new(None, &[], SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Whether anybody may do more than look.
    pub(super) fn has_token(&self) -> bool {
        self.key.is_some()
    }

    /// Whether a page may be shown under the name that it was asked for. Without a token there is nothing to protect.
    pub(super) fn is_own_host(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        self.key.is_none() || host.is_some_and(|host| self.hosts.has(host))
    }

    /// Whether the cookie of somebody who signed in came along.
    pub(super) fn is_signed_in(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        let Some(key) = &self.key else { return false };
        let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let mut pairs =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.split_once('='));
        pairs.any(|(name, value)| name.trim() == COOKIE_NAME && key.holds(value.trim(), now))
    }

    /// Whether the request may change something.
    pub(super) fn check(&self, headers: &HeaderMap, peer: IpAddr) -> Result<(), AccessRefusal> {
        let key = self.key.as_ref().ok_or(AccessRefusal::NoToken)?;
        let origin = self.own_origin(headers)?;
        if let Some(token) = bearer_token(headers) {
            return self.try_token(key, token, peer);
        }
        if !self.is_signed_in(headers, Timestamp::now()) {
            return Err(AccessRefusal::NotSignedIn);
        }
        match origin {
            RequestOrigin::Own => Ok(()),
            // A cookie comes along whatever page asks.
            RequestOrigin::Unknown | RequestOrigin::Foreign => Err(AccessRefusal::UnknownOrigin),
        }
    }

    /// The value of `Set-Cookie` for somebody who has the token.
    pub(super) fn sign_in(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        token: &str,
    ) -> Result<String, AccessRefusal> {
        let key = self.key.as_ref().ok_or(AccessRefusal::NoToken)?;
        self.own_origin(headers)?;
        self.try_token(key, token, peer)?;
        tracing::info!(who = %peer, "somebody signed in to the pages");
        Ok(cookie(&key.issue(Timestamp::now()), SESSION, headers))
    }

    /// The same for somebody who leaves.
    pub(super) fn sign_out(&self, headers: &HeaderMap) -> Result<String, AccessRefusal> {
        self.own_origin(headers)?;
        Ok(cookie("", Duration::ZERO, headers))
    }

    fn own_origin(&self, headers: &HeaderMap) -> Result<RequestOrigin, AccessRefusal> {
        match origin(headers, &self.hosts) {
            RequestOrigin::Foreign => Err(AccessRefusal::ForeignOrigin),
            own @ (RequestOrigin::Own | RequestOrigin::Unknown) => Ok(own),
        }
    }

    fn try_token(&self, key: &AdminKey, token: &str, peer: IpAddr) -> Result<(), AccessRefusal> {
        let now = Instant::now();
        if let Some(wait) = self.attempts.wait(peer, now) {
            return Err(AccessRefusal::TooOften(wait));
        }
        if key.is_token(token) {
            return Ok(());
        }
        self.attempts.failed(peer, now);
        tracing::warn!(who = %peer, "a wrong admin token was given");
        Err(AccessRefusal::WrongToken)
    }
}

/// What stands behind `Bearer`. Other schemes are not for Freshet: a proxy that asks for a password has the browser send
/// it along with the cookie.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(AUTHORIZATION).iter().find_map(|value| {
        // The scheme is text in any case; what follows it need not be, and is no token then.
        let bytes = value.as_bytes();
        let end = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
        let (scheme, token) = bytes.split_at(end);
        let token = std::str::from_utf8(token).unwrap_or_default().trim();
        scheme.eq_ignore_ascii_case(b"bearer").then_some(token)
    })
}

fn cookie(value: &str, age: Duration, headers: &HeaderMap) -> String {
    let behind_tls = headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
    let secure = if behind_tls { "; Secure" } else { "" };
    let age = age.as_secs();
    format!("{COOKIE_NAME}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn access(token: Option<&str>) -> AdminAccess {
        let token = token.map(|token| token.to_owned().into());
        AdminAccess::new(
            token.as_ref(),
            &["freshet.example.com".to_owned()],
            "127.0.0.1:9464".parse().unwrap(),
        )
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[tokio::test]
    async fn who_may_change_something() {
        let access = access(Some(TOKEN));
        let set = access.sign_in(&HeaderMap::new(), PEER, TOKEN).unwrap();
        assert!(set.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=28800"), "{set}");
        let cookie = format!("other=1; {}", set.split(';').next().unwrap());
        let bearer = format!("Bearer {TOKEN}");
        let own = ("origin", "http://127.0.0.1:9464");
        let host = ("host", "127.0.0.1:9464");
        let foreign = ("origin", "https://evil.example.com");
        for (pairs, expected) in [
            (vec![host, ("authorization", &bearer)], Ok(())),
            (vec![host, own, ("authorization", &bearer)], Ok(())),
            (vec![host, foreign, ("authorization", &bearer)], Err(AccessRefusal::ForeignOrigin)),
            (vec![host, ("authorization", "Bearer wrong")], Err(AccessRefusal::WrongToken)),
            (vec![host, ("authorization", "Bearer")], Err(AccessRefusal::WrongToken)),
            // A wrong token is wrong, whatever else comes along.
            (
                vec![host, own, ("cookie", &cookie), ("authorization", "bearer wrong")],
                Err(AccessRefusal::WrongToken),
            ),
            // What a proxy asks for is no token.
            (vec![host, own, ("cookie", &cookie), ("authorization", "Basic x")], Ok(())),
            (vec![host, own, ("authorization", "Basic x")], Err(AccessRefusal::NotSignedIn)),
            (vec![host, ("authorization", TOKEN)], Err(AccessRefusal::NotSignedIn)),
            (vec![host, own, ("cookie", &cookie)], Ok(())),
            (vec![host, ("sec-fetch-site", "same-origin"), ("cookie", &cookie)], Ok(())),
            (vec![host, foreign, ("cookie", &cookie)], Err(AccessRefusal::ForeignOrigin)),
            (
                vec![host, ("sec-fetch-site", "cross-site"), ("cookie", &cookie)],
                Err(AccessRefusal::ForeignOrigin),
            ),
            (vec![host, ("cookie", &cookie)], Err(AccessRefusal::UnknownOrigin)),
            (vec![host, own, ("cookie", "freshet_session=1.x")], Err(AccessRefusal::NotSignedIn)),
            (vec![host, own], Err(AccessRefusal::NotSignedIn)),
        ] {
            assert_eq!(access.check(&headers(&pairs), PEER), expected, "{pairs:?}");
        }
    }

    #[tokio::test]
    async fn without_a_token_nobody_may_and_every_name_is_good() {
        let access = access(None);
        let bearer = headers(&[("authorization", "Bearer "), ("host", "evil.example.com")]);
        assert_eq!(access.check(&bearer, PEER), Err(AccessRefusal::NoToken));
        assert_eq!(access.sign_in(&bearer, PEER, ""), Err(AccessRefusal::NoToken));
        assert!(access.is_own_host(&bearer) && access.is_own_host(&HeaderMap::new()));
        let access = self::access(Some(TOKEN));
        assert!(!access.is_own_host(&bearer) && !access.is_own_host(&HeaderMap::new()));
        assert!(access.is_own_host(&headers(&[("host", "freshet.example.com")])));
    }

    #[tokio::test(start_paused = true)]
    async fn after_five_wrong_tokens_the_right_one_must_wait_and_a_cookie_still_holds() {
        let access = access(Some(TOKEN));
        let set = access.sign_in(&HeaderMap::new(), PEER, TOKEN).unwrap();
        for _ in 0..5 {
            assert_eq!(access.sign_in(&HeaderMap::new(), PEER, "wrong"), Err(AccessRefusal::WrongToken));
        }
        let bearer = headers(&[("authorization", &format!("Bearer {TOKEN}"))]);
        assert!(matches!(access.check(&bearer, PEER), Err(AccessRefusal::TooOften(_))));
        assert!(matches!(access.sign_in(&HeaderMap::new(), PEER, TOKEN), Err(AccessRefusal::TooOften(_))));
        let cookie = set.split(';').next().unwrap();
        let pairs = [("cookie", cookie), ("sec-fetch-site", "same-origin")];
        assert_eq!(access.check(&headers(&pairs), PEER), Ok(()));
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(access.check(&bearer, PEER), Ok(()));
    }

    #[tokio::test]
    async fn passwords_for_a_proxy_are_not_counted_as_wrong_tokens() {
        let access = access(Some(TOKEN));
        let basic = headers(&[("authorization", "Basic x")]);
        for _ in 0..6 {
            assert_eq!(access.check(&basic, PEER), Err(AccessRefusal::NotSignedIn));
        }
        let bearer = headers(&[("authorization", &format!("Bearer {TOKEN}"))]);
        assert_eq!(access.check(&bearer, PEER), Ok(()));
    }

    #[test]
    fn a_cookie_that_came_over_tls_goes_over_tls_alone() {
        let set = access(Some(TOKEN)).sign_out(&headers(&[("x-forwarded-proto", "https")])).unwrap();
        assert_eq!(set, "freshet_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0; Secure");
    }
}

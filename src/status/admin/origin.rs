//! From where a request comes that would change something, as browsers tell. Pure.
//!
//! Browsers send `Sec-Fetch-Site` to https and localhost only, and `Origin` with each POST and DELETE; programs send
//! neither. The pages with forms have a referrer policy under which browsers send the true `Origin`.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use super::hosts::OwnHosts;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestOrigin {
    /// From one of these pages.
    Own,
    /// From another site.
    Foreign,
    /// From no page: nothing says that it was a browser.
    Unknown,
}

pub(super) fn origin(headers: &HeaderMap, hosts: &OwnHosts) -> RequestOrigin {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text(SEC_FETCH_SITE) {
        return if site == "same-origin" { RequestOrigin::Own } else { RequestOrigin::Foreign };
    }
    let Some(origin) = text(ORIGIN.as_str()) else { return RequestOrigin::Unknown };
    let Some((_, authority)) = origin.split_once("://") else { return RequestOrigin::Foreign };
    let own = text(HOST.as_str()).is_some_and(|host| host.eq_ignore_ascii_case(authority));
    if own || hosts.has_origin(authority) { RequestOrigin::Own } else { RequestOrigin::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_tell_decides_and_another_origin_is_foreign() {
        use RequestOrigin::{Foreign, Own, Unknown};
        let hosts = OwnHosts::new("127.0.0.1:9464".parse().unwrap(), &["freshet.example.com".to_owned()]);
        for (site, origin_header, host, expected) in [
            ("same-origin", "", "127.0.0.1:9464", Own),
            ("same-origin", "null", "127.0.0.1:9464", Own),
            ("same-site", "http://127.0.0.1:9464", "127.0.0.1:9464", Foreign),
            ("cross-site", "", "127.0.0.1:9464", Foreign),
            ("none", "", "127.0.0.1:9464", Foreign),
            ("", "http://127.0.0.1:9464", "127.0.0.1:9464", Own),
            ("", "http://LOCALHOST:9464", "localhost:9464", Own),
            ("", "http://127.0.0.1:8080", "127.0.0.1:9464", Foreign),
            ("", "http://127.0.0.1", "127.0.0.1:9464", Foreign),
            ("", "https://freshet.example.com", "freshet.example.com", Own),
            // The proxy names the pages by their address.
            ("", "https://freshet.example.com", "127.0.0.1:9464", Own),
            ("", "https://freshet.example.com:8443", "127.0.0.1:9464", Foreign),
            ("", "https://evil.example.com", "127.0.0.1:9464", Foreign),
            ("", "https://freshet.example.com.evil.com", "127.0.0.1:9464", Foreign),
            ("", "null", "127.0.0.1:9464", Foreign),
            ("", "", "127.0.0.1:9464", Unknown),
        ] {
            let mut headers = HeaderMap::new();
            let named = [(SEC_FETCH_SITE, site), ("origin", origin_header), ("host", host)];
            for (name, value) in named.into_iter().filter(|(_, value)| !value.is_empty()) {
                headers.insert(name, value.parse().unwrap());
            }
            assert_eq!(origin(&headers, &hosts), expected, "{site} {origin_header} {host}");
        }
    }
}

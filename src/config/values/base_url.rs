//! The address of an account's API, in whatever form people copy it from Freshsales.

use std::fmt;

use url::{Host, Url};

/// Scheme, host and path (`/crm/sales` on the Suite), without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    normalised: String,
    given: String,
}

/// Where keys may be sent without encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainHttp {
    /// To addresses of this machine.
    LoopbackOnly,
    /// `insecure_http = true`
    Anywhere,
}

/// Why a text is not taken as an account's address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BaseUrlError {
    /// Not an address at all.
    #[error("expected the account's address, such as \"https://acme.myfreshworks.com/crm/sales\"")]
    Unreadable,
    /// Keys would be sent without encryption.
    #[error("plain http is for loopback addresses only; use https, or say `insecure_http = true`")]
    PlainHttp,
    /// It has a user, password, query or fragment.
    #[error("expected only host and path; the key belongs into `api_key`")]
    Extras,
}

impl BaseUrl {
    /// Reads a bundle alias (`acme.myfreshworks.com/crm/sales`), a host, the account's name or a whole URL.
    pub fn parse(text: &str, plain_http: PlainHttp) -> Result<Self, BaseUrlError> {
        let text = text.trim();
        let absolute = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&absolute).map_err(|_| BaseUrlError::Unreadable)?;
        let loopback = is_loopback(&url.host().ok_or(BaseUrlError::Unreadable)?);
        match url.scheme() {
            "https" => {}
            "http" if loopback || plain_http == PlainHttp::Anywhere => {}
            "http" => return Err(BaseUrlError::PlainHttp),
            _ => return Err(BaseUrlError::Unreadable),
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(BaseUrlError::Extras);
        }
        Ok(Self { normalised: normalised(url, loopback)?, given: text.to_owned() })
    }

    /// Whether the address may lack `/crm/sales`: on all but the classic domains, also on customers' own, the API is there.
    pub fn may_lack_path(&self) -> bool {
        let host = Url::parse(&self.normalised)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default();
        !self.normalised.ends_with("/crm/sales") && !host.ends_with(".freshsales.io")
    }

    /// Without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.normalised
    }

    /// As the configuration writes it.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// Whether keys are sent without encryption, and over a network.
    pub fn is_exposed(&self) -> bool {
        let Ok(url) = Url::parse(&self.normalised) else { return false };
        url.scheme() == "http" && !url.host().is_some_and(|host| is_loopback(&host))
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(domain) => *domain == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn normalised(mut url: Url, loopback: bool) -> Result<String, BaseUrlError> {
    let host = url.host_str().unwrap_or_default().to_owned();
    if !loopback && !host.contains('.') && url.scheme() == "https" && url.port().is_none() {
        url.set_host(Some(&format!("{host}.myfreshworks.com"))).map_err(|_| BaseUrlError::Unreadable)?;
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/api").unwrap_or(path).trim_end_matches('/').to_owned();
    let suite = url.host_str().is_some_and(|host| host.ends_with("freshworks.com"));
    let path = if path.is_empty() && suite { "/crm/sales".to_owned() } else { path };
    url.set_path(&path);
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.normalised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_people_copy_becomes_the_same_address() {
        for (given, expected) in [
            ("https://acme.myfreshworks.com/crm/sales", "https://acme.myfreshworks.com/crm/sales"),
            ("https://acme.myfreshworks.com/crm/sales/", "https://acme.myfreshworks.com/crm/sales"),
            ("https://acme.myfreshworks.com/crm/sales/api", "https://acme.myfreshworks.com/crm/sales"),
            ("acme.myfreshworks.com/crm/sales", "https://acme.myfreshworks.com/crm/sales"),
            ("acme.myfreshworks.com", "https://acme.myfreshworks.com/crm/sales"),
            ("acme.freshworks.com", "https://acme.freshworks.com/crm/sales"),
            ("acme", "https://acme.myfreshworks.com/crm/sales"),
            (" acme.freshsales.io ", "https://acme.freshsales.io"),
            ("https://acme.freshsales.io/api/", "https://acme.freshsales.io"),
            ("http://127.0.0.1:8090", "http://127.0.0.1:8090"),
            ("http://localhost:8090/crm/sales", "http://localhost:8090/crm/sales"),
            ("http://[::1]:8090/", "http://[::1]:8090"),
        ] {
            assert_eq!(BaseUrl::parse(given, PlainHttp::LoopbackOnly).unwrap().as_str(), expected, "{given}");
        }
    }

    #[test]
    fn addresses_that_would_leak_a_key_are_refused() {
        for (given, expected) in [
            ("http://acme.myfreshworks.com", BaseUrlError::PlainHttp),
            ("http://localhost.example.com", BaseUrlError::PlainHttp),
            ("ftp://acme.freshsales.io", BaseUrlError::Unreadable),
            ("", BaseUrlError::Unreadable),
            ("https://user:secret@acme.freshsales.io", BaseUrlError::Extras),
            ("https://acme.freshsales.io/?token=x", BaseUrlError::Extras),
        ] {
            assert_eq!(BaseUrl::parse(given, PlainHttp::LoopbackOnly), Err(expected), "{given}");
        }
    }

    #[test]
    fn all_but_classic_domains_need_a_path() {
        for (given, lacks) in [
            ("acme.myfreshworks.com", false),
            ("acme.freshsales.io", false),
            ("https://acme.freshsales.io/", false),
            ("https://crm.acme.com/crm/sales/", false),
            ("https://crm.acme.com", true),
            ("https://crm.acme.com/sales", true),
            ("https://freshsales.io.acme.com", true),
        ] {
            assert_eq!(
                BaseUrl::parse(given, PlainHttp::LoopbackOnly).unwrap().may_lack_path(),
                lacks,
                "{given}"
            );
        }
    }

    #[test]
    fn plain_http_can_be_asked_for() {
        assert_eq!(
            BaseUrl::parse("http://sandbox:8090", PlainHttp::Anywhere).unwrap().as_str(),
            "http://sandbox:8090"
        );
    }
}

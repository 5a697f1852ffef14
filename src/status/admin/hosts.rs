//! Under which names the pages may be asked for. A site of somebody else's can have its own name lead to this address, and
//! would then be taken by browsers for the same site as the pages. Pure.

use std::net::{IpAddr, SocketAddr};

/// The names and addresses that are the pages' own.
#[derive(Debug)]
pub(super) struct OwnHosts {
    listen: IpAddr,
    /// `http.hosts`
    names: Vec<String>,
}

impl OwnHosts {
    pub(super) fn new(listen: SocketAddr, names: &[String]) -> Self {
        Self { listen: listen.ip(), names: names.iter().map(|name| normal(name)).collect() }
    }

    /// Whether this is one of them, as the header `Host` has it. The port does not matter: others may stand before it.
    pub(super) fn has(&self, host: &str) -> bool {
        let host = normal(without_port(host));
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            // No site has an address for its name. So where the pages listen on all addresses, any is theirs.
            return self.listen.is_unspecified()
                || address.to_canonical() == self.listen.to_canonical()
                || address.to_canonical().is_loopback()
                || self.names.contains(&host);
        }
        host == "localhost" || self.names.contains(&host)
    }

    /// Whether a browser that shows this origin shows the pages, where a proxy writes another `Host`.
    pub(super) fn has_origin(&self, authority: &str) -> bool {
        self.names.contains(&normal(authority))
    }
}

fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of an address in brackets are none of a port.
        Some((name, port)) if !port.contains(']') && !port.is_empty() => name,
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_address_localhost_or_named_in_the_configuration() {
        let hosts = |listen: &str| {
            OwnHosts::new(
                listen.parse().unwrap(),
                &["freshet.example.com".to_owned(), "[2001:db8::1]".to_owned()],
            )
        };
        for (listen, host, own) in [
            ("127.0.0.1:9464", "127.0.0.1:9464", true),
            ("127.0.0.1:9464", "127.0.0.1", true),
            ("127.0.0.1:9464", "localhost:8080", true),
            ("127.0.0.1:9464", "LocalHost.", true),
            ("127.0.0.1:9464", "[::1]:9464", true),
            ("127.0.0.1:9464", "freshet.example.com", true),
            ("127.0.0.1:9464", "Freshet.Example.Com:443", true),
            ("127.0.0.1:9464", "[2001:db8::1]:9464", true),
            ("127.0.0.1:9464", "192.0.2.1:9464", false),
            ("127.0.0.1:9464", "evil.example.com", false),
            ("127.0.0.1:9464", "freshet.example.com.evil.com", false),
            ("127.0.0.1:9464", "evil-freshet.example.com", false),
            ("127.0.0.1:9464", "localhost.evil.com", false),
            ("127.0.0.1:9464", "127.0.0.1.evil.com", false),
            ("127.0.0.1:9464", "evil.com@127.0.0.1", false),
            ("127.0.0.1:9464", "", false),
            ("192.0.2.7:9464", "192.0.2.7:9464", true),
            ("192.0.2.7:9464", "192.0.2.8:9464", false),
            ("0.0.0.0:9464", "192.0.2.8:9464", true),
            ("[::]:9464", "[2001:db8::2]:9464", true),
            ("[::]:9464", "192.0.2.8", true),
            ("0.0.0.0:9464", "evil.example.com:9464", false),
        ] {
            assert_eq!(hosts(listen).has(host), own, "{host} at {listen}");
        }
    }
}

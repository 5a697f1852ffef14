//! `[http]`: where metrics, health and the status page are served.

use std::net::SocketAddr;

use super::reader::Section;

/// `[http]`
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
}

impl HttpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let listen = section.parsed("listen", |text| {
            text.parse().map_err(|_| "expected an address and a port, such as \"127.0.0.1:9464\"")
        });
        section.finish();
        Self { listen: listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9464))) }
    }
}

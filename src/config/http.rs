//! `[http]`: where metrics, health and the status page are served, and who may do more than look.

use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};

use super::reading::reader::{Environment, Section};
use super::values::secret::{SecretError, SecretSource};

/// Too long to be guessed.
const SHORTEST_TOKEN: usize = 32;

/// `[http]`
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// With it, the pages may do more than show.
    pub admin_token: Option<SecretSource>,
    /// Names under which the pages are reached, beside the address and `localhost`.
    pub hosts: Vec<String>,
}

impl HttpConfig {
    /// With an environment, the token is read, too, and reported if it is not there.
    pub(super) fn read(mut section: Section<'_>, secrets: Option<Environment<'_>>) -> Self {
        let listen = section.parsed("listen", |text| {
            text.parse().map_err(|_| "expected an address and a port, such as \"127.0.0.1:9464\"")
        });
        let config = Self {
            listen: listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9464))),
            admin_token: section.secret("admin_token"),
            hosts: section.parsed_list("hosts", host),
        };
        if let Some(environment) = secrets
            && let Err(error) = config.read_admin_token(environment)
        {
            section.problem("admin_token", error.to_string());
        }
        section.finish();
        config
    }

    /// The token as it is now.
    pub fn read_admin_token(
        &self,
        environment: Environment<'_>,
    ) -> Result<Option<SecretString>, SecretError> {
        let Some(source) = &self.admin_token else { return Ok(None) };
        let token = source.read_token(environment)?;
        if token.expose_secret().len() < SHORTEST_TOKEN {
            return Err(SecretError::Unfit(format!(
                "the token has fewer than {SHORTEST_TOKEN} characters and might be guessed; make one with \
                 `openssl rand -hex 32`"
            )));
        }
        Ok(Some(token))
    }
}

/// As browsers send it in the header `Host`, without the port.
fn host(text: &str) -> Result<String, &'static str> {
    match url::Host::parse(text) {
        Ok(host) => Ok(host.to_string()),
        Err(_) => {
            Err("expected a host's name without scheme, port and path, such as \"freshet.example.com\"")
        }
    }
}

//! One call with all that is seen on the way: how far it came, the certificate, the server's clock, where a redirect leads.
//! For people who ask why an account cannot be reached; lanes need none of it.

use std::error::Error as _;
use std::io;

use jiff::Timestamp;
use reqwest::header::{DATE, LOCATION};

use super::answers::answer::{NoAnswer, RawResponse};
use super::answers::limits::date;
use super::call::Call;
use super::client::{Client, no_answer, take_in, text};

/// A response, and what came with it.
#[derive(Debug)]
pub struct Reached {
    /// As every call gets it.
    pub response: RawResponse,
    /// What the server took for the time.
    pub server_time: Option<Timestamp>,
    /// When the call was sent, and when its headers came.
    pub between: (Timestamp, Timestamp),
    /// The server's own certificate, in DER, where there is TLS.
    pub certificate: Option<Vec<u8>>,
    /// The scheme and host that a redirect names: its path may hold anything.
    pub redirected_to: Option<String>,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// How far it came.
    pub step: ReachStep,
    /// In words without secrets.
    pub why: String,
}

/// The step of a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReachStep {
    /// To find the host's address.
    Name,
    /// To reach it, or a proxy.
    Network,
    /// To agree on encryption.
    Tls,
    /// To get an answer.
    Answer,
}

impl Client {
    /// Sends the call and takes in the whole response.
    pub async fn reach(&self, call: &Call) -> Result<Reached, Unreached> {
        let sent = Timestamp::now();
        let response = self.request(call).send().await.map_err(|error| unreached(&error))?;
        let received = Timestamp::now();
        let headers = response.headers();
        let server_time = text(headers, DATE.as_str()).and_then(date);
        let redirected_to = text(headers, LOCATION.as_str()).and_then(origin);
        let details = response.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = details.and_then(|details| details.peer_certificate()).map(<[u8]>::to_vec);
        let response = take_in(response).await.map_err(|error| Unreached {
            step: ReachStep::Answer,
            why: match error {
                NoAnswer::Timeout => "the answer did not end in time".to_owned(),
                NoAnswer::Connection => "the connection broke in the midst of the answer".to_owned(),
            },
        })?;
        let between = (sent, received);
        Ok(Reached { response, server_time, between, certificate, redirected_to })
    }
}

fn origin(location: &str) -> Option<String> {
    let url = url::Url::parse(location).ok()?;
    Some(format!("{}://{}", url.scheme(), url.host_str()?))
}

/// The library's own words end at "error sending request"; the reason is at the end of the chain of causes.
fn unreached(error: &reqwest::Error) -> Unreached {
    let mut causes = Vec::new();
    let mut tls = None;
    let mut io_kind = None;
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        tls = tls.or_else(|| tls_error(cause));
        io_kind = cause.downcast_ref::<io::Error>().map(io::Error::kind).or(io_kind);
        source = cause.source();
    }
    let last = causes.last().cloned().unwrap_or_default();
    let during = |what: &str| causes.iter().any(|cause| cause.contains(what));
    let (step, why) = if let Some(tls) = tls {
        (ReachStep::Tls, tls)
    } else if during("dns error") {
        (ReachStep::Name, last)
    } else if no_answer(error) == NoAnswer::Timeout && error.is_connect() {
        (ReachStep::Network, "nobody answered in time".to_owned())
    } else if no_answer(error) == NoAnswer::Timeout {
        (ReachStep::Answer, "no answer in time".to_owned())
    } else if error.is_connect() && io_kind == Some(io::ErrorKind::UnexpectedEof) {
        (ReachStep::Tls, "it closed the connection at the TLS handshake".to_owned())
    } else if error.is_connect() {
        (ReachStep::Network, last)
    } else {
        (ReachStep::Answer, last)
    };
    Unreached { step, why }
}

/// An I/O error may hold it without naming it as its cause, and in another I/O error.
fn tls_error(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(error.to_string());
    }
    tls_error(error.downcast_ref::<io::Error>()?.get_ref()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_redirect_only_the_origin_is_shown() {
        assert_eq!(
            origin("https://new.myfreshworks.com/login?token=secret").as_deref(),
            Some("https://new.myfreshworks.com")
        );
        assert_eq!(origin("/login?token=secret"), None);
    }
}

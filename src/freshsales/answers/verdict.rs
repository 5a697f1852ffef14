//! What an answer can mean for the call.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::answer::Body;

/// What an answer means for the call.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It took effect. Holds the body, `null` if there was none that could be read.
    Done(Value),
    /// The record is refused for good, in Freshsales' own words.
    Refused {
        /// The HTTP status.
        status: u16,
        /// At least one.
        messages: Vec<String>,
    },
    /// This call is not allowed, or its path does not exist: 403, or 404 without a record's id in the path. Only other
    /// calls can tell whether that is due to the record or concerns all calls.
    Denied {
        /// The HTTP status.
        status: u16,
        /// At least one.
        messages: Vec<String>,
    },
    /// Not an answer of the API: a proxy, a firewall or a sign-in page answered. Only other calls can tell whether it
    /// rejects this record or all calls.
    Unrecognized(UnrecognizedAnswer),
    /// The credentials are not accepted: no call of this account can succeed until somebody corrects them.
    Unauthorized {
        /// The HTTP status.
        status: u16,
    },
    /// Too many calls.
    Throttled {
        /// As asked by the answer.
        retry_after: Option<Duration>,
    },
    /// A bulk upsert came while too many jobs of the account run, other programs' included. It says nothing about the
    /// records or about Freshsales' health.
    TooManyJobs,
    /// The call may succeed later.
    Unavailable {
        /// Why.
        cause: UnavailableCause,
        /// As asked by the answer.
        retry_after: Option<Duration>,
    },
}

/// Why a call is to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnavailableCause {
    /// A status of a server in trouble: 408 or 5xx.
    ServerError(u16),
    /// Another status that speaks neither of the record nor of the credentials: 405 or 425.
    UnexpectedStatus(u16),
    /// This status is good, the body is not what the endpoint answers. The call may have taken effect.
    UnexpectedBody(u16),
    /// No answer in time.
    Timeout,
    /// No connection, or it broke.
    Connection,
    /// A bug: the task that sent the call panicked.
    Panicked,
}

impl Verdict {
    /// The `outcome` label of metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "ok",
            Self::Unauthorized { .. } | Self::Denied { status: 403, .. } => "unauthorized",
            Self::Refused { .. } | Self::Denied { .. } => "rejected",
            Self::Throttled { .. } | Self::TooManyJobs => "throttled",
            Self::Unrecognized(_) => "server_error",
            Self::Unavailable { cause, .. } => match cause {
                UnavailableCause::ServerError(_)
                | UnavailableCause::UnexpectedStatus(_)
                | UnavailableCause::UnexpectedBody(_) => "server_error",
                UnavailableCause::Timeout => "timeout",
                UnavailableCause::Connection => "connection",
                UnavailableCause::Panicked => "panicked",
            },
        }
    }
}

/// An answer that is not the API's. Its `Display` names what came, without a word of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnrecognizedAnswer {
    /// The HTTP status.
    pub status: u16,
    content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Page,
    Redirect,
    Nothing,
    Text,
    OtherJson,
    /// JSON with a good status that says that the call failed.
    Failure,
}

impl UnrecognizedAnswer {
    pub(in crate::freshsales) const fn new(status: u16, body: &Body) -> Self {
        let content = match body {
            _ if status >= 300 && status < 400 => Content::Redirect,
            Body::Markup => Content::Page,
            Body::Empty => Content::Nothing,
            Body::Unreadable | Body::TooLarge => Content::Text,
            Body::Json(_) | Body::Mislabelled(_) if status < 300 => Content::Failure,
            Body::Json(_) | Body::Mislabelled(_) => Content::OtherJson,
        };
        Self { status, content }
    }

    /// What to check if every call is answered like this.
    pub const fn advice(self) -> &'static str {
        match (self.content, self.status) {
            (_, 407) => "does a proxy ask for credentials?",
            (_, 404 | 410) => "was the account renamed? check url",
            (Content::Redirect, _) => "was the account moved? check url",
            (Content::Page, 200..=299) => "is it a sign-in or maintenance page? check url",
            (_, 200..=299) => "check url",
            (_, 403 | 405 | 406) => "does a firewall or a proxy stand in the way?",
            _ => "does a proxy stand in the way? check url",
        }
    }
}

impl fmt::Display for UnrecognizedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        match self.content {
            Content::Page => write!(f, "a web page with status {status}"),
            Content::Redirect => write!(f, "a redirect, status {status}"),
            Content::Nothing => write!(f, "an empty answer with status {status}"),
            Content::Text => write!(f, "something that is no JSON, with status {status}"),
            Content::OtherJson => write!(f, "JSON that is not the API's, with status {status}"),
            Content::Failure => write!(f, "status {status} and a body that says that it failed"),
        }
    }
}

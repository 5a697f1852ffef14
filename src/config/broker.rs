//! `[broker]`: where events come from, and how many are held at once.

use std::num::NonZeroU16;
use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use super::reading::reader::{Environment, Section};
use super::values::secret::{SecretError, SecretSource};
use crate::broker::{Address, Addresses};
use crate::segment::{BODY_LIMIT, Opener};
use crate::tls::{ClientFiles, IdentityFiles, KeySource};

const DEFAULT_QUEUE: &str = "segment.events";
const DEFAULT_PREFETCH: NonZeroU16 = NonZeroU16::new(1000).unwrap();
const DEFAULT_PREFETCH_BYTES: u64 = 64 * 1024 * 1024;
/// RabbitMQ takes no larger message.
const LARGEST_BATCH: usize = 512 * 1024 * 1024;

/// `[broker]`
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where its nodes are.
    pub url: BrokerUrl,
    /// Certificates of authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What this client shows of itself, if the broker asks.
    pub client: Option<ClientIdentity>,
    /// The intake queue, whose name all other queues and exchanges start with.
    pub queue: String,
    /// The most unsettled events of an account that are held in memory.
    pub prefetch: NonZeroU16,
    /// The most bytes of unsettled events of an account that are held in memory.
    pub prefetch_bytes: u64,
    /// This replica's name, different for each replica.
    pub replica: String,
    /// The most bytes of a body that holds several events.
    pub max_batch: usize,
    /// Keys under which an object without a `type` may hold the event.
    pub unwrap: Vec<String>,
}

/// The addresses of the broker's nodes, `amqp://` or `amqps://`. They hold passwords.
#[derive(Debug, Clone)]
pub enum BrokerUrl {
    /// In the configuration itself.
    Given(Addresses),
    /// Kept elsewhere as a whole.
    Secret(SecretSource),
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// With the certificates that lead to the authority.
    pub certificate: PathBuf,
    /// Not encrypted.
    pub key: SecretSource,
}

impl BrokerConfig {
    /// With an environment, the secrets are read, too, and those that are not there are reported.
    pub(super) fn read(mut section: Section<'_>, secrets: Option<Environment<'_>>) -> Self {
        let config = Self {
            url: broker_url(&mut section),
            ca_file: section.path("ca_file"),
            client: client_identity(&mut section),
            queue: section.parsed("queue", queue_name).unwrap_or_else(|| DEFAULT_QUEUE.to_owned()),
            prefetch: section
                .whole("prefetch", 1..=u32::from(u16::MAX))
                .and_then(|number| u16::try_from(number).ok())
                .and_then(NonZeroU16::new)
                .unwrap_or(DEFAULT_PREFETCH),
            prefetch_bytes: section.size("prefetch_bytes").unwrap_or(DEFAULT_PREFETCH_BYTES),
            replica: section.parsed("replica", replica_name).unwrap_or_else(host_name),
            max_batch: max_batch(&mut section),
            unwrap: section.parsed_list("unwrap", wrapping_key),
        };
        if let Some(environment) = secrets {
            if let Err(error) = config.addresses(environment) {
                section.problem("url", error.to_string());
            }
            match config.client_files(environment) {
                Err(error) => section.problem("client_key", error.to_string()),
                Ok(files) => {
                    for fault in files.faults() {
                        section.problem(fault.setting, fault.to_string());
                    }
                }
            }
        }
        section.finish();
        config
    }

    /// The nodes as they are now.
    pub fn addresses(&self, environment: Environment<'_>) -> Result<Addresses, SecretError> {
        let source = match &self.url {
            BrokerUrl::Given(addresses) => {
                return Ok(addresses.clone().with_tls(self.client_files(environment)?));
            }
            BrokerUrl::Secret(source) => source,
        };
        let text = source.read(environment)?;
        let nodes = Addresses::split(text.expose_secret()).into_iter().map(Address::parse);
        let nodes = nodes.collect::<Result<Vec<_>, _>>();
        let nodes = nodes.map_err(|error| SecretError::Unfit(error.to_string()))?;
        let addresses = Addresses::new(nodes).unwrap_or_default();
        Ok(addresses.with_tls(self.client_files(environment)?))
    }

    /// A key in a file stays there, to be read for each connection.
    fn client_files(&self, environment: Environment<'_>) -> Result<ClientFiles, SecretError> {
        let identity = self.client.as_ref().map(|client| {
            let key = match &client.key {
                SecretSource::File(path) => KeySource::File(path.clone()),
                source @ SecretSource::Env(_) => KeySource::Pem(source.read(environment)?),
            };
            Ok(IdentityFiles { certificate: client.certificate.clone(), key })
        });
        Ok(ClientFiles { ca_file: self.ca_file.clone(), identity: identity.transpose()? })
    }

    /// Opens the bodies of messages with these settings.
    pub fn opener(&self) -> Opener {
        Opener::new(self.unwrap.clone(), self.max_batch)
    }
}

fn broker_url(section: &mut Section<'_>) -> BrokerUrl {
    if section.is_table("url") {
        return section
            .secret("url")
            .map_or_else(|| BrokerUrl::Given(Addresses::default()), BrokerUrl::Secret);
    }
    let nodes = section.parsed_each("url", Addresses::split, Address::parse).and_then(Addresses::new);
    BrokerUrl::Given(nodes.unwrap_or_default())
}

fn client_identity(section: &mut Section<'_>) -> Option<ClientIdentity> {
    let one = section.given("client_certificate");
    let other = section.given("client_key");
    if one && !other {
        section.problem("client_key", "missing; `client_certificate` is used with its key");
    }
    if other && !one {
        section.problem("client_certificate", "missing; `client_key` is used with its certificate");
    }
    let (certificate, key) = (section.path("client_certificate"), section.secret("client_key"));
    Some(ClientIdentity { certificate: certificate?, key: key? })
}

/// Never below [`BODY_LIMIT`], which a single event may have.
fn max_batch(section: &mut Section<'_>) -> usize {
    let Some(size) = section.size("max_batch") else { return Opener::DEFAULT_MAX_BATCH };
    let size = usize::try_from(size).ok().filter(|size| (BODY_LIMIT..=LARGEST_BATCH).contains(size));
    size.unwrap_or_else(|| {
        section.problem("max_batch", "expected a size from \"1MiB\" to \"512MiB\"");
        Opener::DEFAULT_MAX_BATCH
    })
}

/// AMQP allows names of 255 bytes; the longest one made from this is `Q.lane.` and an account's 64 characters.
fn queue_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > 180 || text.starts_with("amq.") || text.chars().any(char::is_control) {
        return Err("expected a queue's name of 1 to 180 bytes that does not start with `amq.`");
    }
    Ok(text.to_owned())
}

fn replica_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        return Err("expected a name of 1 to 128 bytes, different for each replica");
    }
    Ok(text.to_owned())
}

fn wrapping_key(text: &str) -> Result<String, &'static str> {
    // A list copied from the file into the environment would become one key that no event has.
    let list = text.starts_with(['[', '"']);
    if text.is_empty() || list || ["type", "batch", "specversion"].contains(&text) {
        return Err(
            "expected a key's name such as payload, without brackets or quotes, and none of `type`, \
                    `batch`, `specversion`",
        );
    }
    Ok(text.to_owned())
}

fn host_name() -> String {
    hostname::get().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "freshet".to_owned())
}

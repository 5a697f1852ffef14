//! One TLS provider for everything that speaks TLS (HTTP and AMQP): ring.

/// Makes ring the process' provider. Safe to call again: the first call wins.
pub fn install_provider() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("a TLS provider is installed already");
    }
}

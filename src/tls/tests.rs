use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// A folder with a certificate, its key, and other files that people mistake for them.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(vec!["client".to_owned()]).unwrap().self_signed(&key).unwrap();
    let half = key.serialize_pem().lines().take(2).collect::<Vec<_>>().join("\n");
    for (name, text) in [
        ("client.pem", certificate.pem()),
        ("client.key", key.serialize_pem()),
        ("other.key", other.serialize_pem()),
        ("half.key", half),
        ("empty", String::new()),
        ("text", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n".to_owned()),
        ("no-der", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
        (
            "pkcs8",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".to_owned(),
        ),
        (
            "old",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
             -----END RSA PRIVATE KEY-----\n"
                .to_owned(),
        ),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn each_file_that_is_of_no_use_is_named_with_what_is_wrong() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    for (ca_file, certificate, key, setting, expected) in [
        ("nowhere", "client.pem", "client.key", "ca_file", "cannot read DIR/nowhere: No such file"),
        ("empty", "client.pem", "client.key", "ca_file", "DIR/empty holds no certificate; expected PEM"),
        ("client.key", "client.pem", "client.key", "ca_file", "DIR/client.key holds no certificate"),
        ("text", "client.pem", "client.key", "ca_file", "cannot be read: it is not base64"),
        (
            "no-der",
            "client.pem",
            "client.key",
            "ca_file",
            "DIR/no-der holds a certificate that cannot be read",
        ),
        ("client.pem", "nowhere", "client.key", "client_certificate", "cannot read DIR/nowhere"),
        ("client.pem", "client.key", "client.key", "client_certificate", "holds no certificate"),
        ("client.pem", "client.pem", "nowhere", "client_key", "cannot read DIR/nowhere"),
        ("client.pem", "client.pem", "client.pem", "client_key", "DIR/client.pem holds no private key"),
        ("client.pem", "client.pem", "half.key", "client_key", "its -----END line is missing"),
        ("client.pem", "client.pem", "pkcs8", "client_key", "DIR/pkcs8 holds an encrypted key"),
        ("client.pem", "client.pem", "old", "client_key", "DIR/old holds an encrypted key"),
        (
            "client.pem",
            "client.pem",
            "other.key",
            "client_key",
            "not that of the certificate in DIR/client.pem",
        ),
    ] {
        let identity = IdentityFiles { certificate: at(certificate), key: KeySource::File(at(key)) };
        let files = ClientFiles { ca_file: Some(at(ca_file)), identity: Some(identity) };
        let error = files.client().unwrap_err();
        let said = error.to_string().replace(&folder.path().display().to_string(), "DIR");
        assert!(error.setting == setting && said.contains(expected), "{ca_file} {certificate} {key}: {said}");
    }
    let key = KeySource::Pem(std::fs::read_to_string(at("client.key")).unwrap().into());
    let identity = Some(IdentityFiles { certificate: at("client.pem"), key });
    let files = ClientFiles { ca_file: Some(at("client.pem")), identity };
    assert!(files.client().is_ok());
    assert!(!format!("{files:?}").contains("BEGIN"));
}

//! Secrets: the configuration names an environment variable or a file that holds one.

use secrecy::SecretString;
use toml::Value;

use super::reader::Environment;

/// Reads `{ env = "NAME" }` or `{ file = "/path" }`.
pub(super) fn resolve(value: &Value, environment: Environment<'_>) -> Result<SecretString, String> {
    const EXPECTED: &str = "expected { env = \"NAME\" } or { file = \"/path\" }";
    let Value::Table(table) = value else {
        let inline = "secrets are never written into the configuration; ";
        return Err(format!("{}{EXPECTED}", if value.is_str() { inline } else { "" }));
    };
    let source = (table.len() == 1).then(|| table.iter().next()).flatten();
    let text = match source {
        Some((kind, Value::String(name))) if kind == "env" => {
            environment(name).ok_or_else(|| not_set(name))?
        }
        Some((kind, Value::String(path))) if kind == "file" => {
            std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?
        }
        _ => return Err(EXPECTED.to_owned()),
    };
    let secret = text.trim();
    if secret.is_empty() {
        return Err("the secret is empty".to_owned());
    }
    // It is sent as a header, which can hold nothing else.
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the secret holds blanks or characters that no key has".to_owned());
    }
    Ok(SecretString::from(secret))
}

/// A name that does not look like a variable's is not shown: it may be the secret itself.
fn not_set(name: &str) -> String {
    let usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.bytes().all(usual) {
        format!("the environment variable {name} is not set; export it, or use {{ file = ... }}")
    } else {
        "the environment variable is not set; `env` takes its name, such as ACME_API_KEY, and not the secret"
            .to_owned()
    }
}

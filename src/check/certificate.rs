//! When a server's certificate ends, and who signed it.

use jiff::Timestamp;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::finding::CheckFindings;
use crate::words::counted;

/// Authorities that renew by themselves do so a month before the end. A fortnight before it somebody should look.
const WARN_DAYS: i64 = 14;
const CHECK: &str = "certificate";
const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// What is said of a certificate at `host`.
pub(super) fn judge(host: &str, certificate: &[u8], now: Timestamp, findings: &mut CheckFindings) {
    let Some((issuer, end)) = read(certificate) else {
        let message = format!("{host}: its certificate was accepted, and cannot be read here");
        return findings.skip(CHECK, message, format!("openssl s_client -connect {host} shows it"));
    };
    let days = (end.as_second() - now.as_second()).div_euclid(SECONDS_A_DAY);
    let left = counted(days.unsigned_abs(), "day", "days");
    let (date, issuer) = (end.strftime("%Y-%m-%d"), issuer);
    if days < WARN_DAYS {
        let when = if days < 0 { format!("ended {left} ago") } else { format!("ends in {left}") };
        let message = format!("{host}: its certificate {when}, on {date}; issued by {issuer}");
        findings.warn(CHECK, message, "have it renewed before that day: nothing connects afterwards");
    } else {
        findings.ok(CHECK, format!("{host}: {left} left, until {date}; issued by {issuer}"));
    }
}

/// The issuer in words, and when it ends.
fn read(der: &[u8]) -> Option<(String, Timestamp)> {
    let certificate = Certificate::from_der(der).ok()?;
    let content = certificate.tbs_certificate();
    let end = content.validity().not_after.to_unix_duration().as_secs();
    let end = Timestamp::from_second(i64::try_from(end).ok()?).ok()?;
    let issuer: String = content.issuer().to_string().chars().filter(|c| !c.is_control()).take(120).collect();
    Some((issuer, end))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;
    use crate::check::{CheckStatus, Subject};

    fn certificate() -> Vec<u8> {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_after = date_time_ymd(2026, 3, 31);
        parameters.distinguished_name.push(DnType::CommonName, "Test Authority");
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning() {
        let certificate = certificate();
        for (now, status, part) in [
            ("2026-01-01T00:00:00Z", CheckStatus::Ok, "89 days left, until 2026-03-31"),
            ("2026-03-17T00:00:00Z", CheckStatus::Ok, "14 days left"),
            ("2026-03-17T00:00:01Z", CheckStatus::Warning, "ends in 13 days, on 2026-03-31"),
            ("2026-03-30T12:00:00Z", CheckStatus::Warning, "ends in 0 days"),
            ("2026-04-02T00:00:00Z", CheckStatus::Warning, "ended 2 days ago"),
        ] {
            let mut findings = CheckFindings::about(Subject::Broker);
            judge("localhost:5671", &certificate, now.parse().unwrap(), &mut findings);
            let found = findings.finish().remove(0);
            assert_eq!(found.status, status, "{now}");
            assert!(
                found.message.contains(part) && found.message.contains("Test Authority"),
                "{}",
                found.message
            );
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_are_skipped() {
        let mut findings = CheckFindings::about(Subject::Broker);
        judge("localhost:5671", b"no", Timestamp::UNIX_EPOCH, &mut findings);
        assert_eq!(findings.finish()[0].status, CheckStatus::Skipped);
    }
}

//! What the error that ended a connection says about its deliveries. Pure.

use lapin::ErrorKind;

const FRAME_ERROR: u16 = 501;
const SYNTAX_ERROR: u16 = 502;
const UNEXPECTED_FRAME: u16 = 505;
const INTERNAL_ERROR: u16 = 541;

/// Whether the connection may have ended over a message that was delivered on it.
pub(in crate::broker) fn may_be_over_a_message(error: &lapin::Error) -> bool {
    if let ErrorKind::ProtocolError(error) = error.kind() {
        return [FRAME_ERROR, SYNTAX_ERROR, UNEXPECTED_FRAME, INTERNAL_ERROR].contains(&error.get_id());
    }
    matches!(error.kind(), ErrorKind::ParsingError(_))
}

/// Whether the client library ended the connection, and so had the message in hand. The other codes come from the broker,
/// which also uses them for failures of its own.
pub(in crate::broker) fn is_from_client_library(error: &lapin::Error) -> bool {
    if let ErrorKind::ProtocolError(error) = error.kind() {
        return [FRAME_ERROR, UNEXPECTED_FRAME].contains(&error.get_id());
    }
    matches!(error.kind(), ErrorKind::ParsingError(_))
}

/// Whether the broker failed, which may be over a message that it cannot hand out.
pub(super) fn is_broker_failure(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == INTERNAL_ERROR)
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError};

    use super::*;

    #[test]
    fn only_errors_of_reading_are_over_a_message() {
        let hard = |error: AMQPHardError| {
            let kind: AMQPErrorKind = error.into();
            lapin::Error::from(ErrorKind::ProtocolError(AMQPError::new(kind, "why".into())))
        };
        let of_reading = [
            (AMQPHardError::FRAMEERROR, true),
            (AMQPHardError::UNEXPECTEDFRAME, true),
            (AMQPHardError::SYNTAXERROR, false),
            (AMQPHardError::INTERNALERROR, false),
        ];
        for (error, from_library) in of_reading {
            let error = hard(error);
            assert!(may_be_over_a_message(&error), "{error}");
            assert_eq!(is_from_client_library(&error), from_library, "{error}");
        }
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let others = [
            reset.into(),
            ErrorKind::MissingHeartbeatError.into(),
            hard(AMQPHardError::CONNECTIONFORCED),
            hard(AMQPHardError::NOTALLOWED),
            hard(AMQPHardError::RESOURCEERROR),
        ];
        for error in others {
            assert!(!may_be_over_a_message(&error) && !is_from_client_library(&error), "{error}");
        }
    }
}

//! Exit codes: stable, listed in `docs/commands.md`.

use crate::{
    administration::AdministrationError,
    mqtt::{describe, printable},
};
use symbolon_auth_server::StartError as AuthServerStartError;
use symbolon_broker::StartError as BrokerStartError;
use symbolon_client::{ConnectError, discovery::DiscoveryError, token::TokenRequestError};
use symbolon_tls::https::HttpsError;

/// What the program tells its caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Anything that has no code of its own.
    General = 1,
    /// The command line, the configuration or a profile is wrong.
    Usage = 2,
    /// The authorization server refuses.
    RefusedByAuthorizationServer = 3,
    /// The broker refuses: the connection, a subscription or a message.
    RefusedByBroker = 4,
    /// There is no secure connection: no name, no answer, or a certificate that is not trusted.
    Unreachable = 5,
    /// A connection that stood was lost.
    Lost = 6,
    /// A reload changes nothing: some keys need a restart.
    NeedsRestart = 7,
    /// Time ran out; the number is `mosquitto_sub`'s.
    TimedOut = 27,
}

/// The command line or the configuration is wrong; how.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The broker refuses something within a connection; what, and in its words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// Only a restart can change this; what.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NeedsRestart(pub(crate) String);

/// No server to speak to; where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoServer(pub(crate) String);

/// Time ran out.
#[derive(Debug, thiserror::Error)]
#[error("timed out{0}")]
pub(crate) struct TimedOut(pub(crate) &'static str);

/// Shorthand for a usage error.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(message.into()))
}

/// Something that was named is not there; what, and which.
pub(crate) fn missing(what: &str, name: &str) -> anyhow::Error {
    anyhow::anyhow!("there is no {what} {name:?}")
}

impl Exit {
    /// The code for a failure: that of the first cause that has one.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error
            .chain()
            .find_map(Self::of_cause)
            .unwrap_or(Self::General)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if cause.is::<Usage>() || cause.is::<crate::config::ConfigError>() {
            return Some(Self::Usage);
        }
        if cause.is::<Refused>() {
            return Some(Self::RefusedByBroker);
        }
        if cause.is::<NeedsRestart>() {
            return Some(Self::NeedsRestart);
        }
        if cause.is::<NoServer>() {
            return Some(Self::Unreachable);
        }
        if cause.is::<TimedOut>() {
            return Some(Self::TimedOut);
        }
        if let Some(error) = cause.downcast_ref::<ConnectError>() {
            return Some(Self::of_connection(error));
        }
        if let Some(error) = cause.downcast_ref::<AdministrationError>() {
            return Some(Self::of_administration(error));
        }
        if let Some(error) = cause.downcast_ref::<TokenRequestError>() {
            return Some(Self::of_token_request(error));
        }
        if let Some(error) = cause.downcast_ref::<DiscoveryError>() {
            return Some(Self::of_discovery(error));
        }
        let wrong_setup = cause
            .downcast_ref::<AuthServerStartError>()
            .is_some_and(|error| {
                matches!(
                    error,
                    AuthServerStartError::Certificate(_)
                        | AuthServerStartError::Issuer(..)
                        | AuthServerStartError::TokenLifetime
                )
            })
            || cause
                .downcast_ref::<BrokerStartError>()
                .is_some_and(|error| matches!(error, BrokerStartError::Config(_)));
        wrong_setup.then_some(Self::Usage)
    }

    fn of_connection(error: &ConnectError) -> Self {
        match error {
            ConnectError::Unreachable(..) | ConnectError::Tls(_) | ConnectError::WrongBroker => {
                Self::Unreachable
            }
            ConnectError::Refused { .. } | ConnectError::NotTaken { .. } => Self::RefusedByBroker,
            ConnectError::Lost(_) | ConnectError::Protocol(_) => Self::Lost,
            ConnectError::Timeout => Self::TimedOut,
            ConnectError::NotRenewed(error) => Self::of_token_request(error),
            ConnectError::Options(_) | ConnectError::Mode(_) => Self::Usage,
            ConnectError::NotSent(_) | ConnectError::Backlog | _ => Self::General,
        }
    }

    fn of_administration(error: &AdministrationError) -> Self {
        match error {
            AdministrationError::Unreachable {
                source: HttpsError::Url | HttpsError::Header(_),
                ..
            }
            | AdministrationError::TooLong => Self::Usage,
            AdministrationError::Unreachable { .. } => Self::Unreachable,
            refused if refused.refuses_the_account() => Self::RefusedByAuthorizationServer,
            AdministrationError::Refused { .. }
            | AdministrationError::NotUnderstood { .. }
            | AdministrationError::Endless
            | AdministrationError::Unwritable(_) => Self::General,
        }
    }

    fn of_discovery(error: &DiscoveryError) -> Self {
        match error {
            DiscoveryError::Authorities(_) => Self::Usage,
            DiscoveryError::Unreachable(_) => Self::Unreachable,
            // The broker sends us to a server that is not what it says: no tokens from there.
            DiscoveryError::Endpoint(_)
            | DiscoveryError::NoMetadata(_)
            | DiscoveryError::Mismatch(_)
            | _ => Self::RefusedByAuthorizationServer,
        }
    }

    fn of_token_request(error: &TokenRequestError) -> Self {
        match error {
            TokenRequestError::Profile(_) => Self::Usage,
            TokenRequestError::Unreachable(_) => Self::Unreachable,
            TokenRequestError::Refused(_) => Self::RefusedByAuthorizationServer,
            TokenRequestError::NotTaken { .. } => Self::RefusedByBroker,
            TokenRequestError::Answer(_) | _ => Self::General,
        }
    }
}

/// Whether whoever read our output has gone: no failure of ours.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind_of = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        let json = cause.downcast_ref::<serde_json::Error>();
        io.map(std::io::Error::kind)
            .or_else(|| json.and_then(serde_json::Error::io_error_kind))
    };
    error
        .chain()
        .any(|cause| kind_of(cause) == Some(std::io::ErrorKind::BrokenPipe))
}

/// The causes in one line, none said twice.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = words(cause);
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// A cause for people: a refusal with its reason code as the standard words it, and where to ask for a token.
fn words(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<ConnectError>() {
        Some(ConnectError::Refused {
            reason_code,
            reason_string,
            hint,
        }) => {
            let refusal = describe(*reason_code, reason_string.as_deref());
            let hint = hint.as_ref().map_or_else(String::new, |hint| {
                let endpoint = printable(&hint.authorization_server);
                format!("; tokens are issued at {endpoint}")
            });
            format!("the broker refuses: {refusal}{hint}")
        }
        Some(ConnectError::NotTaken {
            reason_code,
            reason_string,
        }) => {
            let refusal = describe(*reason_code, reason_string.as_deref());
            format!("the broker does not take the token at authz-info: {refusal}")
        }
        Some(_) | None => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_cause_keeps_its_code_under_context() {
        let refused: Result<(), _> = Err(Refused("no".into()));
        let error = refused.context("publishing").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::RefusedByBroker);
        assert_eq!(one_line(&error), "publishing: no");
    }

    #[test]
    fn a_refusal_says_code_reason_and_where_to_ask() {
        let error = ConnectError::Refused {
            reason_code: symbolon_mqtt_proto::ReasonCode::NotAuthorized,
            reason_string: Some("a token is required".into()),
            hint: Some(Box::new(symbolon_ace_proto::AsHint {
                cnonce: None,
                authorization_server: "https://as.example/token".into(),
                audience: None,
                scope: None,
            })),
        };
        assert_eq!(
            one_line(&error.into()),
            "the broker refuses: not authorized (0x87): a token is required; tokens are issued at https://as.example/token"
        );
    }

    #[test]
    fn time_out_has_the_code_of_mosquitto_sub() {
        assert_eq!(Exit::of(&TimedOut("").into()) as u8, 27);
        assert_eq!(Exit::of(&ConnectError::Timeout.into()) as u8, 27);
    }

    #[test]
    fn a_cause_that_the_error_already_says_is_not_said_twice() {
        let io = std::io::Error::other("address in use");
        let error = anyhow::Error::new(io).context("cannot listen: address in use");
        assert_eq!(one_line(&error), "cannot listen: address in use");
    }
}

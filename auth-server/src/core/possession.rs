//! Which proof-of-possession key a token gets. A client's own key is taken only where the request proves that the client holds it (RFC 9201
//! §3.1). RFC 9431 defines no method for that; ours are a client assertion signed with it, a DPoP header (RFC 9449), or its certificate or
//! its raw public key in the TLS handshake.

use symbolon_ace_proto::{
    Confirmation, ErrorCode, ErrorResponse, PopAlgorithm, PopKey, dpop::DpopError,
};

/// What a request says about keys, all verified but `req_cnf`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    /// The key the client asks for.
    pub(crate) req_cnf: Option<&'a Confirmation>,
    /// The key that signed its assertion.
    pub(crate) assertion_key: Option<&'a PopKey>,
    /// The key that signed its DPoP header.
    pub(crate) dpop_key: Option<&'a PopKey>,
    /// The key of the certificate, or the raw public key, that it showed in the TLS handshake.
    pub(crate) certificate_key: Option<&'a PopKey>,
}

/// The key of a token.
#[derive(Debug)]
pub(crate) enum TokenKey {
    /// The client's own public key.
    Client(PopKey),
    /// A new symmetric one that the AS makes (RFC 9200 §5.8.1: the default without `req_cnf`).
    New,
}

/// Why a client gets no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum PossessionError {
    #[error("req_cnf must be a public key in jwk: the authorization server makes symmetric keys")]
    Symmetric,
    #[error("req_cnf names no key of a token that the client has for this audience")]
    UnknownKeyIdentifier,
    #[error("symmetric keys are not supported at this audience")]
    NoSymmetricKeys,
    #[error("a refresh token is for the same key: req_cnf must not be there")]
    KeyWithRefreshToken,
    #[error("req_cnf is not a key for EdDSA with Ed25519 or ES256")]
    Unsupported,
    #[error("req_cnf is not a key for the algorithm that the client is registered for")]
    OtherAlgorithm,
    #[error(
        "possession of the key in req_cnf is not proved: sign client_assertion with it, send a DPoP header, or show its certificate or the key itself in the TLS handshake"
    )]
    NotProved,
    #[error("req_cnf is missing: the client is registered for a key pair of its own")]
    Missing,
    #[error("a DPoP header without req_cnf")]
    DpopAlone,
    #[error("more than one DPoP header")]
    SeveralDpop,
    #[error("{0}")]
    Dpop(DpopError),
    #[error("replayed DPoP proof")]
    DpopReplayed,
}

impl PossessionError {
    /// What the client is told.
    pub(crate) fn response(self) -> ErrorResponse {
        let code = match self {
            Self::UnknownKeyIdentifier
            | Self::NoSymmetricKeys
            | Self::Unsupported
            | Self::OtherAlgorithm => ErrorCode::UnsupportedPopKey,
            Self::Symmetric
            | Self::KeyWithRefreshToken
            | Self::NotProved
            | Self::Missing
            | Self::DpopAlone
            | Self::SeveralDpop
            | Self::Dpop(_)
            | Self::DpopReplayed => ErrorCode::InvalidRequest,
        };
        ErrorResponse::new(code, &self.to_string())
    }
}

/// Chooses the key of a token for a client registered for `algorithm`.
pub(crate) fn choose_key(
    algorithm: PopAlgorithm,
    evidence: Evidence<'_>,
) -> Result<TokenKey, PossessionError> {
    match (evidence.req_cnf, evidence.dpop_key, algorithm) {
        (Some(req_cnf), _, _) => proved_key(req_cnf, algorithm, evidence).map(TokenKey::Client),
        // RFC 9449 would bind a bearer-like token to it, which we do not issue: better refused than misunderstood.
        (None, Some(_), _) => Err(PossessionError::DpopAlone),
        (None, None, PopAlgorithm::Hs256) => Ok(TokenKey::New),
        (None, None, PopAlgorithm::EdDsa | PopAlgorithm::Es256) => evidence
            .assertion_key
            .filter(|key| key.algorithm() == algorithm)
            .map(|key| TokenKey::Client(key.clone()))
            .ok_or(PossessionError::Missing),
    }
}

fn proved_key(
    req_cnf: &Confirmation,
    algorithm: PopAlgorithm,
    evidence: Evidence<'_>,
) -> Result<PopKey, PossessionError> {
    let jwk = match req_cnf {
        Confirmation::Key(jwk) => jwk,
        Confirmation::Encrypted(_) => return Err(PossessionError::Symmetric),
        Confirmation::KeyIdentifier(_) => return Err(PossessionError::UnknownKeyIdentifier),
    };
    if jwk.kty == "oct" {
        return Err(PossessionError::Symmetric);
    }
    let key = PopKey::from_jwk(jwk).map_err(|_| PossessionError::Unsupported)?;
    if key.algorithm() != algorithm {
        return Err(PossessionError::OtherAlgorithm);
    }
    let proved = [
        evidence.assertion_key,
        evidence.dpop_key,
        evidence.certificate_key,
    ];
    if proved.contains(&Some(&key)) {
        Ok(key)
    } else {
        Err(PossessionError::NotProved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use symbolon_ace_proto::PopSigner;

    const NOTHING: Evidence<'_> = Evidence {
        req_cnf: None,
        assertion_key: None,
        dpop_key: None,
        certificate_key: None,
    };

    fn public(algorithm: PopAlgorithm) -> PopKey {
        PopSigner::generate(algorithm).unwrap().verifying_key()
    }

    fn named(key: &PopKey) -> Confirmation {
        Confirmation::Key(Box::new(key.to_jwk()))
    }

    fn chosen(algorithm: PopAlgorithm, evidence: Evidence<'_>) -> Result<PopKey, PossessionError> {
        match choose_key(algorithm, evidence)? {
            TokenKey::Client(key) => Ok(key),
            TokenKey::New => panic!("a new key"),
        }
    }

    // RFC 9200 §5.8.1
    #[test]
    fn without_req_cnf_a_client_for_hs256_gets_a_new_key() {
        let choice = choose_key(PopAlgorithm::Hs256, NOTHING);
        assert!(matches!(choice, Ok(TokenKey::New)));
        // Even where an assertion proves a key pair: the client is registered for another.
        let key = public(PopAlgorithm::EdDsa);
        let evidence = Evidence {
            assertion_key: Some(&key),
            ..NOTHING
        };
        let choice = choose_key(PopAlgorithm::Hs256, evidence);
        assert!(matches!(choice, Ok(TokenKey::New)));
    }

    #[test]
    fn without_req_cnf_the_key_of_the_assertion_is_taken_where_it_fits() {
        let key = public(PopAlgorithm::EdDsa);
        let evidence = Evidence {
            assertion_key: Some(&key),
            ..NOTHING
        };
        assert_eq!(chosen(PopAlgorithm::EdDsa, evidence), Ok(key.clone()));
        let unlike = chosen(PopAlgorithm::Es256, evidence);
        assert_eq!(unlike, Err(PossessionError::Missing));
        let nothing = chosen(PopAlgorithm::EdDsa, NOTHING);
        assert_eq!(nothing, Err(PossessionError::Missing));
    }

    // RFC 9201 §3.1: the AS makes sure that the client holds the private key.
    #[test]
    fn a_named_key_must_be_proved_by_assertion_or_dpop() {
        let (own, other) = (public(PopAlgorithm::Es256), public(PopAlgorithm::Es256));
        let req_cnf = named(&own);
        for (assertion_key, dpop_key, proved) in [
            (None, None, false),
            (Some(&own), None, true),
            (None, Some(&own), true),
            (Some(&other), Some(&own), true),
            (Some(&own), Some(&other), true),
            (Some(&other), None, false),
            (None, Some(&other), false),
            (Some(&other), Some(&other), false),
        ] {
            let evidence = Evidence {
                req_cnf: Some(&req_cnf),
                assertion_key,
                dpop_key,
                certificate_key: None,
            };
            let expected = if proved {
                Ok(own.clone())
            } else {
                Err(PossessionError::NotProved)
            };
            assert_eq!(chosen(PopAlgorithm::Es256, evidence), expected);
        }
    }

    // RFC 9201 §3.1, RFC 8705
    #[test]
    fn a_named_key_may_be_proved_by_a_certificate() {
        let (own, other) = (public(PopAlgorithm::EdDsa), public(PopAlgorithm::EdDsa));
        let req_cnf = named(&own);
        let shown = |key| Evidence {
            req_cnf: Some(&req_cnf),
            certificate_key: Some(key),
            ..NOTHING
        };
        let right = chosen(PopAlgorithm::EdDsa, shown(&own));
        assert_eq!(right, Ok(own.clone()));
        let wrong = chosen(PopAlgorithm::EdDsa, shown(&other));
        assert_eq!(wrong, Err(PossessionError::NotProved));
    }

    #[test]
    fn a_key_that_is_not_a_fitting_public_key_is_refused() {
        let own = public(PopAlgorithm::EdDsa);
        let private = PopSigner::generate(PopAlgorithm::EdDsa).unwrap().to_jwk();
        for (req_cnf, algorithm, error) in [
            (
                named(&public(PopAlgorithm::Hs256)),
                PopAlgorithm::Hs256,
                PossessionError::Symmetric,
            ),
            (
                Confirmation::Encrypted("a..b.c.d".to_owned()),
                PopAlgorithm::Hs256,
                PossessionError::Symmetric,
            ),
            (
                Confirmation::KeyIdentifier(vec![1]),
                PopAlgorithm::EdDsa,
                PossessionError::UnknownKeyIdentifier,
            ),
            (
                named(&own),
                PopAlgorithm::Es256,
                PossessionError::OtherAlgorithm,
            ),
            (
                named(&own),
                PopAlgorithm::Hs256,
                PossessionError::OtherAlgorithm,
            ),
            (
                Confirmation::Key(Box::new(private)),
                PopAlgorithm::EdDsa,
                PossessionError::Unsupported,
            ),
        ] {
            let evidence = Evidence {
                req_cnf: Some(&req_cnf),
                assertion_key: Some(&own),
                dpop_key: Some(&own),
                certificate_key: Some(&own),
            };
            assert_eq!(chosen(algorithm, evidence), Err(error));
        }
    }

    #[test]
    fn a_dpop_header_alone_binds_nothing() {
        let key = public(PopAlgorithm::EdDsa);
        for algorithm in [PopAlgorithm::EdDsa, PopAlgorithm::Hs256] {
            let evidence = Evidence {
                dpop_key: Some(&key),
                assertion_key: Some(&key),
                ..NOTHING
            };
            let refusal = chosen(algorithm, evidence);
            assert_eq!(refusal, Err(PossessionError::DpopAlone));
        }
    }

    // RFC 9200 §5.8.3
    #[test]
    fn descriptions_are_what_rfc_6749_allows() {
        for error in [
            PossessionError::Symmetric,
            PossessionError::UnknownKeyIdentifier,
            PossessionError::OtherAlgorithm,
            PossessionError::NotProved,
            PossessionError::Missing,
            PossessionError::Dpop(DpopError("too old or from the future")),
        ] {
            assert_eq!(error.response().description, error.to_string());
        }
    }
}

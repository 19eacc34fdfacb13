//! Which proof-of-possession key a token gets. A client's own key is taken only where the request proves that the client holds it (RFC 9201
//! §3.1). RFC 9431 defines no method for that; ours are a client assertion signed with it, or a DPoP header (RFC 9449).

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
    #[error("req_cnf names no key that the authorization server knows: send the public key in jwk")]
    UnknownKeyIdentifier,
    #[error("req_cnf is not a key for EdDSA with Ed25519 or ES256")]
    Unsupported,
    #[error("req_cnf is not a key for the algorithm that the client is registered for")]
    OtherAlgorithm,
    #[error(
        "possession of the key in req_cnf is not proved: sign client_assertion with it, or send a DPoP header"
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
            Self::UnknownKeyIdentifier | Self::Unsupported | Self::OtherAlgorithm => {
                ErrorCode::UnsupportedPopKey
            }
            Self::Symmetric
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
    let proved = [evidence.assertion_key, evidence.dpop_key];
    if proved.contains(&Some(&key)) {
        Ok(key)
    } else {
        Err(PossessionError::NotProved)
    }
}

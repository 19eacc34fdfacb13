//! Makes the token that was decided on, remembers it, and answers.

use super::{Endpoints, Format, Refusal};
use crate::{
    EXI_KEPT_SECS,
    core::{
        grant::{self, Particulars, Parties},
        minting::{self, Binding, Minted, Token},
        policy::{Destination, Permitted, PolicyError},
        possession::PossessionError,
    },
    issuing::{Issuing, now_millis},
    store::{
        Client, Lifetime, NewRefreshToken, NewToken, RefreshGrant, Remembered, Snapshot, sha256_of,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::sync::Arc;
use symbolon_ace_proto::{
    Claims, Confirmation, IntrospectionResponse, Jwk, PROFILE, TokenResponse, UnixTime,
};

/// The longest token: two bytes of length, it and a proof of 64 bytes fill MQTT's Authentication Data (RFC 9431 §2.2.4.2.1).
const MAX_TOKEN_BYTES: usize = 65_535 - 2 - 64;
/// How long a refresh token is good, seconds; each exchange makes a new one.
const REFRESH_LIFETIME_SECS: u64 = 30 * 24 * 3600;

/// All that stands before a token is made.
pub(super) struct Decided<'a> {
    pub(super) client: &'a Client,
    pub(super) destination: Destination,
    pub(super) key: Binding,
    pub(super) permitted: Permitted,
    pub(super) client_nonce: Option<Vec<u8>>,
    /// Digest of the refresh token that is exchanged, and what it stands for.
    pub(super) refreshing: Option<([u8; 32], RefreshGrant)>,
    /// What it was decided by.
    pub(super) snapshot: Arc<Snapshot>,
}

/// Which key a token is asked for.
pub(super) enum Key {
    /// A new symmetric one.
    Fresh,
    /// The client's own.
    Own(Box<Jwk>),
    /// That of a token which the client has for the audience, by name (RFC 9202 §4).
    Named(Vec<u8>),
    /// That of a refresh token.
    Earlier(Confirmation),
}

impl Key {
    pub(super) fn of_refresh_token(grant: &RefreshGrant) -> Result<Self, Refusal> {
        let value = serde_json::from_str(&grant.confirmation);
        let value: serde_json::Value = value.map_err(|_| Refusal::RefreshToken)?;
        Confirmation::parse(&value)
            .map(Self::Earlier)
            .map_err(|_| Refusal::RefreshToken)
    }

    /// The key itself, for this audience.
    pub(super) async fn bind(
        self,
        endpoints: &Endpoints,
        client: &Client,
        destination: &Destination,
        now: UnixTime,
    ) -> Result<Binding, Refusal> {
        let server = &destination.server;
        let binding = match self {
            Self::Own(jwk) => Binding::Public(jwk),
            Self::Fresh if destination.is_group() => {
                return Err(PossessionError::NoSymmetricKeys.into());
            }
            Self::Fresh => Binding::fresh(server)?.ok_or(PossessionError::NoSymmetricKeys)?,
            Self::Named(kid) => {
                let whose = (client.client_id.as_str(), destination.audience.as_str());
                let store = &endpoints.store;
                let answer = store.answer_for_key(whose, &kid, now).await?;
                let answer = answer.ok_or(PossessionError::UnknownKeyIdentifier)?;
                let known = match IntrospectionResponse::from_json(answer.as_bytes())? {
                    IntrospectionResponse::Active(token) => token.confirmation,
                    IntrospectionResponse::Inactive => None,
                };
                known
                    .and_then(|known| Binding::of_earlier(&known, &kid, server))
                    .ok_or(PossessionError::UnknownKeyIdentifier)?
            }
            Self::Earlier(confirmation) => Binding::of_earlier(&confirmation, &[], server)
                .ok_or(PossessionError::UnknownKeyIdentifier)?,
        };
        // RFC 9200 §6.9: each of the group could pass for the client with it.
        if destination.is_group() && binding.is_symmetric() {
            return Err(PossessionError::NoSymmetricKeys.into());
        }
        Ok(binding)
    }
}

impl Endpoints {
    pub(super) async fn issue(
        &self,
        decided: Decided<'_>,
        issuing: &Issuing,
        format: Format,
        now: UnixTime,
    ) -> Result<TokenResponse, Refusal> {
        let server = &decided.destination.server;
        let identifier = match server.tokens.lifetime {
            Lifetime::Exp => minting::timed_identifier(now_millis())?.to_vec(),
            Lifetime::Exi => {
                let number = self.store.next_sequence_number(&server.audience).await?;
                minting::numbered_identifier(&server.audience, number)
            }
        };
        let parties = Parties {
            issuer: self.issuer.as_str(),
            client_id: &decided.client.client_id,
            audience: decided.destination.claim(),
        };
        let particulars = Particulars {
            confirmation: decided.key.in_token(server)?,
            identifier: &identifier,
            lifetime: server.tokens.lifetime,
            client_nonce: decided.client_nonce.clone(),
        };
        let claims = grant::claims(parties, &decided.permitted, particulars, now);
        let key = issuing.signing_key()?;
        let token = match minting::mint(&claims, server, (key.algorithm(), key.kid()))? {
            Minted::Whole(token) => token,
            Minted::Unsigned(unsigned) => {
                let signature = key.sign(unsigned.signing_input()).await?;
                Token::signed(unsigned, &signature)?
            }
        };
        if token.bytes.len() > MAX_TOKEN_BYTES {
            return Err(PolicyError::TooLarge.into());
        }
        let cnf = decided.key.for_client(server, &token)?;
        let refresh = next_refresh(&decided, &claims)?;
        let family = refresh.as_ref().map(|(_, grant)| grant.family);
        self.remember(&decided, (&token, &claims), (format, family), now)
            .await?;
        if let Some((text, grant)) = &refresh {
            self.exchange(&decided, text, grant, now).await?;
        }
        self.metrics.token_issued(server.tokens.format.as_str());
        let shown = !decided.key.is_symmetric() && !decided.destination.is_group();
        Ok(TokenResponse {
            access_token: token.text,
            token_type: Some("PoP".to_owned()),
            expires_in_secs: Some(decided.permitted.token_lifetime_secs),
            scope: Some(decided.permitted.scope),
            cnf,
            // RFC 9201 §3.2: not with a symmetric key; §5: not for several resource servers.
            rs_cnf: decided.destination.server.rs_cnf.filter(|_| shown),
            refresh_token: refresh.map(|(text, _)| text),
            ace_profile: Some(PROFILE.to_owned()),
        })
    }

    async fn remember(
        &self,
        decided: &Decided<'_>,
        (token, claims): (&Token, &Claims),
        (format, family): (Format, Option<[u8; 16]>),
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let answer = IntrospectionResponse::Active(Box::new(grant::told(claims))).to_json();
        let kept = match claims.expires_in_secs {
            None => 0,
            Some(_) => EXI_KEPT_SECS,
        };
        let remembered = NewToken {
            sha256: sha256_of(&token.bytes),
            listed_as: token.hash(format.is_cbor()),
            identifier: claims.token_identifier.clone().unwrap_or_default(),
            client_id: decided.client.client_id.clone(),
            audience: decided.destination.audience.clone(),
            scope: claims.scope.to_json(),
            pop_kid: Some(decided.key.kid()),
            answer: answer.to_string(),
            family,
            expires_at: claims.expires_at.plus_secs(kept),
        };
        let stored = self.store.remember(remembered, &decided.snapshot, now);
        match stored.await? {
            Remembered::Stored => Ok(()),
            Remembered::TooMany => Err(Refusal::TooManyTokens),
            Remembered::Outdated => Err(Refusal::Outdated),
        }
    }

    /// Stores a refresh token, in the place of the one that is exchanged.
    async fn exchange(
        &self,
        decided: &Decided<'_>,
        text: &str,
        grant: &RefreshGrant,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let next = NewRefreshToken {
            sha256: sha256_of(text.as_bytes()),
            grant,
            expires_at: now.plus_secs(REFRESH_LIFETIME_SECS),
        };
        let Some((before, _)) = &decided.refreshing else {
            return Ok(self.store.add_refresh_token(&next).await?);
        };
        if self.store.rotate_refresh_token(before, &next, now).await? {
            return Ok(());
        }
        self.tell_changes();
        Err(Refusal::RefreshTokenReplayed)
    }
}

/// A refresh token where the client is to have one, with what it stands for. A derived key gets none: it dies with its token.
fn next_refresh(
    decided: &Decided<'_>,
    claims: &Claims,
) -> Result<Option<(String, RefreshGrant)>, Refusal> {
    let derived = match claims.confirmation {
        Confirmation::KeyIdentifier(_) => true,
        Confirmation::Key(_) | Confirmation::Encrypted(_) => false,
    };
    if !decided.client.refresh_tokens || derived {
        return match decided.refreshing {
            // The client may have none any more.
            Some(_) => Err(Refusal::RefreshToken),
            None => Ok(None),
        };
    }
    let text = URL_SAFE_NO_PAD.encode(minting::random::<32>()?);
    let confirmation = claims.confirmation.to_json().to_string();
    let grant = match &decided.refreshing {
        Some((_, before)) => RefreshGrant {
            confirmation,
            ..before.clone()
        },
        None => RefreshGrant {
            family: minting::random()?,
            client_id: decided.client.client_id.clone(),
            audience: decided.destination.audience.clone(),
            scope: claims.scope.to_json(),
            confirmation,
        },
    };
    Ok(Some((text, grant)))
}

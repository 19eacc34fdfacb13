//! From CONNECT to a grant: who may come in, and what is asked of them first (RFC 9431 §2.2).

use super::{
    authz_info::AUTHZ_INFO,
    freshness::ClientNonces,
    grant::{Grant, PublicTopics},
    introspected::{Introspected, Reference, Verdict},
    message::{Message, Origin},
    publishers::Publishers,
    quota::Quotas,
    revoked::Revoked,
    session::SessionWill,
    stored_tokens::{StoredToken, StoredTokens, Thumbprint},
    system::is_of_broker,
};
use std::{
    borrow::Cow,
    collections::HashSet,
    num::{NonZeroU16, NonZeroU32},
    sync::Arc,
};
use symbolon_ace_proto::{
    AUTHENTICATION_METHOD, AsHint, ChallengeResponse, Claims, Confirmation, ConnectData, KeySet,
    Lifetimes, PopKey, RsNonce, TokenError, TokenHash, UnixTime, Validation,
    authentication_data::{challenge_message, token_of_user_name},
    identifier,
    jwe::ContentKeys,
    token,
};
use symbolon_mqtt_proto::{
    Auth, Connect, ProtocolVersion, Publish, PublishProperties, Qos, ReasonCode, Will,
    publish::Delivery,
};

/// Whose tokens count, and what a client without one is told.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) content_keys: ContentKeys,
    /// The value of `ace_as_hint` (RFC 9431 §2.4.1).
    pub(crate) hint: String,
}

/// What every admission is judged by.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) authority: Option<Authority>,
    pub(crate) public_topics: Arc<PublicTopics>,
    /// Response Information, with `${client_id}` where the Client Identifier belongs.
    pub(crate) response_information: Option<String>,
    pub(crate) quotas: Quotas,
    pub(crate) tokens: TokenKeeping,
}

/// Tokens that come before their clients do (RFC 9431 §2.2.2).
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenKeeping {
    /// Tokens may be published to `authz-info`, by anyone.
    pub(crate) authz_info: bool,
    /// Who names a client that has a stored token is challenged by it, and so learns that there is one.
    pub(crate) stored_token_challenge: bool,
    /// Shared by all shards.
    pub(crate) stored: Arc<StoredTokens>,
    /// A token must bring back a nonce of a hint; without these it need not.
    pub(crate) nonces: Option<Arc<ClientNonces>>,
    /// The authorization server can be asked what a token by reference says.
    pub(crate) introspection: bool,
    /// What it said; shared by all shards.
    pub(crate) introspected: Arc<Introspected>,
    /// Those that were revoked; shared by all shards.
    pub(crate) revoked: Arc<Revoked>,
    /// Whose the retained messages are; shared by all shards.
    pub(crate) publishers: Arc<Publishers>,
}

impl TokenKeeping {
    /// These tokens are revoked, and no others: they are refused from now on, and what is kept of them is forgotten. Those that were not
    /// known before, for [`Shard::handle_revoked`](super::shard::Shard::handle_revoked) of every shard.
    pub(crate) fn revoke(&self, hashes: HashSet<TokenHash>) -> HashSet<TokenHash> {
        let new = self.revoked.replace(hashes);
        if !new.is_empty() {
            self.stored.revoke(&new);
            self.publishers.revoke(&new);
        }
        new
    }
}

/// How far our clock and the AS's may differ for `nbf`, seconds.
const LEEWAY_SECS: u64 = 5;

/// What one CONNECT is judged with.
#[derive(Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    /// The AS's keys as known now.
    pub(crate) keys: &'a KeySet,
    /// The connection's exporter value; absent on bare TCP.
    pub(crate) exporter: Option<&'a [u8; 32]>,
    /// The key that TLS proved the client to hold, by its thumbprint.
    pub(crate) proved_key: Option<Thumbprint>,
    /// Gives a fresh nonce where a challenge is due; `None` where the system has no random numbers.
    pub(crate) fresh_nonce: &'a dyn Fn() -> Option<RsNonce>,
    pub(crate) now: UnixTime,
    /// Milliseconds on the broker's clock.
    pub(crate) now_ms: u64,
}

/// What follows from a CONNECT.
#[derive(Debug)]
pub(crate) enum Step {
    Admit(Box<Admitted>),
    /// Send the nonce in AUTH 0x18 and wait for the answer.
    Challenge(Box<AwaitProof>),
}

/// A client that may come in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) introduction: Introduction,
    pub(crate) grant: Grant,
    /// It authenticated by the method `ace`.
    pub(crate) extended_authentication: bool,
    /// It authenticated on the TLS layer, by this key.
    pub(crate) proved_key: Option<Thumbprint>,
}

/// What the authorization server must be asked for before a token can be judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Undecided {
    /// Its keys: the token names one that we do not know.
    Keys,
    /// What the token says: it is a reference.
    Introspection(Reference),
}

/// What a CONNECT says, owned.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) version: ProtocolVersion,
    /// Empty asks for one.
    pub(crate) client_identifier: Box<str>,
    pub(crate) keep_alive_secs: u16,
    /// Begin anew, whatever there was (MQTT 5.0 §3.1.2.4).
    pub(crate) clean_start: bool,
    /// How long the session shall outlive its connection, seconds. In 3.1.1 for ever, or not at all.
    pub(crate) session_expiry_secs: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: u32,
    pub(crate) problem_information: bool,
    /// The client asks for Response Information (MQTT 5.0 §3.1.2.11.6).
    pub(crate) response_information: bool,
    /// Topic Aliases that we may use towards it.
    pub(crate) topic_alias_maximum: u16,
    /// The Will, as the PUBLISH it will become.
    pub(crate) will: Option<SessionWill>,
}

/// Waiting for the answer to a challenge (RFC 9431 §2.2.4.2.2).
#[derive(Debug)]
pub(crate) struct AwaitProof {
    introduction: Introduction,
    challenge: Challenge,
}

/// A valid token whose possession is not proved yet.
#[derive(Debug)]
pub(crate) struct Candidate {
    grant: Grant,
    key: PopKey,
}

/// A candidate with the nonce it was challenged with.
#[derive(Debug)]
pub(crate) struct Challenge {
    candidate: Candidate,
    pub(crate) rs_nonce: RsNonce,
}

/// Why a client is refused. What it is told never says which of its secrets was wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a token is required")]
    NoToken,
    #[error("this broker accepts tokens, not passwords")]
    Password,
    #[error("user name and password must be absent with the authentication method ace")]
    PasswordWithAce,
    #[error("the authentication method is not supported")]
    Method,
    #[error("malformed authentication data")]
    Malformed,
    #[error("{0}")]
    Token(TokenError),
    #[error("what the token says could not be learnt from the authorization server")]
    NotIntrospected(Reference),
    #[error("the authorization server does not vouch for the token")]
    Inactive,
    #[error("the token has been revoked")]
    Revoked,
    #[error("the token does not bring back a fresh cnonce")]
    Stale,
    #[error("the token's proof-of-possession key cannot be used")]
    Key,
    #[error("proof of possession failed")]
    Proof,
    #[error("proof over the TLS exporter needs TLS")]
    NoExporter,
    #[error("the will topic is not covered by the token")]
    Will,
    #[error("an AUTH packet that answers the challenge was expected")]
    UnexpectedPacket,
    #[error("the broker has no random numbers for a challenge")]
    NoRandom,
    #[error("re-authentication must be for the same subject")]
    OtherSubject,
    #[error("the client identifier belongs to another client's session")]
    OtherSession,
    #[error("the broker's store is full")]
    StoreFull,
    #[error("the broker keeps no more sessions")]
    Sessions,
    #[error("the broker stores no more tokens")]
    StoredTokens,
    #[error("the broker keeps no more wills")]
    Wills,
    #[error("the will is larger than the broker's limit")]
    WillSize,
    #[error("the will topic is beyond the broker's limits")]
    WillTopic,
}

impl Refusal {
    /// What CONNACK or DISCONNECT says (RFC 9431 §2.4.1).
    pub(crate) fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Method => ReasonCode::BadAuthenticationMethod,
            Self::Password => ReasonCode::BadUserNameOrPassword,
            Self::UnexpectedPacket => ReasonCode::ProtocolError,
            Self::NoRandom => ReasonCode::ServerUnavailable,
            Self::OtherSession => ReasonCode::ClientIdentifierNotValid,
            Self::StoreFull
            | Self::StoredTokens
            | Self::Sessions
            | Self::Wills
            | Self::WillSize => ReasonCode::QuotaExceeded,
            Self::WillTopic => ReasonCode::TopicNameInvalid,
            Self::NoToken
            | Self::PasswordWithAce
            | Self::Malformed
            | Self::Token(_)
            | Self::NotIntrospected(_)
            | Self::Inactive
            | Self::Revoked
            | Self::Stale
            | Self::Key
            | Self::Proof
            | Self::NoExporter
            | Self::Will
            | Self::OtherSubject => ReasonCode::NotAuthorized,
        }
    }

    /// What to ask the authorization server for; then the token is to be judged once more.
    pub(crate) fn undecided(&self) -> Option<Undecided> {
        if let Self::NotIntrospected(reference) = self {
            return Some(Undecided::Introspection(reference.clone()));
        }
        (*self == Self::Token(TokenError::UnknownKey)).then_some(Undecided::Keys)
    }

    /// The Reason String. It is one for all that can be wrong with a token, its key and the proof: who found a token does not learn from it
    /// whether that is still good, nor how close a forged one came. The log says more.
    pub(crate) fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Token(_)
            | Self::NotIntrospected(_)
            | Self::Inactive
            | Self::Revoked
            | Self::Stale
            | Self::Key
            | Self::Proof => "the token or the proof of possession does not hold here".into(),
            Self::NoToken
            | Self::Password
            | Self::PasswordWithAce
            | Self::Method
            | Self::Malformed
            | Self::NoExporter
            | Self::Will
            | Self::UnexpectedPacket
            | Self::NoRandom
            | Self::OtherSubject
            | Self::OtherSession
            | Self::StoreFull
            | Self::StoredTokens
            | Self::Sessions
            | Self::Wills
            | Self::WillSize
            | Self::WillTopic => self.to_string().into(),
        }
    }

    /// Whether another token would help, so that the client should be told where to get one.
    pub(crate) fn wants_hint(&self) -> bool {
        match self {
            Self::NoToken
            | Self::Password
            | Self::Token(_)
            | Self::NotIntrospected(_)
            | Self::Inactive
            | Self::Revoked
            | Self::Stale
            | Self::Key
            | Self::Proof
            | Self::Method => true,
            Self::PasswordWithAce
            | Self::Malformed
            | Self::NoExporter
            | Self::Will
            | Self::UnexpectedPacket
            | Self::NoRandom
            | Self::OtherSubject
            | Self::OtherSession
            | Self::StoreFull
            | Self::StoredTokens
            | Self::Sessions
            | Self::Wills
            | Self::WillSize
            | Self::WillTopic => false,
        }
    }
}

impl Admission {
    /// Judges a CONNECT. [`TokenError::UnknownKey`] may be due to old keys: fetch them and ask again.
    pub(crate) fn handle_connect(
        &self,
        connect: &Connect<'_>,
        at: Circumstances<'_>,
    ) -> Result<Step, Refusal> {
        if connect.version == ProtocolVersion::V311
            && let Some(token) = connect.user_name.and_then(token_of_user_name)
        {
            let token = token.map_err(|_| Refusal::Malformed)?;
            return self.admit_by_user_name(connect, &token, at);
        }
        match connect.properties.authentication_method {
            None => self.admit_anonymous(connect, at),
            Some(AUTHENTICATION_METHOD) => self.admit_by_token(connect, at),
            Some(_) => Err(Refusal::Method),
        }
    }

    /// What a client is told that needs a token: the value of `ace_as_hint`, with a nonce where tokens must bring one back.
    pub(crate) fn hint(&self, now: UnixTime) -> Option<Cow<'_, str>> {
        let hint = &self.authority.as_ref()?.hint;
        let Some(nonces) = &self.tokens.nonces else {
            return Some(hint.into());
        };
        let hint = AsHint::from_json(hint).ok()?;
        let hint = AsHint {
            cnonce: nonces.make(now),
            ..hint
        };
        Some(hint.to_json().into())
    }

    /// TLS:Anon, MQTT:None: public topics alone (RFC 9431 §2.2.1).
    fn admit_anonymous(
        &self,
        connect: &Connect<'_>,
        at: Circumstances<'_>,
    ) -> Result<Step, Refusal> {
        if connect.user_name.is_some() || connect.password.is_some() {
            return Err(Refusal::Password);
        }
        if let Some(key) = at.proved_key {
            return self.admit_by_proved_key(connect, key, at);
        }
        if self.public_topics.is_empty() && !self.tokens.authz_info {
            return Err(Refusal::NoToken);
        }
        let grant = Grant::anonymous(Arc::clone(&self.public_topics));
        Ok(Step::Admit(Box::new(
            Introduction::new(connect, at.now_ms, &grant)?.admit(grant, false),
        )))
    }

    /// TLS:Known, MQTT:None: by the token stored for the key that TLS proved (RFC 9431 §2.2.3).
    fn admit_by_proved_key(
        &self,
        connect: &Connect<'_>,
        key: Thumbprint,
        at: Circumstances<'_>,
    ) -> Result<Step, Refusal> {
        let stored = self.tokens.stored.by_key(&key, at.now);
        let candidate = self.candidate(&*stored.ok_or(Refusal::NoToken)?);
        let introduction = Introduction::new(connect, at.now_ms, &candidate.grant)?;
        Ok(Step::Admit(Box::new(Admitted {
            proved_key: Some(key),
            ..introduction.admit(candidate.grant, false)
        })))
    }

    /// The token stored for the client that TLS or, failing that, the Client Identifier names: as the name that a token speaks for, or as the
    /// `kid` of its key. A Client Identifier is anybody's to say; the challenge asks for more.
    fn stored_for(&self, connect: &Connect<'_>, at: Circumstances<'_>) -> Option<Candidate> {
        let stored = &self.tokens.stored;
        let by_key = at.proved_key.and_then(|key| stored.by_key(&key, at.now));
        let by_name = || {
            let name =
                Some(connect.client_identifier).filter(|_| self.tokens.stored_token_challenge)?;
            (stored.by_name(name, at.now))
                .or_else(|| stored.by_key_identifier(&identifier::to_bytes(name), at.now))
        };
        by_key.or_else(by_name).map(|token| self.candidate(&token))
    }

    fn candidate(&self, stored: &StoredToken) -> Candidate {
        let mut grant = stored.grant.clone();
        grant.set_public_topics(Arc::clone(&self.public_topics));
        Candidate {
            grant,
            key: stored.key.clone(),
        }
    }

    /// TLS:Anon, MQTT:ace: token in CONNECT (RFC 9431 §2.2.4).
    fn admit_by_token(
        &self,
        connect: &Connect<'_>,
        at: Circumstances<'_>,
    ) -> Result<Step, Refusal> {
        // RFC 9431 §2.2.4.1: both flags must be 0.
        if connect.user_name.is_some() || connect.password.is_some() {
            return Err(Refusal::PasswordWithAce);
        }
        let data = ConnectData::parse(connect.properties.authentication_data)
            .map_err(|_| Refusal::Malformed)?;
        match data {
            // RFC 9431 §2.2.4.1: the stored token if there is one, else AS discovery.
            ConnectData::NoToken => {
                let candidate = self.stored_for(connect, at).ok_or(Refusal::NoToken)?;
                challenge(connect, candidate, at)
            }
            ConnectData::Token(token) => {
                challenge(connect, self.judge(token, at.keys, at.now)?, at)
            }
            ConnectData::TokenAndProof { token, proof } => {
                let exporter = at.exporter.ok_or(Refusal::NoExporter)?;
                let grant = self.judge(token, at.keys, at.now)?.prove(exporter, proof)?;
                Ok(Step::Admit(Box::new(
                    Introduction::new(connect, at.now_ms, &grant)?.admit(grant, true),
                )))
            }
        }
    }

    /// MQTT 3.1.1: the token is in the User Name, the proof over the exporter value in the Password (RFC 9431 §6).
    fn admit_by_user_name(
        &self,
        connect: &Connect<'_>,
        token: &[u8],
        at: Circumstances<'_>,
    ) -> Result<Step, Refusal> {
        let proof = connect.password.ok_or(Refusal::Malformed)?;
        let exporter = at.exporter.ok_or(Refusal::NoExporter)?;
        let grant = self.judge(token, at.keys, at.now)?.prove(exporter, proof)?;
        Ok(Step::Admit(Box::new(
            Introduction::new(connect, at.now_ms, &grant)?.admit(grant, false),
        )))
    }

    /// Validates a token (RFC 9431 §2.2.5). Done before the challenge and not after it, as the figure in §2.2.4.2.2 has it: the
    /// answer's code is the same, and a stranger with a bad token costs no state.
    pub(crate) fn judge(
        &self,
        token: &[u8],
        keys: &KeySet,
        now: UnixTime,
    ) -> Result<Candidate, Refusal> {
        let StoredToken { grant, key, .. } = self.judge_to_store(token, keys, now)?;
        Ok(Candidate { grant, key })
    }

    /// The same, with all that is kept of a token that comes before its client.
    pub(crate) fn judge_to_store(
        &self,
        token: &[u8],
        keys: &KeySet,
        now: UnixTime,
    ) -> Result<StoredToken, Refusal> {
        let authority = self.authority.as_ref().ok_or(Refusal::Method)?;
        if self.tokens.revoked.contains(token) {
            return Err(Refusal::Revoked);
        }
        let validation = Validation {
            keys,
            issuer: &authority.issuer,
            audience: &authority.audience,
            now,
            leeway_secs: LEEWAY_SECS,
            lifetimes: Lifetimes::Dates,
        };
        let claims = match token::verify(token, &validation) {
            Err(TokenError::NotAToken) if self.tokens.introspection => {
                self.introspect(token, &validation)?
            }
            verified => verified.map_err(Refusal::Token)?,
        };
        let nonce = claims.client_nonce.as_deref().unwrap_or_default();
        if (self.tokens.nonces.as_ref()).is_some_and(|nonces| !nonces.is_fresh(nonce, now)) {
            return Err(Refusal::Stale);
        }
        let (key, kid) = self.key_of(&claims.confirmation, authority, now)?;
        let grant = Grant::compile(&claims, key.thumbprint(), Arc::clone(&self.public_topics))
            .by_token(token);
        Ok(StoredToken {
            key_identifier: kid.map(Vec::into_boxed_slice),
            issued_at: claims.issued_at,
            ..StoredToken::new(grant, key, token.len())
        })
    }

    /// What the authorization server said of a token by reference (RFC 9431 §2.2.5). It must have been asked:
    /// [`Refusal::NotIntrospected`].
    fn introspect(&self, token: &[u8], validation: &Validation<'_>) -> Result<Claims, Refusal> {
        let reference = Reference::parse(token).ok_or(Refusal::Token(TokenError::NotAToken))?;
        match self.tokens.introspected.find(&reference, validation.now) {
            None => Err(Refusal::NotIntrospected(reference)),
            Some(Verdict::Inactive) => Err(Refusal::Inactive),
            Some(Verdict::Active(token)) => token.verify(validation).map_err(Refusal::Token),
        }
    }

    /// The key in `cnf`. Where only its name is there, that of the stored token whose key has the name: a token with other rights for the
    /// same key need not carry it again (RFC 9202 §4).
    fn key_of(
        &self,
        confirmation: &Confirmation,
        authority: &Authority,
        now: UnixTime,
    ) -> Result<(PopKey, Option<Vec<u8>>), Refusal> {
        if let Some(kid) = confirmation.key_identifier() {
            let stored = self.tokens.stored.by_key_identifier(&kid, now);
            let key = stored.ok_or(Refusal::Key)?.key.clone();
            return Ok((key, Some(kid)));
        }
        let resolved = confirmation.resolve_named(&authority.content_keys);
        resolved.map_err(|_| Refusal::Key)
    }
}

/// Asks for proof of a valid token's key (RFC 9431 §2.2.4.2.2).
fn challenge(
    connect: &Connect<'_>,
    candidate: Candidate,
    at: Circumstances<'_>,
) -> Result<Step, Refusal> {
    let rs_nonce = (at.fresh_nonce)().ok_or(Refusal::NoRandom)?;
    let introduction = Introduction::new(connect, at.now_ms, &candidate.grant)?;
    Ok(Step::Challenge(Box::new(AwaitProof {
        introduction,
        challenge: candidate.challenge(rs_nonce),
    })))
}

impl Candidate {
    /// Checks a proof over `message`.
    fn prove(self, message: &[u8], proof: &[u8]) -> Result<Grant, Refusal> {
        self.key
            .verify(message, proof)
            .map_err(|_| Refusal::Proof)?;
        Ok(self.grant)
    }

    pub(crate) fn challenge(self, rs_nonce: RsNonce) -> Challenge {
        Challenge {
            candidate: self,
            rs_nonce,
        }
    }
}

impl Challenge {
    /// What the token would allow, once proved.
    pub(crate) fn grant(&self) -> &Grant {
        &self.candidate.grant
    }

    /// Other topics are public from now on.
    pub(crate) fn set_public_topics(&mut self, public: Arc<PublicTopics>) {
        self.candidate.grant.set_public_topics(public);
    }

    /// Checks the answer. Right or wrong, one challenge gets one answer.
    pub(crate) fn handle_response(
        self,
        data: Option<&[u8]>,
        now: UnixTime,
    ) -> Result<Grant, Refusal> {
        let response =
            ChallengeResponse::parse(data.unwrap_or_default()).map_err(|_| Refusal::Malformed)?;
        let message = challenge_message(self.rs_nonce, response.client_nonce);
        let grant = self.candidate.prove(&message, response.proof)?;
        // The token may have run out while the answer was on its way.
        if grant.is_expired(now) {
            return Err(Refusal::Token(TokenError::Expired));
        }
        Ok(grant)
    }
}

impl AwaitProof {
    pub(crate) fn rs_nonce(&self) -> RsNonce {
        self.challenge.rs_nonce
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.introduction.version
    }

    /// Checks the client's AUTH (RFC 9431 §2.2.4.2.2).
    pub(crate) fn handle_auth(
        self,
        auth: &Auth<'_>,
        now: UnixTime,
    ) -> Result<Box<Admitted>, Refusal> {
        if auth.reason_code != ReasonCode::ContinueAuthentication {
            return Err(Refusal::UnexpectedPacket);
        }
        // MQTT 5.0 §4.12: the method of every AUTH is that of the CONNECT.
        if auth.authentication_method != Some(AUTHENTICATION_METHOD) {
            return Err(Refusal::Method);
        }
        let grant = self
            .challenge
            .handle_response(auth.authentication_data, now)?;
        Ok(Box::new(self.introduction.admit(grant, true)))
    }
}

impl Introduction {
    /// Takes what a CONNECT says. The Will must be within the grant (RFC 9431 §2.2.4.1).
    pub(super) fn new(connect: &Connect<'_>, now_ms: u64, grant: &Grant) -> Result<Self, Refusal> {
        let will = match &connect.will {
            None => None,
            // What is published to `authz-info` is never delivered, a Will neither (§2.2.2).
            Some(will)
                if !grant.permits_publish(will.topic)
                    || is_of_broker(will.topic.as_str())
                    || will.topic.as_str() == AUTHZ_INFO =>
            {
                return Err(Refusal::Will);
            }
            Some(will) => Some(SessionWill {
                message: will_message(will, now_ms, grant),
                delay_secs: will.delay_interval_secs,
                place: None,
            }),
        };
        let properties = &connect.properties;
        Ok(Self {
            version: connect.version,
            client_identifier: connect.client_identifier.into(),
            keep_alive_secs: connect.keep_alive_secs,
            clean_start: connect.clean_start,
            session_expiry_secs: match connect.version {
                ProtocolVersion::V5 => properties.session_expiry_interval_secs.unwrap_or(0),
                ProtocolVersion::V311 if connect.clean_start => 0,
                ProtocolVersion::V311 => u32::MAX,
            },
            receive_maximum: properties.receive_maximum.map_or(u16::MAX, NonZeroU16::get),
            maximum_packet_size: properties
                .maximum_packet_size
                .map_or(u32::MAX, NonZeroU32::get),
            problem_information: properties.request_problem_information.unwrap_or(true),
            response_information: properties.request_response_information.unwrap_or(false),
            topic_alias_maximum: properties.topic_alias_maximum.unwrap_or(0),
            will,
        })
    }

    pub(super) fn admit(self, grant: Grant, extended_authentication: bool) -> Admitted {
        Admitted {
            introduction: self,
            grant,
            extended_authentication,
            proved_key: None,
        }
    }
}

fn will_message(will: &Will<'_>, now_ms: u64, grant: &Grant) -> Arc<Message> {
    let identifier = NonZeroU16::MIN;
    let publish = Publish {
        duplicate: false,
        delivery: match will.qos {
            Qos::AtMostOnce => Delivery::AtMostOnce,
            Qos::AtLeastOnce => Delivery::AtLeastOnce(identifier),
            Qos::ExactlyOnce => Delivery::ExactlyOnce(identifier),
        },
        retain: will.retain,
        topic: Some(will.topic),
        properties: PublishProperties {
            topic_alias: None,
            ..will.properties
        },
        payload: will.payload,
    };
    let by = Origin {
        token_expires_at: grant.expires_at(),
        publisher: None,
    };
    Message::new(&publish, now_ms, by)
}

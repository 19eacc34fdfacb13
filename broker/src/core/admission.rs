//! From CONNECT to a grant: who may come in, and what is asked of them first (RFC 9431 §2.2).

use super::{
    authority::{Authority, KeySets},
    authz_info::AUTHZ_INFO,
    freshness::ClientNonces,
    grant::{Grant, PublicTopics},
    introspected::Introspected,
    message::{Message, Origin},
    publishers::Publishers,
    quota::Quotas,
    refusal::Refusal,
    revoked::Revoked,
    session::SessionWill,
    spans::Spans,
    stored_tokens::{StoredToken, StoredTokens, Thumbprint},
    system::is_of_broker,
};
use std::{
    collections::HashSet,
    num::{NonZeroU16, NonZeroU32},
    sync::Arc,
};
use symbolon_ace_proto::{
    AUTHENTICATION_METHOD, AsHint, ChallengeResponse, ConnectData, RsNonce, TokenError, TokenHash,
    UnixTime,
    authentication_data::{challenge_message, token_of_user_name},
    identifier,
};
use symbolon_mqtt_proto::{
    Auth, Connect, ProtocolVersion, Publish, PublishProperties, Qos, ReasonCode, Will,
    publish::Delivery,
};

/// What every admission is judged by.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// In the order of the configuration; without one only public topics are served.
    pub(crate) authorities: Vec<Authority>,
    /// Another one with each reload.
    pub(crate) generation: u64,
    /// The broker's clock tells the time of day; without one `exp` and `nbf` cannot be judged (RFC 9200 §5.10.3).
    pub(crate) clock: bool,
    pub(crate) public_topics: Arc<PublicTopics>,
    /// Response Information, with `${client_id}` where the Client Identifier belongs.
    pub(crate) response_information: Option<String>,
    pub(crate) quotas: Quotas,
    pub(crate) tokens: TokenKeeping,
}

/// Which tokens are kept beyond the packet that they came in.
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
    /// Tokens that came in CONNECT are stored too, once their clients have proved possession (RFC 9431 §2.4.2, §6).
    pub(crate) from_connect: bool,
    /// What authorization servers said of tokens by reference; shared by all shards.
    pub(crate) introspected: Arc<Introspected>,
    /// When tokens were first seen that count from then; shared by all shards.
    pub(crate) spans: Arc<Spans>,
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
            self.forget(&new);
        }
        new
    }

    /// Forgets what is kept of tokens that count no more before their time.
    pub(crate) fn forget(&self, revoked: &HashSet<TokenHash>) {
        self.stored.revoke(revoked);
        self.publishers.revoke(revoked);
    }
}

/// What one CONNECT is judged with.
#[derive(Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    /// The keys of the authorization servers as known now.
    pub(crate) keys: &'a KeySets,
    /// The connection's exporter value; absent on bare TCP.
    pub(crate) exporter: Option<&'a [u8; 32]>,
    /// The key that TLS proved the client to hold, by its thumbprint.
    pub(crate) proved_key: Option<Thumbprint>,
    /// The token for it that the client brought in the handshake, where there was no room to store it.
    pub(crate) brought: Option<&'a Arc<StoredToken>>,
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
    /// The token that it brought and whose key it proved to hold.
    pub(crate) token: Option<Arc<StoredToken>>,
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
    version: ProtocolVersion,
    /// Or why the client is refused even if it proves possession. It is told only then: whether a token covers a topic is no business of who
    /// merely found it.
    introduction: Result<Introduction, Refusal>,
    challenge: Challenge,
}

/// A valid token whose possession is not proved yet.
#[derive(Debug)]
pub(crate) struct Candidate {
    grant: Grant,
    token: Arc<StoredToken>,
    /// The client has just brought it.
    is_new: bool,
}

/// A token whose key the client has proved to hold.
#[derive(Debug)]
pub(crate) struct Proved {
    pub(crate) grant: Grant,
    /// The token, if the client has just brought it.
    pub(crate) token: Option<Arc<StoredToken>>,
}

/// A candidate with the nonce it was challenged with.
#[derive(Debug)]
pub(crate) struct Challenge {
    candidate: Candidate,
    pub(crate) rs_nonce: RsNonce,
}

impl Admission {
    /// Judges a CONNECT. Where [`Refusal::undecided`] says so, ask the authorization server and judge once more.
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

    /// What a client is told that needs a token: the value of `ace_as_hint`, with a nonce where tokens must bring one back. RFC 9431 §2.4.1
    /// has room for one authorization server: the first.
    pub(crate) fn hint(&self, now: UnixTime) -> Option<String> {
        let hint = AsHint {
            cnonce: (self.tokens.nonces.as_ref()).and_then(|nonces| nonces.make(now)),
            ..self.authorities.first()?.hint.clone()
        };
        Some(hint.to_json())
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
        let stored = || self.stored_by(|stored, issuer| stored.by_key(issuer, &key, at.now));
        let stored = at.brought.cloned().or_else(stored);
        let candidate = self.candidate_again(stored.ok_or(Refusal::NoToken)?, at.now)?;
        let introduction = Introduction::new(connect, at.now_ms, &candidate.grant)?;
        Ok(Step::Admit(Box::new(Admitted {
            proved_key: Some(key),
            ..introduction.admit(candidate.grant, false)
        })))
    }

    /// The token stored for the client that TLS or, failing that, the Client Identifier names: as the name that a token speaks for, or as the
    /// `kid` of its key. A Client Identifier is anybody's to say; the challenge asks for more.
    fn stored_for(&self, connect: &Connect<'_>, at: Circumstances<'_>) -> Option<Arc<StoredToken>> {
        let by_key = at
            .proved_key
            .and_then(|key| self.stored_by(|stored, issuer| stored.by_key(issuer, &key, at.now)));
        let by_name = || {
            let name =
                Some(connect.client_identifier).filter(|_| self.tokens.stored_token_challenge)?;
            let kid = identifier::to_bytes(name);
            self.stored_by(|stored, issuer| stored.by_name(issuer, name, at.now))
                .or_else(|| {
                    self.stored_by(|stored, issuer| stored.by_key_identifier(issuer, &kid, at.now))
                })
        };
        by_key.or_else(by_name)
    }

    /// Of a token that was stored before. What was said of one by reference may be stale by now.
    fn candidate_again(
        &self,
        token: Arc<StoredToken>,
        now: UnixTime,
    ) -> Result<Candidate, Refusal> {
        let mut candidate = self.candidate(token, false);
        let grant = &candidate.grant;
        if let (Some(asked), Some(holder)) = (grant.introspection(), grant.holder())
            && asked.until <= now
        {
            let judged = self.judge_again(&asked.reference, holder, now);
            let unknown = || Err(Refusal::NotIntrospected(asked.reference.clone()));
            candidate.grant = judged.unwrap_or_else(unknown)?;
        }
        Ok(candidate)
    }

    /// The first token that is found: authorization servers do not know of each other's names, so each has its own here.
    pub(super) fn stored_by(
        &self,
        find: impl Fn(&StoredTokens, &str) -> Option<Arc<StoredToken>>,
    ) -> Option<Arc<StoredToken>> {
        let mut authorities = self.authorities.iter();
        authorities.find_map(|authority| find(&self.tokens.stored, &authority.issuer))
    }

    /// The public topics are those of now.
    pub(super) fn candidate(&self, token: Arc<StoredToken>, is_new: bool) -> Candidate {
        let mut grant = token.grant.clone();
        grant.set_public_topics(Arc::clone(&self.public_topics));
        Candidate {
            grant,
            token,
            is_new,
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
                let stored = self.stored_for(connect, at).ok_or(Refusal::NoToken)?;
                challenge(connect, self.candidate_again(stored, at.now)?, at)
            }
            ConnectData::Token(token) => {
                challenge(connect, self.judge(token, at.keys, at.now)?, at)
            }
            ConnectData::TokenAndProof { token, proof } => {
                let exporter = at.exporter.ok_or(Refusal::NoExporter)?;
                let proved = self.judge(token, at.keys, at.now)?.prove(exporter, proof)?;
                let introduction = Introduction::new(connect, at.now_ms, &proved.grant)?;
                Ok(Step::Admit(Box::new(introduction.admit_with(proved, true))))
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
        let proved = self.judge(token, at.keys, at.now)?.prove(exporter, proof)?;
        let introduction = Introduction::new(connect, at.now_ms, &proved.grant)?;
        Ok(Step::Admit(Box::new(
            introduction.admit_with(proved, false),
        )))
    }
}

/// Asks for proof of a valid token's key (RFC 9431 §2.2.4.2.2).
fn challenge(
    connect: &Connect<'_>,
    candidate: Candidate,
    at: Circumstances<'_>,
) -> Result<Step, Refusal> {
    let rs_nonce = (at.fresh_nonce)().ok_or(Refusal::NoRandom)?;
    Ok(Step::Challenge(Box::new(AwaitProof {
        version: connect.version,
        introduction: Introduction::new(connect, at.now_ms, &candidate.grant),
        challenge: candidate.challenge(rs_nonce),
    })))
}

impl Candidate {
    /// Checks a proof over `message`.
    fn prove(self, message: &[u8], proof: &[u8]) -> Result<Proved, Refusal> {
        let verified = self.token.key.verify(message, proof);
        verified.map_err(|_| Refusal::Proof)?;
        Ok(Proved {
            grant: self.grant,
            token: self.is_new.then_some(self.token),
        })
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
    ) -> Result<Proved, Refusal> {
        let response =
            ChallengeResponse::parse(data.unwrap_or_default()).map_err(|_| Refusal::Malformed)?;
        let message = challenge_message(self.rs_nonce, response.client_nonce);
        let proved = self.candidate.prove(&message, response.proof)?;
        // The token may have run out while the answer was on its way.
        if proved.grant.is_expired(now) {
            return Err(Refusal::Token(TokenError::Expired));
        }
        Ok(proved)
    }
}

impl AwaitProof {
    pub(crate) fn rs_nonce(&self) -> RsNonce {
        self.challenge.rs_nonce
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.version
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
        let proved = (self.challenge).handle_response(auth.authentication_data, now)?;
        Ok(Box::new(self.introduction?.admit_with(proved, true)))
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
            token: None,
        }
    }

    fn admit_with(self, proved: Proved, extended_authentication: bool) -> Admitted {
        Admitted {
            token: proved.token,
            ..self.admit(proved.grant, extended_authentication)
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
        ..Origin::default()
    };
    Message::new(&publish, now_ms, by)
}

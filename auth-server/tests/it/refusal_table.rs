//! Every grant and every refusal of the token endpoint, in each form that a request and its answer may have (RFC 9431 §2.1).

use crate::harness::{
    ACE_JSON, AUDIENCE, Answer, CBOR, FORM, JSON, Registration, SECRET, Server, assertion, basic,
    key, proof, with_key, with_secret,
};
use serde_json::Value;
use std::fmt::Write as _;
use symbolon_ace_proto::{
    Confirmation, ErrorCode, ErrorResponse, PopAlgorithm, PopSigner, Scope, TokenRequest,
    TokenResponse, client_assertion::ASSERTION_TYPE,
};

const ENCODINGS: [&str; 4] = [FORM, JSON, ACE_JSON, CBOR];

/// RFC 9200 §5.8.3: the numbers of error codes in CBOR, and under which key.
const ERROR: [u8; 2] = [0x18, 30];
const NUMBERS: [(&str, u8); 8] = [
    ("invalid_request", 1),
    ("invalid_client", 2),
    ("invalid_grant", 3),
    ("unauthorized_client", 4),
    ("unsupported_grant_type", 5),
    ("invalid_scope", 6),
    ("unsupported_pop_key", 7),
    ("incompatible_ace_profiles", 8),
];

/// A request, and how it ends: with a token where `refusal` is nothing.
struct Case {
    what: &'static str,
    request: TokenRequest,
    headers: Vec<(&'static str, String)>,
    refusal: Option<(u16, ErrorCode)>,
}

/// The clients of the table, and their keys.
struct Clients {
    own: PopSigner,
    other: PopSigner,
    p256: PopSigner,
}

impl Clients {
    /// `shared` and `pair` have a secret, `signer` has a key.
    async fn register(server: &Server) -> Self {
        let clients = Self {
            own: key(PopAlgorithm::EdDsa),
            other: key(PopAlgorithm::EdDsa),
            p256: key(PopAlgorithm::Es256),
        };
        let refreshing = Registration {
            refresh_tokens: true,
            ..with_secret(PopAlgorithm::Hs256)
        };
        server.add("shared", refreshing).await;
        server.add("pair", with_secret(PopAlgorithm::EdDsa)).await;
        server.add("signer", with_key(&clients.own)).await;
        clients
    }

    /// Assertions and proofs are good once, so there are new ones each time.
    fn granted(&self) -> Vec<Case> {
        vec![
            granted("a key that the server makes", asking(), by("shared")),
            granted("its own key by DPoP", bound_to(&self.other), {
                let mut headers = by("pair");
                headers.push(("dpop", proof(&self.other)));
                headers
            }),
            granted("its own key by the assertion", signed(&self.own), vec![]),
            granted(
                "less than it may",
                TokenRequest {
                    scope: Scope::from_json(r#"[["news/+",["sub"]]]"#).ok(),
                    ..asking()
                },
                by("shared"),
            ),
            granted(
                "the profile named",
                TokenRequest {
                    profile_asked: true,
                    client_nonce: Some(vec![1; 8]),
                    ..asking()
                },
                by("shared"),
            ),
            granted(
                "its secret in the body",
                TokenRequest {
                    client_id: Some("shared".to_owned()),
                    client_secret: Some(SECRET.to_owned()),
                    ..asking()
                },
                vec![],
            ),
        ]
    }

    fn refused_clients(&self) -> Vec<Case> {
        let client = ErrorCode::InvalidClient;
        let request = ErrorCode::InvalidRequest;
        let wrong = |name| vec![("authorization", basic(name, "wrong"))];
        vec![
            refused("no client", asking(), vec![], (401, client)),
            refused("a wrong secret", asking(), wrong("shared"), (401, client)),
            refused("an unknown client", asking(), by("ghost"), (401, client)),
            refused(
                "a secret in place of a key",
                asking(),
                by("signer"),
                (401, client),
            ),
            refused(
                "an assertion of another",
                signed(&self.other),
                vec![],
                (401, client),
            ),
            refused(
                "two methods",
                signed(&self.own),
                by("signer"),
                (400, request),
            ),
            refused(
                "another client_id",
                TokenRequest {
                    client_id: Some("pair".to_owned()),
                    ..asking()
                },
                by("shared"),
                (400, request),
            ),
            refused(
                "half an assertion",
                TokenRequest {
                    client_assertion_type: None,
                    ..signed(&self.own)
                },
                vec![],
                (400, request),
            ),
        ]
    }

    fn refused_keys(&self) -> Vec<Case> {
        let (request, key) = (ErrorCode::InvalidRequest, ErrorCode::UnsupportedPopKey);
        let symmetric = PopSigner::generate(PopAlgorithm::Hs256).unwrap().to_jwk();
        let named = |confirmation| TokenRequest {
            req_cnf: Some(confirmation),
            ..asking()
        };
        vec![
            refused(
                "a key that is not proved",
                bound_to(&self.own),
                by("pair"),
                (400, request),
            ),
            refused("no key", asking(), by("pair"), (400, request)),
            refused(
                "a key for another algorithm",
                bound_to(&self.p256),
                by("pair"),
                (400, key),
            ),
            refused(
                "a symmetric key",
                named(Confirmation::Key(Box::new(symmetric))),
                by("shared"),
                (400, request),
            ),
            refused(
                "a name that no key has",
                named(Confirmation::KeyIdentifier(vec![9; 8])),
                by("shared"),
                (400, key),
            ),
        ]
    }

    fn refused_rights() -> Vec<Case> {
        let refused = |what, request, code| refused(what, request, by("shared"), (400, code));
        vec![
            refused(
                "a scope beyond the policies",
                TokenRequest {
                    scope: Scope::from_json(r#"[["elsewhere",["pub"]]]"#).ok(),
                    ..asking()
                },
                ErrorCode::InvalidScope,
            ),
            refused(
                "an unknown audience",
                TokenRequest {
                    audience: Some("nowhere".to_owned()),
                    ..asking()
                },
                ErrorCode::InvalidRequest,
            ),
            refused(
                "a grant by people",
                TokenRequest {
                    grant_type: Some("password".to_owned()),
                    ..asking()
                },
                ErrorCode::UnsupportedGrantType,
            ),
            refused(
                "an unknown refresh token",
                TokenRequest {
                    grant_type: Some("refresh_token".to_owned()),
                    refresh_token: Some("AAAA".to_owned()),
                    audience: None,
                    ..asking()
                },
                ErrorCode::InvalidGrant,
            ),
            refused(
                "a refresh without a token",
                TokenRequest {
                    grant_type: Some("refresh_token".to_owned()),
                    ..asking()
                },
                ErrorCode::InvalidGrant,
            ),
        ]
    }

    fn all(&self) -> Vec<Case> {
        let mut all = self.granted();
        all.extend(self.refused_clients());
        all.extend(self.refused_keys());
        all.extend(Self::refused_rights());
        all
    }
}

fn granted(
    what: &'static str,
    request: TokenRequest,
    headers: Vec<(&'static str, String)>,
) -> Case {
    Case {
        what,
        request,
        headers,
        refusal: None,
    }
}

fn refused(
    what: &'static str,
    request: TokenRequest,
    headers: Vec<(&'static str, String)>,
    refusal: (u16, ErrorCode),
) -> Case {
    Case {
        what,
        request,
        headers,
        refusal: Some(refusal),
    }
}

fn asking() -> TokenRequest {
    TokenRequest {
        grant_type: Some("client_credentials".to_owned()),
        audience: Some(AUDIENCE.to_owned()),
        ..TokenRequest::default()
    }
}

fn by(client_id: &str) -> Vec<(&'static str, String)> {
    vec![("authorization", basic(client_id, SECRET))]
}

fn bound_to(key: &PopSigner) -> TokenRequest {
    TokenRequest {
        req_cnf: Some(Confirmation::Key(Box::new(key.verifying_key().to_jwk()))),
        ..asking()
    }
}

/// By `signer`, whosever the key is.
fn signed(key: &PopSigner) -> TokenRequest {
    TokenRequest {
        client_assertion_type: Some(ASSERTION_TYPE.to_owned()),
        client_assertion: Some(assertion("signer", key)),
        ..bound_to(key)
    }
}

fn body(request: &TokenRequest, encoding: &str) -> Vec<u8> {
    match encoding {
        CBOR => request.to_cbor().unwrap().to_vec(),
        FORM => form(&request.to_json()).into_bytes(),
        _ => request.to_json().into_bytes(),
    }
}

/// The same members, objects as JSON text.
fn form(json: &str) -> String {
    let members: Value = serde_json::from_str(json).unwrap();
    let members = members.as_object().unwrap().iter();
    let pairs = members.map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let mut pair = format!("{name}=");
        for byte in text.bytes() {
            write!(pair, "%{byte:02X}").unwrap();
        }
        pair
    });
    pairs.collect::<Vec<_>>().join("&")
}

async fn send(server: &Server, case: &Case, encoding: &str) -> Answer {
    let mut headers = vec![("content-type", encoding)];
    headers.extend(case.headers.iter().map(|(name, value)| (*name, &**value)));
    let body = body(&case.request, encoding);
    server.send("POST /token", &headers, &body).await
}

fn check(case: &Case, encoding: &str, answer: &Answer) {
    let place = format!("{} in {encoding}: {}", case.what, answer.body);
    // RFC 6749 §5.1 and §5.2
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{place}");
    let expected = if encoding == FORM { JSON } else { encoding };
    assert_eq!(answer.header("content-type"), Some(expected), "{place}");
    let Some((status, code)) = case.refusal else {
        assert_eq!(answer.status, 200, "{place}");
        let response = if encoding == CBOR {
            TokenResponse::from_cbor(&answer.bytes).unwrap()
        } else {
            TokenResponse::from_json(&answer.bytes).unwrap()
        };
        assert!(!response.access_token.is_empty(), "{place}");
        return;
    };
    assert_eq!(answer.status, status, "{place}");
    let challenge = answer.header("www-authenticate").is_some();
    assert_eq!(challenge, status == 401, "{place}");
    let response = if encoding == CBOR {
        let number = NUMBERS.iter().find(|(name, _)| *name == code.as_str());
        // An integer under an integer, as it is written.
        let written = [&ERROR[..], &[number.unwrap().1]].concat();
        let there = answer.bytes.windows(3).any(|bytes| bytes == written);
        assert!(there, "{place}: {:02x?}", answer.bytes);
        ErrorResponse::from_cbor(&answer.bytes).unwrap()
    } else {
        ErrorResponse::from_json(&answer.bytes).unwrap()
    };
    assert_eq!(response.code, code, "{place}");
}

// RFC 9200 §5.8.2 and §5.8.3, RFC 9431 §2.1
#[tokio::test]
async fn every_grant_and_refusal_is_the_same_in_each_encoding() {
    let server = Server::start().await;
    let clients = Clients::register(&server).await;
    for encoding in ENCODINGS {
        for case in clients.all() {
            let answer = send(&server, &case, encoding).await;
            check(&case, encoding, &answer);
        }
    }
    server.stop().await;
}

// RFC 9200 §5.8.3: what is asked of the profile is known in each encoding too.
#[tokio::test]
async fn another_profile_is_refused_by_its_own_code() {
    let server = Server::start().await;
    Clients::register(&server).await;
    // {38: 1}: `ace_profile` is `coap_dtls`.
    let cbor = [0xa1, 0x18, 38, 1];
    for (encoding, body) in [
        (FORM, &b"ace_profile=coap_dtls"[..]),
        (JSON, br#"{"ace_profile":"coap_dtls"}"#),
        (ACE_JSON, br#"{"ace_profile":"coap_dtls"}"#),
        (CBOR, &cbor),
    ] {
        let authorization = basic("shared", SECRET);
        let headers = [
            ("content-type", encoding),
            ("authorization", &*authorization),
        ];
        let answer = server.send("POST /token", &headers, body).await;
        let case = refused(
            "another profile",
            asking(),
            vec![],
            (400, ErrorCode::IncompatibleAceProfiles),
        );
        check(&case, encoding, &answer);
    }
    server.stop().await;
}

use super::*;
use crate::core::grant::PublicTopics;
use symbolon_ace_proto::{Claims, Confirmation, Scope, key::SymmetricKey};

const AS: &str = "https://as.example";
const BEGIN: UnixTime = UnixTime(1_800_000_000);
const ROOMY: Capacity = Capacity {
    tokens: 1_000,
    bytes: 1024 * 1024,
};

fn key(number: u32) -> PopKey {
    let mut bytes = [0x5a; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PopKey::Hs256(SymmetricKey::from_bytes(&bytes))
}

fn claims(name: &str, lifetime_secs: u64) -> Claims {
    Claims {
        issuer: "https://as.example".into(),
        subject: Some(name.into()),
        client_id: None,
        audience: vec!["mqtts://broker.example".into()],
        expires_at: BEGIN.plus_secs(lifetime_secs),
        expires_in_secs: None,
        not_before: None,
        issued_at: Some(BEGIN),
        token_identifier: None,
        scope: Scope::from_json(r#"[["t",["pub"]]]"#).unwrap(),
        // What is stored has the key beside it.
        confirmation: Confirmation::KeyIdentifier(name.into()),
        client_nonce: None,
    }
}

fn token(key: PopKey, name: &str, lifetime_secs: u64) -> StoredToken {
    let claims = claims(name, lifetime_secs);
    let grant = Grant::compile(&claims, key.thumbprint(), Arc::new(PublicTopics::default()));
    StoredToken {
        issued_at: Some(BEGIN),
        key_identifier: Some(name.as_bytes().into()),
        ..StoredToken::new(grant, key, 300)
    }
}

// RFC 9431 §2.2.2, RFC 9200 §5.10.1.
#[test]
fn one_token_is_stored_for_each_key_and_a_newer_one_replaces_it() {
    let stored = StoredTokens::default();
    stored.insert(token(key(1), "a", 10), ROOMY, BEGIN).unwrap();
    stored.insert(token(key(1), "b", 20), ROOMY, BEGIN).unwrap();
    assert_eq!(stored.count(), 1);
    assert!(stored.by_name(AS, "a", BEGIN).is_none());
    assert!(stored.by_key_identifier(AS, b"a", BEGIN).is_none());
    let found = stored.by_name(AS, "b", BEGIN).unwrap();
    assert_eq!(found.grant.expires_at(), Some(BEGIN.plus_secs(20)));
    assert!(Arc::ptr_eq(
        &found,
        &stored.by_key(AS, &key(1).thumbprint(), BEGIN).unwrap()
    ));
    assert!(Arc::ptr_eq(
        &found,
        &stored.by_key_identifier(AS, b"b", BEGIN).unwrap()
    ));
}

#[test]
fn a_token_that_was_issued_earlier_does_not_come_back() {
    let stored = StoredTokens::default();
    let newer = StoredToken {
        issued_at: Some(BEGIN.plus_secs(1)),
        ..token(key(1), "a", 10)
    };
    stored.insert(newer, ROOMY, BEGIN).unwrap();
    let older = stored.insert(token(key(1), "a", 100), ROOMY, BEGIN);
    assert_eq!(older.unwrap_err(), NotStored::Older);
}

#[test]
fn two_keys_of_one_client_are_both_stored_and_its_name_means_the_newer() {
    let stored = StoredTokens::default();
    stored.insert(token(key(1), "a", 10), ROOMY, BEGIN).unwrap();
    stored.insert(token(key(2), "a", 5), ROOMY, BEGIN).unwrap();
    assert_eq!(stored.count(), 2);
    assert_eq!(stored.by_name(AS, "a", BEGIN).unwrap().key, key(2));
    // The first one's end does not take the name from the second.
    stored.insert(token(key(1), "b", 10), ROOMY, BEGIN).unwrap();
    assert_eq!(stored.by_name(AS, "a", BEGIN).unwrap().key, key(2));
}

#[test]
fn an_expired_token_is_not_found_and_soon_forgotten() {
    let stored = StoredTokens::default();
    stored.insert(token(key(1), "a", 10), ROOMY, BEGIN).unwrap();
    let end = BEGIN.plus_secs(10);
    assert!(stored.by_name(AS, "a", BEGIN.plus_secs(9)).is_some());
    assert!(stored.by_name(AS, "a", end).is_none());
    assert!(stored.by_key(AS, &key(1).thumbprint(), end).is_none());
    assert_eq!(stored.count(), 1);
    stored.sweep(end);
    assert_eq!((stored.count(), stored.bytes()), (0, 0));
    assert!(stored.read().by_name.is_empty());
    assert!(stored.read().by_key_identifier.is_empty());
}

#[test]
fn there_are_never_more_tokens_or_bytes_than_configured() {
    let stored = StoredTokens::default();
    let two = Capacity { tokens: 2, ..ROOMY };
    for number in 1..=2 {
        stored
            .insert(token(key(number), "a", 10), two, BEGIN)
            .unwrap();
    }
    let third = stored.insert(token(key(3), "a", 10), two, BEGIN);
    assert_eq!(third.unwrap_err(), NotStored::Tokens);
    // What replaces another needs no place.
    stored.insert(token(key(2), "b", 10), two, BEGIN).unwrap();
    // What has expired makes room.
    let end = BEGIN.plus_secs(10);
    stored.insert(token(key(3), "a", 20), two, end).unwrap();
    let tight = Capacity {
        tokens: 9,
        bytes: stored.bytes() + 811,
    };
    let fourth = stored.insert(token(key(4), "c", 20), tight, end);
    assert_eq!(fourth.unwrap_err(), NotStored::Bytes);
}

// A token's names in the revocation list are those of two texts (RFC 9770 §4); who brings the other text brings no token.
#[test]
fn a_token_is_found_by_its_own_bytes_alone() {
    let stored = StoredTokens::default();
    let own = b"eyJh.eyJi.c2ln";
    stored.insert(token_of(own, 10), ROOMY, BEGIN).unwrap();
    assert!(stored.by_token(own, BEGIN).is_some());
    let base64url = b"ZXlKaC5leUppLmMybG4";
    let other_name = TokenHash::seen_by_rs(own)[1];
    assert_eq!(other_name, TokenHash::of_json_answer(base64url));
    assert!(stored.by_token(base64url, BEGIN).is_none());
}

fn token_of(bytes: &[u8], lifetime_secs: u64) -> StoredToken {
    let token = token(key(1), "a", lifetime_secs);
    StoredToken {
        grant: token.grant.clone().by_token(bytes),
        ..token
    }
}

// RFC 9770 §4: a token has the name that the authorization server saw, whichever encoding it answered in.
#[test]
fn a_revoked_token_is_forgotten_by_either_name_and_the_next_for_its_key_stays() {
    for which in 0..2 {
        let stored = StoredTokens::default();
        stored.insert(token_of(b"old", 10), ROOMY, BEGIN).unwrap();
        let name = |bytes| HashSet::from([TokenHash::seen_by_rs(bytes)[which]]);
        stored.revoke(&name(b"another"));
        assert_eq!(stored.count(), 1);
        stored.revoke(&name(b"old"));
        assert_eq!((stored.count(), stored.bytes()), (0, 0));
        assert!(stored.read().by_token.is_empty());
        stored.insert(token_of(b"old", 10), ROOMY, BEGIN).unwrap();
        stored.insert(token_of(b"new", 20), ROOMY, BEGIN).unwrap();
        stored.revoke(&name(b"old"));
        assert!(stored.by_token(b"new", BEGIN).is_some());
    }
}

// The default bound of `stored_tokens`, reached.
#[test]
fn a_hundred_thousand_tokens_stay_within_the_bound() {
    let stored = StoredTokens::default();
    let capacity = Capacity {
        tokens: 100_000,
        bytes: 256 * 1024 * 1024,
    };
    let mut refused = 0;
    for number in 0..100_100 {
        let name = format!("client-{number}");
        refused += usize::from(
            (stored.insert(token(key(number), &name, 3_600), capacity, BEGIN)).is_err(),
        );
    }
    assert_eq!((stored.count(), refused), (100_000, 100));
    assert!(stored.bytes() <= capacity.bytes);
    assert!(stored.by_name(AS, "client-99999", BEGIN).is_some());
    stored.sweep(BEGIN.plus_secs(3_600));
    assert_eq!(stored.count(), 100_000 - FORGOTTEN_AT_ONCE);
}

// Two authorization servers may give the same key and the same names to different clients.
#[test]
fn a_token_of_one_issuer_never_stands_in_the_place_of_anothers() {
    const OTHER: &str = "https://other.example";
    let stored = StoredTokens::default();
    let mut others = token(key(1), "a", 20);
    others.grant = {
        let claims = Claims {
            issuer: OTHER.into(),
            ..claims("a", 20)
        };
        Grant::compile(&claims, key(1).thumbprint(), Arc::default())
    };
    stored.insert(token(key(1), "a", 10), ROOMY, BEGIN).unwrap();
    stored.insert(others, ROOMY, BEGIN).unwrap();
    assert_eq!(stored.count(), 2);
    let end = |found: Option<Arc<StoredToken>>| found.unwrap().grant.expires_at();
    for (issuer, secs) in [(AS, 10), (OTHER, 20)] {
        let expected = Some(BEGIN.plus_secs(secs));
        assert_eq!(end(stored.by_name(issuer, "a", BEGIN)), expected);
        assert_eq!(end(stored.by_key_identifier(issuer, b"a", BEGIN)), expected);
        assert_eq!(
            end(stored.by_key(issuer, &key(1).thumbprint(), BEGIN)),
            expected
        );
    }
}

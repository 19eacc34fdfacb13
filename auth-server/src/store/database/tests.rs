//! Bounds of what is remembered about tokens.

use super::{Database, Issued};
use crate::store::{
    Client, ClientAuthentication, Location, Policy, ResourceServer, Revocation, Store, TokenKind,
    token::{NewRefreshToken, NewToken, Refresh, RefreshGrant, Requester},
};
use symbolon_ace_proto::{PopAlgorithm, SymmetricKey, TokenHash, UnixTime, jwe::ContentKey};

const NOW: UnixTime = UnixTime(1_000);

/// Each of these on either database.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let place = Location::File(directory.path().join("as.sqlite"));
                super::$name(super::open(&place).await).await;
            })*
            use crate::store::Location;
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let url = Cluster::shared().create_database().unwrap();
                let place = Location::Postgres(PostgresUrl::parse(&url).unwrap());
                super::$name(super::open(&place).await).await;
            })*
            use crate::store::{Location, PostgresUrl};
            use symbolon_test_postgres::Cluster;
        }
    };
}

on_both! {
    a_client_with_as_many_tokens_as_it_may_have_gets_no_more_until_one_expires
    expired_tokens_are_forgotten_a_part_at_a_time_and_the_others_stay
    the_last_updates_are_kept_and_their_numbers_go_on
    a_client_keeps_its_newest_refresh_tokens
    a_token_that_was_decided_by_rules_of_before_is_not_given_out
    an_identifier_is_seen_once_until_it_expires_and_then_forgotten
    a_change_of_the_revocation_list_is_counted_and_no_other
}

/// With the client `c`.
async fn open(location: &Location) -> Database {
    let database = Database::open(location).await.unwrap();
    let client = Client {
        client_id: "c".to_owned(),
        authentication: ClientAuthentication::from_secret("s"),
        pop_algorithm: PopAlgorithm::Hs256,
        refresh_tokens: true,
    };
    database.add_client(&client, &[]).await.unwrap();
    database
}

fn digest(number: usize) -> [u8; 32] {
    crate::store::sha256_of(&number.to_be_bytes())
}

async fn remember(database: &Database, number: usize, expires_at: UnixTime) -> bool {
    let token = token(number, expires_at);
    let until = database.last_record().await.unwrap();
    match database.issue(&[&token], until, NOW).await.unwrap() {
        Issued::Done { stored, .. } => stored == [true],
        Issued::Outdated { .. } => panic!("nothing has changed"),
    }
}

fn token(number: usize, expires_at: UnixTime) -> NewToken {
    let identifier = number.to_string();
    NewToken {
        sha256: digest(number),
        listed_as: TokenHash::of_json_answer(identifier.as_bytes()),
        identifier,
        client_id: "c".to_owned(),
        audience: "broker".to_owned(),
        scope: "[]".to_owned(),
        pop_kid: None,
        answer: "{}".to_owned(),
        family: None,
        expires_at,
    }
}

/// In one transaction, since it is only to be there.
async fn fill(database: &Database, count: usize) {
    let mut transaction = database.write().await.unwrap();
    for number in 1..=count {
        let digits = format!("{number:032}").into_bytes();
        sqlx::query(
            "INSERT INTO token (sha256, listed_as, identifier, client_id, audience, answer, expires_at)
             VALUES ($1, $2, $3, 'c', 'broker', '{}', 2000)",
        )
        .bind(digits.as_slice())
        .bind([&[1], digits.as_slice()].concat())
        .bind(format!("x{number}"))
        .execute(&mut *transaction)
        .await
        .unwrap();
    }
    transaction.commit().await.unwrap();
}

async fn a_client_with_as_many_tokens_as_it_may_have_gets_no_more_until_one_expires(
    database: Database,
) {
    fill(&database, Store::MAX_TOKENS_PER_CLIENT - 1).await;
    assert!(remember(&database, 1, NOW.plus_secs(1)).await);
    assert!(!remember(&database, 2, NOW.plus_secs(1)).await);
    let statement = "UPDATE token SET expires_at = 1000 WHERE identifier = 'x1'";
    sqlx::query(statement)
        .execute(&database.pool)
        .await
        .unwrap();
    assert!(remember(&database, 2, NOW.plus_secs(1)).await);
}

async fn expired_tokens_are_forgotten_a_part_at_a_time_and_the_others_stay(database: Database) {
    fill(&database, 2_500).await;
    assert!(remember(&database, 1, UnixTime(3_000)).await);
    let revoked = Revocation::Identifier("x7".to_owned());
    assert_eq!(database.revoke(&revoked, NOW).await.unwrap(), 1);
    let later = UnixTime(2_000);
    let first = database.sweep(later).await.unwrap();
    assert!(first.list_changed && first.more);
    let mut parts = 1;
    while database.sweep(later).await.unwrap().more {
        parts += 1;
    }
    assert_eq!(parts, 2);
    assert_eq!(database.tokens(None, NOW).await.unwrap().len(), 1);
    let updates = database.list_updates(Requester::Client("c")).await.unwrap();
    let added: Vec<bool> = updates.iter().map(|update| update.added).collect();
    assert_eq!(added, [false, true]);
}

// RFC 9770 §5.2: MAX_N.
async fn the_last_updates_are_kept_and_their_numbers_go_on(database: Database) {
    fill(&database, Store::MAX_LIST_UPDATES + 10).await;
    let all = Revocation::Client("c".to_owned());
    database.revoke(&all, NOW).await.unwrap();
    let requester = Requester::Client("c");
    let updates = database.list_updates(requester).await.unwrap();
    assert_eq!(updates.len(), Store::MAX_LIST_UPDATES);
    let last = u64::try_from(Store::MAX_LIST_UPDATES + 9).unwrap();
    assert_eq!(
        (updates[0].number, updates.last().unwrap().number),
        (last, 10)
    );
    assert_eq!(
        database.last_list_update(requester).await.unwrap(),
        Some(last)
    );
    // Nothing is kept for an audience that nobody asks for, or for a client that is gone.
    let nobody = Requester::ResourceServer("broker");
    assert_eq!(database.list_updates(nobody).await.unwrap(), []);
    database.remove_client("c", NOW).await.unwrap();
    assert_eq!(database.list_updates(requester).await.unwrap(), []);
}

async fn a_client_keeps_its_newest_refresh_tokens(database: Database) {
    let grant = RefreshGrant {
        family: [1; 16],
        client_id: "c".to_owned(),
        audience: "broker".to_owned(),
        scope: "[]".to_owned(),
        confirmation: "{}".to_owned(),
    };
    for number in 0..=Store::MAX_REFRESH_TOKENS_PER_CLIENT {
        let token = NewRefreshToken {
            sha256: digest(number),
            grant: &grant,
            expires_at: NOW.plus_secs(1 + number as u64),
        };
        database.add_refresh_token(&token).await.unwrap();
    }
    let first = database.refresh_token(&digest(0), "c", NOW).await.unwrap();
    assert!(matches!(first, Refresh::Unknown));
    let second = database.refresh_token(&digest(1), "c", NOW).await.unwrap();
    assert!(matches!(second, Refresh::Grant(_)));
}

fn server() -> ResourceServer {
    let content_key = ContentKey {
        kid: "k".to_owned(),
        key: SymmetricKey::from_bytes(&[7; 32]),
    };
    ResourceServer {
        audience: "broker".to_owned(),
        tokens: TokenKind::default(),
        content_key: Some(content_key),
        mac_key: None,
        derivation_key: None,
        rs_cnf: None,
        access: None,
        rotation: crate::store::Rotation::default(),
    }
}

// Between the reading of rules and the giving out of a token lies the making of it; whoever takes a right away meanwhile does not see it.
async fn a_token_that_was_decided_by_rules_of_before_is_not_given_out(database: Database) {
    database.put_resource_server(&server()).await.unwrap();
    let rule = Policy::allow("c", "broker", "x");
    let id = database.add_policy(&rule).await.unwrap();
    let later = NOW.plus_secs(60);
    let read = database.last_record().await.unwrap();
    database.remove_policy(id).await.unwrap();
    let tokens = [&token(1, later)];
    let issued = database.issue(&tokens, read, NOW).await.unwrap();
    assert!(matches!(issued, Issued::Outdated { .. }));
    let read = database.last_record().await.unwrap();
    database.remove_client("c", NOW).await.unwrap();
    let issued = database.issue(&tokens, read, NOW).await.unwrap();
    assert!(matches!(issued, Issued::Outdated { .. }));
    assert!(database.token(&digest(1)).await.unwrap().is_none());
}

// RFC 7523 §3, point 7: by whatever process, and after a restart.
async fn an_identifier_is_seen_once_until_it_expires_and_then_forgotten(database: Database) {
    let expires_at = NOW.plus_secs(60);
    assert!(database.see(&[1; 16], expires_at, NOW).await.unwrap());
    for later in [0, 59, 60] {
        let now = NOW.plus_secs(later);
        assert!(!database.see(&[1; 16], expires_at, now).await.unwrap());
    }
    assert!(database.see(&[2; 16], expires_at, NOW).await.unwrap());
    let after = NOW.plus_secs(61);
    assert!(database.see(&[1; 16], after, after).await.unwrap());
    database.sweep(after).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM seen_identifier")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(left, 1);
}

async fn a_change_of_the_revocation_list_is_counted_and_no_other(database: Database) {
    let first = database.list_number().await.unwrap();
    assert!(remember(&database, 1, NOW.plus_secs(60)).await);
    database.add_group("g").await.unwrap();
    assert_eq!(database.list_number().await.unwrap(), first);
    let one = Revocation::Identifier("1".to_owned());
    assert_eq!(database.revoke(&one, NOW).await.unwrap(), 1);
    assert!(database.list_number().await.unwrap() > first);
}

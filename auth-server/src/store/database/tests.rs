//! Bounds of what is remembered about tokens.

use super::{Database, Issued};
use crate::store::{
    Client, ClientAuthentication, Location, Policy, ResourceServer, Revocation, Store,
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
    a_token_is_stored_only_where_nothing_has_changed_since_it_was_decided
    many_tokens_are_stored_at_once_as_far_as_there_is_room_for_each_client
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

async fn with_a_broker(database: &Database) {
    let key = ContentKey {
        kid: "k".to_owned(),
        key: SymmetricKey::from_bytes(&[7; 32]),
    };
    let server = ResourceServer::new("broker", key);
    database.put_resource_server(&server).await.unwrap();
}

/// The number of the last record, if the token was stored.
async fn issue(database: &Database, number: usize, until: u64) -> Option<u64> {
    let token = token(number, UnixTime(2_000));
    match database.issue(&[&token], until, NOW).await.unwrap() {
        Issued::Done { stored, until } => {
            assert_eq!(stored, [true]);
            Some(until)
        }
        Issued::Outdated { .. } => None,
    }
}

async fn a_token_is_stored_only_where_nothing_has_changed_since_it_was_decided(database: Database) {
    with_a_broker(&database).await;
    let before = database.last_record().await.unwrap();
    let rule = Policy::allow("c", "broker", "x");
    let id = database.add_policy(&rule).await.unwrap();
    assert_eq!(issue(&database, 1, before).await, None);
    assert!(database.token(&digest(1)).await.unwrap().is_none());
    let after = database.last_record().await.unwrap();
    let last = issue(&database, 1, after).await.unwrap();
    assert_eq!(last, after + 1);
    // What others issue and revoke, and clients that are new, change nothing.
    let which = Revocation::Client("c".to_owned());
    database.revoke(&which, NOW).await.unwrap();
    let last = issue(&database, 2, after).await.unwrap();
    assert_eq!(database.unchanged_since(after).await.unwrap(), Some(last));
    database.remove_policy(id).await.unwrap();
    assert_eq!(issue(&database, 3, last).await, None);
    assert_eq!(database.unchanged_since(last).await.unwrap(), None);
    let until = database.last_record().await.unwrap();
    database.remove_client("c", NOW).await.unwrap();
    assert_eq!(issue(&database, 3, until).await, None);
    assert!(database.verify_audit(None).await.unwrap().is_ok());
}

async fn many_tokens_are_stored_at_once_as_far_as_there_is_room_for_each_client(
    database: Database,
) {
    fill(&database, Store::MAX_TOKENS_PER_CLIENT - 40).await;
    let tokens: Vec<NewToken> = (0..63)
        .map(|number| token(number, UnixTime(1_500)))
        .collect();
    let tokens: Vec<&NewToken> = tokens.iter().collect();
    let until = database.last_record().await.unwrap();
    let Issued::Done { stored, until } = database.issue(&tokens, until, NOW).await.unwrap() else {
        panic!("nothing has changed");
    };
    let mut expected = vec![true; 40];
    expected.resize(63, false);
    assert_eq!(stored, expected);
    assert_eq!(database.last_record().await.unwrap(), until);
    assert!(database.token(&digest(39)).await.unwrap().is_some());
    assert!(database.token(&digest(40)).await.unwrap().is_none());
    assert!(database.verify_audit(None).await.unwrap().is_ok());
}

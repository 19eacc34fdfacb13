//! Bounds of what is remembered about tokens.

use super::{Database, Issued};
use crate::store::{
    Client, ClientAuthentication, Location, Revocation, Store,
    token::{NewRefreshToken, NewToken, Refresh, RefreshGrant, Requester},
};
use symbolon_ace_proto::{PopAlgorithm, TokenHash, UnixTime};

const NOW: UnixTime = UnixTime(1_000);

async fn open() -> (tempfile::TempDir, Database) {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&Location::File(directory.path().join("as.sqlite")))
        .await
        .unwrap();
    let client = Client {
        client_id: "c".to_owned(),
        authentication: ClientAuthentication::from_secret("s"),
        pop_algorithm: PopAlgorithm::Hs256,
        refresh_tokens: true,
    };
    database.add_client(&client, &[]).await.unwrap();
    (directory, database)
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
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
        INSERT INTO token (sha256, listed_as, identifier, client_id, audience, answer, expires_at)
        SELECT CAST(printf('%032d', i) AS BLOB), CAST(printf('%c%032d', char(1), i) AS BLOB), 'x' || i, 'c',
            'broker', '{}', 2000 FROM n";
    let count = i64::try_from(count).unwrap();
    sqlx::query(many)
        .bind(count)
        .execute(&database.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_client_with_as_many_tokens_as_it_may_have_gets_no_more_until_one_expires() {
    let (_directory, database) = open().await;
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

#[tokio::test]
async fn expired_tokens_are_forgotten_a_part_at_a_time_and_the_others_stay() {
    let (_directory, database) = open().await;
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
#[tokio::test]
async fn the_last_updates_are_kept_and_their_numbers_go_on() {
    let (_directory, database) = open().await;
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

#[tokio::test]
async fn a_client_keeps_its_newest_refresh_tokens() {
    let (_directory, database) = open().await;
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

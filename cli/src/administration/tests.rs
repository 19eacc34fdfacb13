//! Through the real API, on a database in a temporary directory.

use super::*;
use crate::{allow, exit::Exit};
use std::collections::{BTreeMap, BTreeSet};
use symbolon_ace_proto::jwe::ContentKey;
use symbolon_auth_server::{
    admin::model::{
        AccountCertificate, AuditVerdict, Authentication, Desired, DesiredGroup, MemberChange,
        NewAccount, NewClient, NewPolicy, Owner, Permission, ProofKey, PutResourceServer, Question,
        Revocation, Role, SecretText, SharedKey, Tree,
    },
    store::ClientAuthentication,
};

const BROKER: &str = "mqtts://broker.example/1?a=b";

const PAGE: usize = MAX_PAGE as usize;

struct Site {
    _directory: tempfile::TempDir,
    administration: Administration,
}

/// With a broker, and the client `meter` who may publish to `rooms/#`.
async fn site() -> Site {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("db")).await.unwrap();
    let administration = Administration::local(store, None);
    let put = PutResourceServer {
        content_key: Some(SharedKey::from(&ContentKey::generate().unwrap())),
        ..PutResourceServer::default()
    };
    administration
        .put_resource_server(BROKER, &put)
        .await
        .unwrap();
    administration.add_client(&client("meter")).await.unwrap();
    Site {
        _directory: directory,
        administration,
    }
}

fn client(name: &str) -> NewClient {
    NewClient {
        client_id: name.to_owned(),
        authentication: Authentication::from(&ClientAuthentication::from_secret("secret")),
        pop: ProofKey::Hs256,
        refresh_tokens: true,
        policies: vec![policy("rooms/#")],
    }
}

fn policy(filter: &str) -> NewPolicy {
    NewPolicy {
        filter: filter.to_owned(),
        permissions: vec![Permission::Publish],
        ..allow::anything_at(BROKER)
    }
}

fn many_groups(count: usize) -> Desired {
    let groups = (0..count).map(|number| {
        let members = BTreeSet::from(["meter".to_owned()]);
        let group = DesiredGroup {
            members: Some(if number < 20 {
                members
            } else {
                BTreeSet::new()
            }),
            policies: None,
        };
        (format!("group-{number:04}"), group)
    });
    Desired {
        groups: groups.collect(),
        clients: BTreeMap::new(),
    }
}

#[tokio::test]
async fn what_is_registered_is_shown_and_goes_again() {
    let site = site().await;
    let api = &site.administration;
    let meter = api.client("meter").await.unwrap();
    assert_eq!(meter.client_auth, "client_secret_basic");
    assert_eq!(api.clients().await.unwrap(), std::slice::from_ref(&meter));
    assert_eq!(meter.policies[0].filter, "rooms/#");
    assert!(api.find_client("other").await.unwrap().is_none());

    let servers = api.resource_servers().await.unwrap();
    assert_eq!(servers[0].audience, BROKER);
    let second = PutResourceServer::default();
    api.put_resource_server("other", &second).await.unwrap();
    let members = vec![BROKER.to_owned(), "other".to_owned()];
    api.add_to_audience_group("both", members.clone())
        .await
        .unwrap();
    assert_eq!(api.audience_groups().await.unwrap()[0].members, members);
    api.remove_audience_group("both").await.unwrap();
    api.remove_resource_server("other").await.unwrap();
    assert!(api.find_resource_server("other").await.unwrap().is_none());

    assert_eq!(api.tokens(Some("meter")).await.unwrap(), []);
    let all = Revocation::Client("meter".to_owned());
    assert_eq!(api.revoke(&all).await.unwrap(), 0);
    api.remove_client("meter").await.unwrap();
    assert_eq!(api.clients().await.unwrap(), []);
}

#[tokio::test]
async fn rules_of_clients_groups_and_owners_decide() {
    let site = site().await;
    let api = &site.administration;
    api.add_group("meters").await.unwrap();
    let change = MemberChange {
        add: vec!["meter".to_owned()],
        remove: Vec::new(),
    };
    api.change_members("meters", &change).await.unwrap();
    assert_eq!(api.groups().await.unwrap()[0].members, ["meter"]);
    let tree = Tree {
        audience: BROKER.to_owned(),
        filter: "rooms/#".to_owned(),
    };
    let owner = Owner {
        name: "acme".to_owned(),
        trees: vec![tree.clone()],
    };
    api.add_owner(&owner).await.unwrap();
    assert_eq!(api.owners().await.unwrap(), [owner]);
    let deny = NewPolicy {
        group: Some("meters".to_owned()),
        effect: symbolon_auth_server::admin::model::Effect::Deny,
        owner: Some("acme".to_owned()),
        ..policy("rooms/secret/#")
    };
    let deny = api.add_policy(&deny).await.unwrap();

    let question = Question {
        client: "meter".to_owned(),
        audience: BROKER.to_owned(),
        permission: Permission::Publish,
        filter: "rooms/secret/1".to_owned(),
        at: None,
    };
    let answer = api.why(&question).await.unwrap();
    assert_eq!((answer.allowed, answer.decided_by), (false, Some(deny.id)));
    let granted = api.scope("meter", BROKER).await.unwrap();
    assert_eq!(granted.cuts[0].cut_by, deny.id);

    let of_group = Subjects {
        group: Some("meters"),
        ..Subjects::default()
    };
    let of_group = api.policies(of_group).await.unwrap();
    assert_eq!(of_group.as_slice(), std::slice::from_ref(&deny));
    let of_client = Subjects {
        client: Some("meter"),
        ..Subjects::default()
    };
    assert_eq!(api.policies(of_client).await.unwrap().len(), 2);
    let gone = api.remove_owner("acme", vec![tree]).await.unwrap();
    assert_eq!(gone.policies, [deny]);
    api.remove_owner("acme", Vec::new()).await.unwrap();
    api.remove_group("meters").await.unwrap();
    let left = api.policies(Subjects::default()).await.unwrap();
    api.remove_policy(left[0].id).await.unwrap();
    assert!(api.policies(Subjects::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_and_the_audit_log_come_whole_however_many_pages_they_have() {
    let site = site().await;
    let api = &site.administration;
    let many = PAGE + 7;
    let dry = api.apply(many_groups(many), true).await.unwrap();
    assert_eq!((dry.new_groups.len(), dry.dry_run), (many, true));
    assert!(api.groups().await.unwrap().is_empty());
    api.apply(many_groups(many), false).await.unwrap();
    let groups = api.groups().await.unwrap();
    assert_eq!(groups.len(), many);
    assert_eq!(groups[many - 1].name, format!("group-{:04}", many - 1));

    let all = api.audit(Some(1), usize::MAX).await.unwrap();
    assert!(all.len() > PAGE);
    assert!(
        all.iter()
            .zip(1..)
            .all(|(record, number)| record.number == number)
    );
    let last = api.audit(None, PAGE + 3).await.unwrap();
    assert_eq!(last.as_slice(), &all[all.len() - PAGE - 3..]);
    let one = api.audit(None, 1).await.unwrap();
    assert_eq!(one.as_slice(), &all[all.len() - 1..]);
    assert!(one[0].actor.starts_with("cli uid="), "{}", one[0].actor);
    assert!(api.audit(None, 0).await.unwrap().is_empty());
    let whole = api.verify_audit(None).await.unwrap();
    let AuditVerdict::Whole { records, mark } = whole else {
        panic!("{whole:?}");
    };
    assert_eq!(records, u64::try_from(all.len()).unwrap());
    let mark = symbolon_auth_server::admin::model::mark_from_text(&mark).unwrap();
    let again = api.verify_audit(Some(mark)).await.unwrap();
    assert!(matches!(again, AuditVerdict::Whole { .. }), "{again:?}");
}

#[tokio::test]
async fn accounts_are_made_changed_and_removed() {
    let site = site().await;
    let api = &site.administration;
    let new = NewAccount {
        name: "ann".to_owned(),
        role: Role::Auditor,
        owner: None,
        password: Some(SecretText("correct horse battery".to_owned())),
        certificate_sha256: None,
    };
    let made = api.add_account(&new).await.unwrap();
    assert_eq!((made.role, made.password), (Role::Auditor, true));
    let certificate = AccountCertificate {
        certificate_sha256: "A".repeat(43),
    };
    api.set_certificate("ann", &certificate).await.unwrap();
    let password = SecretText("another horse battery".to_owned());
    api.set_password("ann", password).await.unwrap();
    let known = api.accounts().await.unwrap();
    let shown = known[0].certificate_sha256.as_ref();
    assert_eq!(shown, Some(&certificate.certificate_sha256));
    let short = api.set_password("ann", SecretText("short".to_owned()));
    let refused = short.await.unwrap_err().to_string();
    assert!(!refused.contains("\"short\""), "{refused}");
    api.remove_account("ann").await.unwrap();
    assert_eq!(api.accounts().await.unwrap(), []);
}

#[tokio::test]
async fn a_refusal_on_this_machine_has_the_stores_sentence_and_the_general_code() {
    let site = site().await;
    let api = &site.administration;
    let twice = api.add_client(&client("meter")).await.unwrap_err();
    assert_eq!(twice.to_string(), "client \"meter\" exists already");
    assert_eq!(Exit::of(&twice.into()), Exit::General);
    let unknown = api.client("other").await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no client \"other\"");
    let stranger = NewPolicy {
        client_id: Some("meter".to_owned()),
        owner: Some("nobody".to_owned()),
        ..policy("a")
    };
    let stranger = api.add_policy(&stranger).await.unwrap_err();
    assert!(!stranger.refuses_the_account(), "{stranger}");
    assert_eq!(Exit::of(&stranger.into()), Exit::General);
}

#[test]
fn a_refused_account_and_an_unreachable_server_have_codes_of_their_own() {
    let refused = |status, remote| AdministrationError::Refused {
        status,
        detail: "no".to_owned(),
        remote,
    };
    for (error, exit) in [
        (refused(401, true), Exit::RefusedByAuthorizationServer),
        (refused(403, true), Exit::RefusedByAuthorizationServer),
        (refused(429, true), Exit::RefusedByAuthorizationServer),
        (refused(403, false), Exit::General),
        (refused(409, true), Exit::General),
        (
            AdministrationError::Unreachable {
                url: "https://a".to_owned(),
                source: symbolon_tls::https::HttpsError::Timeout,
            },
            Exit::Unreachable,
        ),
    ] {
        assert_eq!(Exit::of(&error.into()), exit);
    }
}

//! Groups, owners, rules that deny, many changes at once.

use crate::harness::{AUDIENCE, Place, SECRET, resource_server, scope};
use std::collections::{BTreeMap, BTreeSet};
use symbolon_ace_proto::{Permission, PopAlgorithm, UnixTime};
use symbolon_auth_server::store::{
    Client, ClientAuthentication, Desired, Effect, Owner, Policy, Standing, Store, StoreError,
    Subject, Tree, Validity, Verdict,
};
use symbolon_mqtt_proto::TopicFilter;

const NOW: UnixTime = UnixTime(1_000_000);

/// Clients `a` and `b`, without rules.
async fn open() -> (Place, Store) {
    let place = Place::new();
    let store = place.open().await;
    store
        .put_resource_server(&resource_server(AUDIENCE))
        .await
        .unwrap();
    for name in ["a", "b"] {
        store.add_client(&client(name), &[]).await.unwrap();
    }
    (place, store)
}

fn client(client_id: &str) -> Client {
    Client {
        client_id: client_id.to_owned(),
        authentication: ClientAuthentication::from_secret(SECRET),
        pop_algorithm: PopAlgorithm::Hs256,
        refresh_tokens: false,
    }
}

fn allow(client_id: &str, filter: &str) -> Policy {
    Policy::allow(client_id, AUDIENCE, filter)
}

fn of_group(group: &str, effect: Effect, filter: &str) -> Policy {
    Policy {
        subject: Subject::Group(group.to_owned()),
        effect,
        ..allow("", filter)
    }
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

fn tree(text: &str) -> Tree {
    Tree {
        audience: AUDIENCE.to_owned(),
        filter: filter(text),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn the_rules_of_a_group_bear_on_its_members_alone() {
    let (_place, store) = open().await;
    store.add_group("meters").await.unwrap();
    let members = names(&["a"]);
    store.change_members("meters", &members, &[]).await.unwrap();
    let rule = of_group("meters", Effect::Allow, "${group}/${client_id}/#");
    store.add_policy(&rule).await.unwrap();
    store.add_policy(&allow("a", "x")).await.unwrap();
    assert_eq!(
        store.scope_of("a", AUDIENCE, NOW).await.unwrap(),
        scope(r#"[["meters/a/#",["pub","sub"]],["x",["pub","sub"]]]"#)
    );
    assert!(store.scope_of("b", AUDIENCE, NOW).await.unwrap().is_empty());
    assert_eq!(store.policies(Some("a")).await.unwrap().len(), 2);
    assert_eq!(store.groups().await.unwrap()[0].members, ["a"]);

    store.change_members("meters", &[], &members).await.unwrap();
    assert_eq!(
        store.scope_of("a", AUDIENCE, NOW).await.unwrap(),
        scope(r#"[["x",["pub","sub"]]]"#)
    );
    store.remove_group("meters").await.unwrap();
    assert_eq!(store.policies(None).await.unwrap().len(), 1);
    let gone = store.change_members("meters", &members, &[]).await;
    assert!(matches!(gone, Err(StoreError::NotFound("group", _))));
}

#[tokio::test]
async fn members_change_all_or_nothing_and_a_removed_client_leaves_its_groups() {
    let (_place, store) = open().await;
    store.add_group("g").await.unwrap();
    let twice = store.add_group("g").await;
    assert!(matches!(twice, Err(StoreError::Exists("group", _))));
    let ghost = store
        .change_members("g", &names(&["a", "ghost"]), &[])
        .await;
    assert!(matches!(ghost, Err(StoreError::NotFound("client", _))));
    assert!(store.groups().await.unwrap()[0].members.is_empty());
    store
        .change_members("g", &names(&["a", "b"]), &[])
        .await
        .unwrap();
    store.remove_client("a", NOW).await.unwrap();
    assert_eq!(store.groups().await.unwrap()[0].members, ["b"]);
    for wrong in ["", "a/b", "$x", "a b"] {
        let refused = store.add_group(wrong).await;
        assert!(matches!(refused, Err(StoreError::Invalid("group", ..))));
    }
}

#[tokio::test]
async fn a_client_is_in_so_many_groups_and_no_more() {
    let (_place, store) = open().await;
    for number in 0..=Store::MAX_GROUPS_PER_CLIENT {
        let name = format!("g{number}");
        store.add_group(&name).await.unwrap();
        let joined = store.change_members(&name, &names(&["a"]), &[]).await;
        let fits = number < Store::MAX_GROUPS_PER_CLIENT;
        assert_eq!(joined.is_ok(), fits, "{number}");
    }
}

#[tokio::test]
async fn all_of_a_rule_is_there_after_reopening() {
    let (place, store) = open().await;
    let rule = Policy {
        effect: Effect::Deny,
        publish: false,
        validity: Validity {
            from: Some(UnixTime(7)),
            until: Some(UnixTime(9)),
        },
        ..allow("a", "x/#")
    };
    store.add_policy(&rule).await.unwrap();
    let again = store.add_policy(&rule).await;
    assert!(matches!(again, Err(StoreError::Exists("policy", _))));
    let later = Policy {
        validity: Validity::default(),
        ..rule.clone()
    };
    store.add_policy(&later).await.unwrap();
    store.close().await;
    let store = place.open().await;
    let stored = store.policies(None).await.unwrap();
    let id = stored[0].id;
    assert_eq!(stored[0], Policy { id, ..rule });
}

#[tokio::test]
async fn an_owner_grants_within_their_trees_and_what_is_taken_from_them_goes() {
    let (_place, store) = open().await;
    let owner = Owner {
        name: "site1".to_owned(),
        trees: vec![tree("site/1/#"), tree("shared/1")],
    };
    store.add_owner(&owner).await.unwrap();
    assert_eq!(store.owners().await.unwrap().len(), 1);
    let by_owner = |filter: &str| Policy {
        granted_by: Some("site1".to_owned()),
        ..allow("a", filter)
    };
    for outside in ["site/2/a", "#", "site/+/a", "shared/#"] {
        let refused = store.add_policy(&by_owner(outside)).await;
        assert!(
            matches!(refused, Err(StoreError::NotOwned(..))),
            "{outside}"
        );
    }
    let ghost = Policy {
        granted_by: Some("ghost".to_owned()),
        ..allow("a", "site/1/a")
    };
    let refused = store.add_policy(&ghost).await;
    assert!(matches!(refused, Err(StoreError::NotFound("owner", _))));

    store
        .add_policy(&by_owner("site/1/${client_id}/#"))
        .await
        .unwrap();
    store.add_policy(&by_owner("shared/1")).await.unwrap();
    store.add_policy(&allow("a", "shared/1")).await.unwrap();
    let gone = store
        .remove_owner("site1", &[tree("shared/1")])
        .await
        .unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].filter, "shared/1");
    assert_eq!(store.policies(None).await.unwrap().len(), 2);
    let gone = store.remove_owner("site1", &[]).await.unwrap();
    assert_eq!(gone.len(), 1);
    let left = store.policies(None).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].granted_by, None);
}

#[tokio::test]
async fn why_says_which_rule_decides() {
    let (_place, store) = open().await;
    store.add_group("g").await.unwrap();
    store
        .change_members("g", &names(&["a"]), &[])
        .await
        .unwrap();
    let allowing = store.add_policy(&allow("a", "x/#")).await.unwrap();
    let denying = of_group("g", Effect::Deny, "x/secret/#");
    let denying = store.add_policy(&denying).await.unwrap();
    let ask = async |topic: &str| {
        let asked = filter(topic);
        store
            .explain(("a", AUDIENCE), Permission::Publish, &asked, NOW)
            .await
            .unwrap()
    };
    let explanation = ask("x/secret/1").await;
    assert_eq!(explanation.verdict, Verdict::Denied(denying));
    let standings: Vec<_> = explanation
        .considered
        .iter()
        .map(|one| (one.policy.id, one.standing, one.cut_by))
        .collect();
    let expected = [
        (allowing, Standing::Overruled, Some(denying)),
        (denying, Standing::Decides, None),
    ];
    assert_eq!(standings, expected);
    assert_eq!(ask("x/1").await.verdict, Verdict::Allowed(allowing));
    assert_eq!(ask("y").await.verdict, Verdict::NoRule);
}

fn desired(members: &[&str], rules: &[Policy]) -> Desired {
    let members: BTreeSet<String> = names(members).into_iter().collect();
    Desired {
        members: BTreeMap::from([("g".to_owned(), members)]),
        rules: BTreeMap::from([(Subject::Group("g".to_owned()), rules.to_vec())]),
    }
}

#[tokio::test]
async fn a_plan_is_shown_without_being_carried_out_and_then_carried_out_once() {
    let (_place, store) = open().await;
    let first = desired(&["a", "b"], &[of_group("g", Effect::Allow, "x/#")]);
    store.apply(&first, false, NOW).await.unwrap();
    let second = desired(
        &["b"],
        &[
            of_group("g", Effect::Allow, "x/#"),
            of_group("g", Effect::Deny, "x/+/secret"),
        ],
    );
    let (plan, losses) = store.apply(&second, true, NOW).await.unwrap();
    assert_eq!(plan.gone_members, [("g".to_owned(), "a".to_owned())]);
    assert_eq!(plan.new_policies.len(), 1);
    let lost: Vec<_> = losses
        .iter()
        .map(|loss| (&*loss.client_id, loss.scope.to_json()))
        .collect();
    let whole = r#"[["x/#",["pub","sub"]]]"#.to_owned();
    assert_eq!(lost, [("a", whole.clone()), ("b", whole)]);
    assert_eq!(store.policies(None).await.unwrap().len(), 1);

    let (carried_out, _) = store.apply(&second, false, NOW).await.unwrap();
    assert_eq!(carried_out, plan);
    let (again, losses) = store.apply(&second, false, NOW).await.unwrap();
    assert!(again.is_empty());
    assert!(losses.is_empty());
}

#[tokio::test]
async fn a_plan_that_cannot_be_carried_out_changes_nothing_and_says_so_before() {
    let (_place, store) = open().await;
    let wrong = desired(&["a", "ghost"], &[of_group("g", Effect::Allow, "x")]);
    for dry_run in [true, false] {
        let refused = store.apply(&wrong, dry_run, NOW).await;
        assert!(matches!(refused, Err(StoreError::NotFound("client", _))));
        assert!(store.groups().await.unwrap().is_empty());
    }
}

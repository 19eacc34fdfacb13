//! Other limits and public topics, as token holders meet them.

use super::*;
use crate::core::reloading::Rules;

fn rules(public: &[&str], limits: Limits, authorities: Vec<Authority>) -> Rules {
    let filters = public
        .iter()
        .map(|filter| TopicFilter::parse(filter).unwrap());
    let filters: Vec<TopicFilter> = filters.collect();
    Rules {
        limits,
        admission: Arc::new(Admission {
            response_information: None,
            quotas: Quotas::new(&Limits::default()),
            tokens: TokenKeeping::default(),
            authorities,
            generation: 0,
            clock: true,
            public_topics: Arc::new(PublicTopics::compile(&filters, &[], false)),
        }),
        sys_interval_secs: 0,
    }
}

fn filters_of(world: &World, key: ConnectionKey) -> Vec<&str> {
    let subscriptions = world.shard.session(key.session).subscriptions.iter();
    subscriptions.map(|held| held.filter.as_str()).collect()
}

#[test]
fn a_token_holder_loses_what_was_public_and_keeps_what_is_the_tokens() {
    let mut world = World::new();
    let authorities = world.admission.authorities.clone();
    let open = rules(&["open/#"], Limits::default(), authorities.clone());
    world.shard.handle_reload(&open, after(1));
    let key = world.connect(&token(r#"[["own",["pub","sub"]]]"#));
    // It was admitted by the rules before, as one that was on its way to this shard.
    let grant = &mut world.shard.session_mut(key.session).grant;
    let mut late = grant.clone();
    world.shard.bring_up_to_date(&mut late);
    world.shard.session_mut(key.session).grant = late;
    for filter in ["own", "open/a"] {
        assert_eq!(
            world.subscribe(key, filter, after(1)),
            [ReasonCode::Success]
        );
    }
    // It hears itself.
    let heard = [ReasonCode::NoMatchingSubscribers, ReasonCode::Success];
    assert_eq!(world.publish(key, "open/a", after(1)), heard);
    let closed = rules(&[], Limits::default(), authorities);
    world.shard.handle_reload(&closed, after(1));
    assert_eq!(filters_of(&world, key), ["own"]);
    assert_eq!(
        world.publish(key, "open/a", after(2)),
        [ReasonCode::NotAuthorized]
    );
    assert_eq!(world.publish(key, "own", after(2)), heard);
}

// RFC 9431 §4: a proof that is awaited brings no public topics back.
#[test]
fn a_renewal_under_way_gets_the_public_topics_of_now() {
    let mut world = World::new();
    let authorities = world.admission.authorities.clone();
    let open = rules(&["open/#"], Limits::default(), authorities.clone());
    world.admission = Arc::clone(&open.admission);
    world.shard.handle_reload(&open, after(1));
    let key = world.connect(&token("[]"));
    assert_eq!(
        world.reauthenticate(key, &token("[]"), after(1)),
        [ReasonCode::ContinueAuthentication]
    );
    let closed = rules(&[], Limits::default(), authorities);
    world.shard.handle_reload(&closed, after(1));
    let answer = answer_by(&world.pop);
    assert_eq!(
        world.auth(key, ReasonCode::ContinueAuthentication, &answer, after(2)),
        [ReasonCode::Success]
    );
    assert_eq!(
        world.publish(key, "open/a", after(3)),
        [ReasonCode::NotAuthorized]
    );
}

#[test]
fn another_authority_is_for_new_tokens_and_does_not_end_those_that_were_accepted() {
    let mut world = World::new();
    let key = world.connect(&token(r#"[["own",["pub"]]]"#));
    let other = vec![Authority {
        issuer: "https://other.example".into(),
        ..world.admission.authorities[0].clone()
    }];
    world
        .shard
        .handle_reload(&rules(&[], Limits::default(), other), after(1));
    assert_eq!(
        world.publish(key, "own", after(1)),
        [ReasonCode::NoMatchingSubscribers]
    );
    assert_eq!(
        world.reauthenticate(key, &token(r#"[["own",["pub"]]]"#), after(2)),
        [ReasonCode::NotAuthorized]
    );
}

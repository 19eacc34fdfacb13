//! MQTT.js and oauth4webapi against our servers, in Node and in a web page: one test for each case in `node/`.

use symbolon_e2e::node;

macro_rules! cases {
    ($($name:ident)*) => {
        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            super::node::run(stringify!($name));
        })*
    };
}

mod tls {
    cases! {
        mqtt_js_publishes_and_subscribes_at_every_qos
        mqtt_js_gets_a_retained_message
        the_will_of_mqtt_js_is_published_when_its_connection_breaks
        mqtt_js_asks_and_is_answered
        mqtt_js_proves_a_token_by_the_exporter
        mqtt_js_proves_a_token_by_a_challenge
        mqtt_js_proves_a_token_in_mqtt_3_1_1
        mqtt_js_is_refused_where_the_proof_is_of_another_key
        mqtt_js_comes_with_a_pre_shared_key
    }
}

mod websocket {
    cases! {
        mqtt_js_publishes_and_subscribes_at_every_qos_over_a_websocket
        the_will_of_mqtt_js_is_published_when_its_websocket_breaks
        mqtt_js_proves_a_token_by_the_exporter_over_a_websocket
        mqtt_js_proves_a_token_by_a_challenge_over_a_websocket
        mqtt_js_proves_a_token_in_mqtt_3_1_1_over_a_websocket
    }
}

mod chromium {
    cases! {
        a_web_page_publishes_and_subscribes_at_every_qos
        a_web_page_publishes_and_subscribes_at_every_qos_over_tls
        a_web_page_gets_retained_messages_and_leaves_a_will
        a_web_page_asks_and_is_answered
        a_web_page_proves_a_token_by_a_challenge
        a_web_page_of_another_origin_is_refused
    }
}

/// Of the authorization server alone, by oauth4webapi.
mod oauth {
    cases! {
        oauth4webapi_gets_a_token_with_a_secret
        oauth4webapi_gets_a_token_with_a_signed_assertion
        oauth4webapi_proves_the_key_of_its_token_by_dpop
        oauth4webapi_gets_a_token_with_its_certificate
        oauth4webapi_asks_as_the_resource_server_and_a_revoked_token_is_inactive
        oauth4webapi_registers_a_client_and_manages_it
    }
}

#[test]
fn every_case_has_its_test() {
    let mut tested = [tls::NAMES, websocket::NAMES, chromium::NAMES, oauth::NAMES].concat();
    let mut cases = node::cases();
    tested.sort_unstable();
    cases.sort_unstable();
    assert_eq!(tested, cases);
}

//! The foreign client against our servers: one test for each case in `python/cases/`.

use symbolon_e2e::{peer, peer_cases as cases};

mod tokens {
    super::cases! { &[] =>
        the_metadata_names_the_endpoints
        a_secret_gets_a_token_with_a_key_made_by_the_as
        an_assertion_gets_a_token_for_an_ed25519_key
        an_assertion_gets_a_token_for_a_p256_key
        an_assertion_gets_a_token_with_a_key_made_by_the_as
        a_secret_and_a_dpop_proof_get_a_token_for_an_ed25519_key
        a_secret_and_a_dpop_proof_get_a_token_for_a_p256_key
        plain_json_and_forms_are_understood_as_well
        the_grant_type_may_be_absent
        the_scope_is_what_the_policy_says
        a_scope_may_be_asked_for_more_narrowly
        a_scope_beyond_the_policy_is_refused
        a_malformed_scope_is_refused
        an_unknown_audience_is_refused
        a_wrong_secret_is_refused_with_a_challenge
        a_request_without_authentication_is_refused
        an_assertion_that_does_not_hold_is_refused
        an_assertion_is_good_for_one_request
        a_key_that_was_not_proved_gets_no_token
        a_dpop_proof_is_good_for_one_request
        the_assertion_of_one_key_does_not_prove_another
        a_symmetric_key_of_the_client_is_refused
        a_key_the_broker_cannot_use_is_refused_as_such
        malformed_requests_get_an_oauth_error
        other_methods_types_and_paths_get_a_4xx
    }
}

mod sessions {
    super::cases! { &[] =>
        a_shared_key_is_proved_by_the_exporter_and_messages_flow
        a_shared_key_is_proved_by_a_challenge_and_messages_flow
        an_ed25519_key_is_proved_by_the_exporter_and_messages_flow
        an_ed25519_key_is_proved_by_a_challenge_and_messages_flow
        a_p256_key_is_proved_by_the_exporter_and_messages_flow
        a_p256_key_is_proved_by_a_challenge_and_messages_flow
        the_exporter_proof_works_on_tls_1_3
        the_exporter_proof_works_on_tls_1_2
        the_broker_chooses_the_protocol_mqtt
        the_as_vouches_for_the_brokers_certificate
        two_devices_talk_within_their_scopes
        a_retained_message_reaches_later_subscribers
        the_will_is_published_when_the_connection_breaks
        a_token_is_renewed_in_session
    }
}

mod refusals {
    super::cases! { &[] =>
        a_token_for_another_audience_is_refused
        a_token_of_another_issuer_is_refused
        a_token_signed_with_another_key_is_refused
        a_token_whose_claims_were_changed_is_refused
        a_token_without_a_signature_is_refused
        a_token_macked_with_the_public_key_is_refused
        a_token_that_brings_its_own_key_is_refused
        a_token_with_an_unknown_critical_header_is_refused
        an_expired_token_is_refused
        a_token_that_is_not_yet_valid_is_refused
        a_token_without_expiry_or_confirmation_is_refused
        a_token_with_odd_claims_is_refused
        a_token_that_is_none_is_refused
        a_proof_by_another_ed25519_key_is_refused
        a_proof_by_another_shared_key_is_refused
        a_proof_by_another_p256_key_is_refused
        a_proof_of_another_kind_is_refused
        the_exporter_proof_of_another_connection_is_refused
        the_answer_to_an_earlier_challenge_is_refused
        no_two_challenges_are_alike
        one_challenge_gets_one_answer
        a_challenge_says_nothing_about_the_token
        a_client_without_a_token_is_told_where_to_get_one
        a_client_without_a_method_is_told_where_to_get_a_token
        an_unknown_method_is_refused_as_such
        malformed_authentication_data_is_refused
        a_malformed_answer_to_a_challenge_is_refused
        a_proof_with_bytes_after_it_is_refused
        another_method_in_the_answer_is_refused
        nothing_but_auth_may_come_before_the_connack
        the_will_must_lie_within_the_scope
        the_method_stands_in_every_authentication_packet
    }
}

mod scope {
    super::cases! { &[] =>
        a_publish_beyond_the_scope_at_qos_0_ends_the_connection
        a_publish_beyond_the_scope_at_qos_1_gets_a_puback_that_refuses
        a_publish_beyond_the_scope_at_qos_2_gets_a_pubrec_that_refuses
        a_refused_publish_reaches_nobody
        a_subscription_beyond_the_scope_is_refused_filter_by_filter
        a_wildcard_scope_does_not_cover_topics_with_a_dollar
        a_topic_alias_does_not_escape_the_scope
        an_empty_scope_permits_nothing
        authz_info_reaches_nobody
        the_connection_ends_when_the_token_expires
        nothing_is_delivered_once_the_subscribers_token_has_expired
        an_accepted_will_is_published_after_the_token_has_expired
        a_retained_message_is_forgotten_when_its_publishers_token_expires
        a_renewed_token_replaces_the_old_one
        a_renewed_token_that_allows_less_ends_what_it_does_not_allow
        a_failed_renewal_ends_the_connection
        the_exporter_does_not_renew_a_token
        a_token_of_another_client_does_not_renew
        a_second_connection_of_the_same_client_takes_over
        a_refused_connection_takes_nothing_over
        a_silent_client_is_cut_after_one_and_a_half_times_its_keep_alive
    }
}

mod delivery {
    super::cases! { &[] =>
        a_message_arrives_with_all_its_properties
        a_message_expires
        the_lower_quality_of_service_holds
        a_message_sent_twice_at_qos_2_arrives_once
        an_unknown_packet_identifier_is_told_as_such
        messages_of_one_publisher_arrive_in_order
        a_clients_receive_maximum_is_kept
        a_clients_maximum_packet_size_is_kept
        large_messages_arrive_whole
        no_local_retain_options_and_subscription_identifiers_are_kept
        unsubscribing_ends_delivery
        an_empty_client_identifier_gets_one_assigned
        a_delayed_will_is_not_published_if_the_client_returns
        many_clients_get_what_is_theirs
        a_reader_that_does_not_read_holds_nobody_up
    }
}

mod v311 {
    super::cases! { &[] =>
        a_3_1_1_client_proves_a_shared_key
        a_3_1_1_client_proves_an_ed25519_key
        a_3_1_1_client_proves_a_p256_key
    }
}

mod old_version {
    super::cases! { &[] =>
        a_3_1_1_client_proves_possession_and_messages_flow
        versions_talk_to_each_other
        a_3_1_1_client_without_a_good_token_is_refused
        a_3_1_1_client_beyond_its_scope_is_cut
        a_3_1_1_connection_ends_when_the_token_expires
    }
}

mod packets {
    super::cases! { &[] =>
        malformed_packets_end_the_connection_with_their_reason_code
        packets_against_the_protocol_end_the_connection_with_their_reason_code
        an_invalid_topic_filter_is_refused
        a_packet_beyond_the_maximum_is_refused
        more_messages_in_flight_than_allowed_are_refused
        a_malformed_connect_is_refused
        a_first_packet_that_is_no_connect_ends_the_connection
        what_is_not_tls_ends_the_connection
        mutated_packets_never_harm_the_broker
        many_half_open_connections_do_not_keep_others_out
    }
}

/// With a short patience, so that the tests need not wait for long.
mod slow_clients {
    const IMPATIENT: &[(&str, &str)] = &[
        ("SYMBOLON_BROKER_LIMITS_CONNECT_TIMEOUT_SECS", "2"),
        ("SYMBOLON_BROKER_LIMITS_HANDSHAKE_TIMEOUT_SECS", "2"),
    ];

    super::cases! { IMPATIENT =>
        a_slow_connect_is_cut
        a_slow_answer_to_the_challenge_is_cut
        a_slow_tls_handshake_is_cut
    }
}

mod websockets {
    const WSS: &[(&str, &str)] = &[(
        "SYMBOLON_BROKER_LISTENER",
        r#"[{address = "127.0.0.1:PORT", transport = "wss", origins = ["https://app.example"]}]"#,
    )];

    super::cases! { WSS =>
        the_exporter_proves_possession_over_wss
        a_challenge_proves_possession_over_wss
        a_3_1_1_client_proves_possession_over_wss
        the_borders_of_frames_mean_nothing
        offending_frames_close_the_websocket_with_their_code
        a_client_that_is_not_admitted_has_less_room_for_a_frame
        a_refusal_reaches_the_client_before_the_close
        requests_that_open_no_websocket_are_refused_with_a_reason
    }
}

mod bare_websockets {
    const WS: &[(&str, &str)] = &[
        (
            "SYMBOLON_BROKER_LISTENER",
            r#"[{address = "127.0.0.1:PORT", transport = "ws", origins = ["https://app.example"]}]"#,
        ),
        ("SYMBOLON_BROKER_PUBLIC_TOPICS", r#"["public/#"]"#),
    ];

    super::cases! { WS =>
        public_topics_are_served_over_ws_in_both_versions
    }
}

mod asynchronous {
    const PUBLIC: &[(&str, &str)] = &[("SYMBOLON_BROKER_PUBLIC_TOPICS", r#"["public/#"]"#)];

    super::cases! { PUBLIC =>
        aiomqtt_publishes_and_subscribes_at_every_qos
        aiomqtt_gets_a_retained_message
        the_will_of_aiomqtt_is_published_when_its_connection_breaks
        aiomqtt_asks_and_is_answered
        aiomqtt_proves_a_shared_key
        aiomqtt_proves_an_ed25519_key
        aiomqtt_proves_a_shared_key_in_mqtt_3_1_1
        aiomqtt_is_refused_where_no_token_opens_the_topic
    }
}

mod asynchronous_websockets {
    const WSS: &[(&str, &str)] = &[
        (
            "SYMBOLON_BROKER_LISTENER",
            r#"[{address = "127.0.0.1:PORT", transport = "wss", origins = ["https://app.example"]}]"#,
        ),
        ("SYMBOLON_BROKER_PUBLIC_TOPICS", r#"["public/#"]"#),
    ];

    super::cases! { WSS =>
        aiomqtt_publishes_and_subscribes_at_every_qos_over_a_websocket
    }
}

/// Where anyone may publish tokens, for those that come by the TLS layer afterwards.
mod known {
    pub(super) const AUTHZ_INFO: &[(&str, &str)] = &[("SYMBOLON_BROKER_AUTHZ_INFO", "true")];

    super::cases! { AUTHZ_INFO =>
        openssl_brings_its_whole_token_as_identity_on_tls_1_3
        openssl_names_its_key_on_both_versions
        gnutls_names_its_key_or_brings_its_token_as_raw_bytes
        gnutls_shows_a_raw_ed25519_key_on_tls_1_3
        gnutls_shows_a_raw_p256_key_on_tls_1_3
        gnutls_shows_a_raw_ed25519_key_on_tls_1_2
        gnutls_shows_a_raw_p256_key_on_tls_1_2_with_the_suite_of_the_profile
        mosquitto_comes_with_a_pre_shared_key_and_messages_flow
        a_token_in_connect_replaces_what_a_raw_key_brought
        a_client_with_a_pre_shared_key_is_cut_when_its_token_expires
    }
}

mod kinds {
    super::cases! { super::known::AUTHZ_INFO =>
        a_raw_key_opens_by_a_jwt_on_both_versions_of_tls
        a_raw_key_opens_by_a_cwt_on_both_versions_of_tls
        a_named_key_opens_by_a_jwt_on_tls_1_2
        a_named_key_opens_by_a_cwt_on_tls_1_2
        a_raw_key_opens_by_a_reference_on_both_versions_of_tls
        a_named_key_opens_by_a_reference_on_tls_1_2
        a_signed_cwt_is_verified_by_the_published_keys
    }
}

mod rotation {
    super::cases! { &[] =>
        tokens_under_an_earlier_content_key_are_good
        tokens_under_an_earlier_mac_key_are_good
        tokens_with_an_earlier_derivation_key_are_good
        a_refresh_token_outlives_a_content_key
        a_key_whose_time_is_over_is_forgotten
    }
}

mod cwts {
    super::cases! { &[] =>
        a_cwt_of_two_foreign_implementations_is_admitted_by_both_proofs
        a_cwt_that_says_anything_wrong_is_refused
        a_cwt_is_the_identity_of_a_pre_shared_key_or_is_named_by_it
    }
}

#[test]
fn every_case_has_its_test() {
    let modules = [
        tokens::NAMES,
        sessions::NAMES,
        refusals::NAMES,
        scope::NAMES,
        delivery::NAMES,
        v311::NAMES,
        old_version::NAMES,
        packets::NAMES,
        slow_clients::NAMES,
        websockets::NAMES,
        bare_websockets::NAMES,
        asynchronous::NAMES,
        asynchronous_websockets::NAMES,
        known::NAMES,
        kinds::NAMES,
        cwts::NAMES,
        rotation::NAMES,
    ];
    let mut tested = modules.concat();
    let mut cases = peer::cases("cases");
    tested.sort_unstable();
    cases.sort_unstable();
    assert_eq!(tested, cases);
}

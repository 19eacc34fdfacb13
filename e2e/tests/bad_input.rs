//! Bad input: every field of every message of RFC 9431 wrong in turn, from outside, over real sockets. One test for each case in
//! `python/bad_input/`. Good tokens differ from bad ones in nothing but what is named: the authorization server's own key signs both.

use symbolon_e2e::{peer, peer_cases as cases};

/// Anyone may publish tokens, and as many as it takes to try them all.
const AUTHZ_INFO: &[(&str, &str)] = &[
    ("SYMBOLON_BROKER_AUTHZ_INFO", "true"),
    ("SYMBOLON_BROKER_LIMITS_AUTHZ_INFO_RATE", "0"),
];

mod tokens {
    super::cases! { super::AUTHZ_INFO =>
        a_jwt_whose_form_is_wrong_is_refused
        a_jwt_whose_header_is_wrong_is_refused
        a_jwt_that_brings_or_names_other_keys_is_judged_by_the_as_key_alone
        a_jwt_whose_claims_are_wrong_is_refused
        a_token_whose_scope_is_wrong_is_refused
        a_token_whose_confirmation_is_wrong_is_refused
        a_token_whose_encrypted_key_is_wrong_is_refused
        whatever_is_wrong_the_client_is_told_the_same
    }
}

mod cwts {
    super::cases! { super::AUTHZ_INFO =>
        a_cwt_whose_form_is_wrong_is_refused
        a_cwt_whose_headers_are_wrong_is_refused
        a_cwt_whose_claims_are_wrong_is_refused
        a_cwt_whose_cose_key_is_wrong_is_refused
        a_cwt_whose_encrypted_key_is_wrong_is_refused
    }
}

mod packets {
    super::cases! { super::AUTHZ_INFO =>
        a_connect_whose_authentication_fields_are_wrong_is_refused
        an_answer_to_a_challenge_whose_fields_are_wrong_is_refused
        a_renewal_whose_fields_are_wrong_ends_the_connection
        who_connected_without_the_method_cannot_authenticate_later
        what_is_no_good_token_at_authz_info_gets_its_code_at_every_qos
        a_3_1_1_connect_whose_fields_are_wrong_is_refused
    }
}

mod identities {
    super::cases! { super::AUTHZ_INFO =>
        an_identity_that_names_no_key_is_refused_as_a_wrong_key_is
        a_token_as_identity_is_judged_as_one_in_connect_is
        what_a_handshake_named_but_did_not_prove_is_not_stored
    }
}

mod requests {
    super::cases! { &[] =>
        a_request_whose_members_are_wrong_gets_the_error_of_the_standard
        a_body_that_is_no_request_gets_invalid_request
        a_client_that_does_not_prove_itself_is_told_nothing_more
        an_assertion_or_a_proof_with_one_thing_wrong_is_refused
    }
}

mod slow_clients {
    const IMPATIENT: &[(&str, &str)] = &[
        ("SYMBOLON_BROKER_LIMITS_CONNECT_TIMEOUT_SECS", "2"),
        ("SYMBOLON_BROKER_LIMITS_HANDSHAKE_TIMEOUT_SECS", "2"),
        ("SYMBOLON_BROKER_LIMITS_HANDSHAKES", "8"),
    ];

    super::cases! { IMPATIENT =>
        a_handshake_that_trickles_is_cut
        a_connect_that_trickles_and_one_that_never_comes_are_cut
        an_answer_to_a_challenge_that_trickles_is_cut
        half_open_authentications_leave_room_for_others_and_end
        a_renewal_that_is_never_answered_ends_with_the_old_token
        bad_tokens_in_connect_without_end_do_not_keep_good_ones_out
    }
}

mod token_floods {
    const NARROW: &[(&str, &str)] = &[
        ("SYMBOLON_BROKER_AUTHZ_INFO", "true"),
        ("SYMBOLON_BROKER_LIMITS_AUTHZ_INFO_RATE", "5"),
        ("SYMBOLON_BROKER_LIMITS_STORED_TOKENS", "8"),
    ];

    super::cases! { NARROW =>
        a_flood_of_tokens_on_one_connection_is_held_by_its_rate
        tokens_for_ever_new_keys_fill_the_store_to_its_bound_and_no_further
    }
}

mod connection_floods {
    const NARROW: &[(&str, &str)] = &[("SYMBOLON_BROKER_LIMITS_CONNECTIONS_PER_ADDRESS", "12")];

    super::cases! { NARROW =>
        connections_of_one_address_are_bounded
    }
}

#[test]
fn every_case_has_its_test() {
    let modules = [
        tokens::NAMES,
        cwts::NAMES,
        packets::NAMES,
        identities::NAMES,
        requests::NAMES,
        slow_clients::NAMES,
        token_floods::NAMES,
        connection_floods::NAMES,
    ];
    let mut tested = modules.concat();
    let mut cases = peer::cases("bad_input");
    tested.sort_unstable();
    cases.sort_unstable();
    assert_eq!(tested, cases);
}

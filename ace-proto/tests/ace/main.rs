//! The public face of ace-proto against vectors, refusals and properties.
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

mod authentication_data;
mod cbor;
mod client_assertion;
mod confirmation;
mod cose_key;
mod cwt;
mod derived_key;
mod dpop;
mod encrypted_cose_key;
mod hint;
mod introspection;
mod jwe;
mod jwt;
mod key;
mod key_set;
mod lifetimes;
mod mac;
mod messages_in_cbor;
mod mutations;
mod mutator;
mod never_panics;
mod revocation_list;
mod scope;
mod token_question;
mod token_request;
mod token_response;
mod vectors;

//! The tests of `tests/it` on PostgreSQL, and what is PostgreSQL's own.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod own;
mod place;
mod transfer;

#[path = "../it/admin.rs"]
mod admin;
#[path = "../it/admin_accounts.rs"]
mod admin_accounts;
#[path = "../it/admin_rights.rs"]
mod admin_rights;
#[path = "../it/audit.rs"]
mod audit;
#[path = "../it/harness.rs"]
mod harness;
#[path = "../it/introspection.rs"]
mod introspection;
#[path = "../it/kinds.rs"]
mod kinds;
#[path = "../it/lock_out.rs"]
mod lock_out;
#[path = "../it/log.rs"]
mod log;
#[path = "../it/malformed.rs"]
mod malformed;
#[path = "../it/management.rs"]
mod management;
#[path = "../it/metadata.rs"]
mod metadata;
#[path = "../it/mutual_tls.rs"]
mod mutual_tls;
#[path = "../it/raw_keys.rs"]
mod raw_keys;
#[path = "../it/refresh.rs"]
mod refresh;
#[path = "../it/refusal_table.rs"]
mod refusal_table;
#[path = "../it/registration.rs"]
mod registration;
#[path = "../it/reload.rs"]
mod reload;
#[path = "../it/revocation.rs"]
mod revocation;
#[path = "../it/rights.rs"]
mod rights;
#[path = "../it/rules.rs"]
mod rules;
#[path = "../it/shared_keys.rs"]
mod shared_keys;
#[path = "../it/store.rs"]
mod store;
#[path = "../it/token.rs"]
mod token;

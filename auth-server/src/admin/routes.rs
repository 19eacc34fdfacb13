//! All routes there are.

use super::{
    accounts, audit, clients, document, groups, owners, policies, resource_servers, rights,
    route::Route, sessions, tokens,
};

const ALL: &[&[Route]] = &[
    clients::ROUTES,
    policies::ROUTES,
    groups::ROUTES,
    owners::ROUTES,
    resource_servers::ROUTES,
    tokens::ROUTES,
    rights::ROUTES,
    audit::ROUTES,
    accounts::ROUTES,
    sessions::ROUTES,
    document::ROUTES,
];

/// Each once.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    ALL.iter().copied().flatten()
}

//! All routes there are.

use super::{accounts, clients, document, route::Route, sessions};

const ALL: &[&[Route]] = &[
    accounts::ROUTES,
    clients::ROUTES,
    document::ROUTES,
    sessions::ROUTES,
];

/// Each once.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    ALL.iter().copied().flatten()
}

//! The store as whoever uses it sees it.

mod behaviour;
mod site;

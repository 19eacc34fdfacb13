//! The store as whoever uses it sees it, and as whatever can go wrong leaves it.

mod behaviour;
mod crash;
mod damage;
mod site;
mod space;
mod torn;

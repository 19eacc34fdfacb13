//! The store as whoever uses it sees it, and as whatever can go wrong leaves it.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::large_stack_arrays,
    reason = "a test may panic, takes the low byte of a number as a filling, and has a large stack"
)]

mod behaviour;
mod crash;
mod damage;
mod site;
mod space;
mod torn;

//! What decides: no socket, file, task, clock or random source here.

pub mod hash_seed;
mod level_tree;

mod short_text;
mod split_index;
pub mod subscriptions;

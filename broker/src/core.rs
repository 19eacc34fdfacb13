//! What decides: no socket, file, task, clock or random source here.

pub mod grant;
pub mod hash_seed;
mod level_tree;
pub mod retained;
mod short_text;
mod split_index;
pub mod subscriptions;
pub mod wheel;

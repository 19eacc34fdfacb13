//! The administration API, `/admin/v1`.
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | its messages |

pub mod model;

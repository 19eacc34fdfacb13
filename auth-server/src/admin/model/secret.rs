//! Text that goes in and never comes out.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A secret in a request. `Debug` does not show it; no answer has one but that which makes it.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[schema(value_type = String, format = Password)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

impl SecretText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

//! Keys, secrets, tokens and payloads stay where they belong.

#[cfg(test)]
mod kept;

//! Long lists, a part at a time.

use super::{Client, IssuedToken, Policy, Store, StoreError};
use symbolon_ace_proto::UnixTime;

/// Which rules are asked for; what is absent does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Those that bear on this client: its own, and those of its groups.
    pub(crate) client: Option<&'a str>,
    /// Those of this group.
    pub(crate) group: Option<&'a str>,
    /// Those at this audience.
    pub(crate) audience: Option<&'a str>,
    /// Those that this owner granted.
    pub(crate) owner: Option<&'a str>,
}

impl Store {
    /// At most so many clients with names after this one, each with its own rules.
    pub(crate) async fn clients_after(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(Client, Vec<Policy>)>, StoreError> {
        self.database.clients_after(after, limit).await
    }

    /// At most so many rules with numbers after this one.
    pub(crate) async fn policies_after(
        &self,
        which: Selection<'_>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Policy>, StoreError> {
        self.database.policies_after(which, after, limit).await
    }

    /// The rule of this number.
    pub(crate) async fn policy(&self, id: i64) -> Result<Option<Policy>, StoreError> {
        let Some(before) = id.checked_sub(1) else {
            return Ok(None);
        };
        let next = self.policies_after(Selection::default(), before, 1).await?;
        Ok(next.into_iter().find(|policy| policy.id == id))
    }

    /// At most so many tokens that have not expired, with identifiers after this one, of one client or of all.
    pub(crate) async fn tokens_after(
        &self,
        client_id: Option<&str>,
        (after, limit): (&str, u32),
        now: UnixTime,
    ) -> Result<Vec<IssuedToken>, StoreError> {
        self.database
            .tokens_after(client_id, (after, limit), now)
            .await
    }
}

//! Refusals in the audit log. What is granted is recorded with what is stored of it.

use super::Endpoints;
use crate::{core::refusals::Refusals, issuing::now};
use std::sync::{Mutex, PoisonError};

/// A refusal, as it is recorded.
pub(super) struct Refused<'a> {
    /// Whom the request claims to be from.
    pub(super) client_id: Option<&'a str>,
    /// Whether that was proved.
    pub(super) is_known: bool,
    /// What was asked for.
    pub(super) action: &'a str,
    /// Of what.
    pub(super) object: &'a str,
    /// Why not. No secret.
    pub(super) why: &'a str,
}

impl Endpoints {
    /// Records a refusal, or counts it where there are too many. One that cannot be recorded is a refusal all the same.
    pub(super) async fn audit(&self, refused: Refused<'_>) {
        let left_out = budget(&self.refusals).handle_refusal(refused.is_known, now());
        let Some(left_out) = left_out else {
            return;
        };
        let who = match (refused.client_id, refused.is_known) {
            (Some(client_id), true) => format!("client {client_id}"),
            (Some(client_id), false) => format!("somebody as client {client_id}"),
            (None, _) => "somebody".to_owned(),
        };
        let why = match left_out {
            0 => refused.why.to_owned(),
            count => format!("{}; {count} more before it", refused.why),
        };
        let deed = (refused.action, refused.object);
        if let Err(error) = self.store.record_refusal(&who, deed, &why).await {
            tracing::error!(%error, "a refusal cannot be recorded in the audit log");
        }
    }
}

fn budget(refusals: &Mutex<Refusals>) -> std::sync::MutexGuard<'_, Refusals> {
    // Numbers: a panic elsewhere leaves them right enough.
    refusals.lock().unwrap_or_else(PoisonError::into_inner)
}

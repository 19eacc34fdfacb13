//! `/audit`.

use super::{
    call::{Answer, Call},
    model::{AuditRecord, AuditVerdict, mark_from_text},
    paging::{AFTER, LIMIT, Place},
    problem::Problem,
    route::{Access, Method, Query, QueryKind, Route},
};
use serde::Deserialize;

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        (Method::Get, "/audit"),
        Access::Readers,
        |call| Box::pin(list(call)),
        "Records of the audit log from a number on, or the last ones",
    )
    .query(&[
        LIMIT,
        AFTER,
        Query {
            name: "from",
            about: "The number of the first record; without it and `after`, the last ones are told.",
            kind: QueryKind::Number(0, i64::MAX as u64),
            required: false,
        },
    ])
    .lists::<AuditRecord>(),
    Route::new(
        (Method::Get, "/audit/verify"),
        Access::Readers,
        |call| Box::pin(verify(call)),
        "Follow the whole audit log, and past a mark that was noted before",
    )
    .query(&[Query {
        name: "mark",
        about: "`mark` of an earlier answer.",
        kind: QueryKind::Text,
        required: false,
    }])
    .answers::<AuditVerdict>(200),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selected {
    limit: Option<u32>,
    after: Option<String>,
    from: Option<u64>,
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let asked: Selected = call.query()?;
    let place = Place::parse(asked.limit, asked.after.as_deref())?;
    let behind = asked.after.as_ref().map(|_| place.number()).transpose()?;
    // Numbers are never negative, and far from the last there is.
    let behind = behind.map(|number| number.unsigned_abs().saturating_add(1));
    let from = behind.max(asked.from);
    let store = call.store();
    let page = match from {
        // The last ones have none behind them.
        None => place.page(
            store.audit_records(None, place.limit).await?,
            |record| record.number.to_string(),
            AuditRecord::from,
        ),
        Some(from) => place.page(
            store.audit_records(Some(from), place.to_read()).await?,
            |record| record.number.to_string(),
            AuditRecord::from,
        ),
    };
    Answer::ok(&page)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    mark: Option<String>,
}

async fn verify(call: Call) -> Result<Answer, Problem> {
    let Noted { mark } = call.query()?;
    let mark = mark.as_deref().map(mark_from_text).transpose();
    let mark = mark.map_err(|error| Problem::Malformed(error.to_string()))?;
    let verdict = call.store().verify_audit(mark).await?;
    Answer::ok(&AuditVerdict::from(verdict))
}

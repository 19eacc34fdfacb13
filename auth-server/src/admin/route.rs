//! One line of the API: method, path, who may, what answers, and what the `OpenAPI` document says of it.

use super::{
    call::{Answer, Call},
    identity::Who,
    model::Page,
    problem::Problem,
};
use crate::store::Role;
use axum::routing::MethodFilter;
use serde::Serialize;
use std::{any::type_name, future::Future, pin::Pin};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

/// The future of a handler.
pub(super) type Handling = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// A route. Router, right and document all come from it, so that none can lack what another has.
#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) method: Method,
    /// Below `/admin/v1`, parameters in braces.
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) handler: fn(Call) -> Handling,
    /// What it does, in a few words.
    pub(super) summary: &'static str,
    pub(super) query: &'static [Query],
    pub(super) request: Option<Described>,
    pub(super) status: u16,
    pub(super) answer: Option<Described>,
    /// Of a list: what it lists.
    pub(super) items: Option<Described>,
}

/// The methods there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(super) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// Everybody, without a login.
    Open,
    /// Any account.
    Accounts,
    /// Administrators.
    Administrators,
    /// Administrators and auditors.
    Readers,
    /// Administrators, and resource owners within what they own.
    Grantors,
    /// Administrators, auditors, and resource owners within what they own.
    Rules,
}

impl Access {
    pub(super) fn allows(self, who: &Who) -> bool {
        let role = match who {
            Who::Local(_) => &Role::Administrator,
            Who::Account(account) => &account.role,
            Who::Nobody => return self == Self::Open,
        };
        match (self, role) {
            (Self::Open | Self::Accounts, _)
            | (_, Role::Administrator)
            | (Self::Readers | Self::Rules, Role::Auditor)
            | (Self::Grantors | Self::Rules, Role::Owner(_)) => true,
            (Self::Administrators | Self::Grantors, Role::Auditor)
            | (Self::Administrators | Self::Readers, Role::Owner(_)) => false,
        }
    }
}

/// A parameter of the query.
#[derive(Clone, Copy)]
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) kind: QueryKind,
    pub(super) required: bool,
}

/// What a parameter of the query is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum QueryKind {
    Text,
    /// From the first to the last.
    Number(u64, u64),
}

/// A type that stands in the document.
#[derive(Clone, Copy)]
pub(super) struct Described {
    pub(super) name: fn() -> String,
    pub(super) schema: fn() -> RefOr<Schema>,
    pub(super) within: fn(&mut Vec<(String, RefOr<Schema>)>),
}

/// The name of a type in the document: of a page, with that of its items.
fn name_of<T: ToSchema>() -> String {
    let name = T::name();
    match type_name::<T>().split_once('<') {
        None => name.into_owned(),
        Some((_, within)) => {
            let item = within.trim_end_matches('>').rsplit("::").next();
            format!("{name}Of{}", item.unwrap_or_default())
        }
    }
}

impl Described {
    pub(super) const fn of<T: ToSchema>() -> Self {
        Self {
            name: name_of::<T>,
            schema: T::schema,
            within: T::schemas,
        }
    }
}

impl Route {
    pub(super) const fn new(
        (method, path): (Method, &'static str),
        access: Access,
        handler: fn(Call) -> Handling,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            access,
            handler,
            summary,
            query: &[],
            request: None,
            status: 204,
            answer: None,
            items: None,
        }
    }

    pub(super) const fn query(mut self, query: &'static [Query]) -> Self {
        self.query = query;
        self
    }

    pub(super) const fn takes<T: ToSchema>(mut self) -> Self {
        self.request = Some(Described::of::<T>());
        self
    }

    pub(super) const fn answers<T: ToSchema>(mut self, status: u16) -> Self {
        self.status = status;
        self.answer = Some(Described::of::<T>());
        self
    }

    /// It answers with a page of these.
    pub(super) const fn lists<T: ToSchema + Serialize>(self) -> Self {
        let mut route = self.answers::<Page<T>>(200);
        route.items = Some(Described::of::<T>());
        route
    }

    /// The names of the parameters in the path.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &'static str> + use<> {
        let names = self.path.split('/');
        names.filter_map(|level| level.strip_prefix('{')?.strip_suffix('}'))
    }
}

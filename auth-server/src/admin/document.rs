//! The `OpenAPI` document, made of the routes.

use super::{
    call::{Answer, Call},
    model::{PATH, Problem as ProblemBody},
    problem,
    route::{Access, Described, Method, Query, QueryKind, Route},
    routes,
};
use std::collections::BTreeMap;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, Paths, Ref, RefOr,
        Required, Response, ResponseBuilder, Schema, SecurityRequirement, ServerBuilder,
        path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{ObjectBuilder, Type},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

pub(super) const ROUTES: &[Route] = &[Route::new(
    (Method::Get, "/openapi.json"),
    Access::Open,
    |_: Call| Box::pin(async { Answer::ok(&document()) }),
    "This document",
)
.answers::<Document>(200)];

/// Any object: what stands in it, `OpenAPI` itself says.
struct Document;

impl PartialSchema for Document {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Object).into()
    }
}

impl ToSchema for Document {}

/// The `OpenAPI` 3.1 document of this API, as `GET /admin/v1/openapi.json` answers it.
pub fn openapi_json() -> String {
    // A document of texts always has a form in JSON.
    document().to_pretty_json().unwrap_or_default()
}

fn document() -> OpenApi {
    let mut paths = Paths::new();
    let mut schemas = BTreeMap::new();
    for route in routes::all() {
        let operation = operation(route, &mut schemas);
        paths.add_path_operation(route.path, vec![http_method(route.method)], operation);
    }
    collect(&Described::of::<ProblemBody>(), &mut schemas);
    let mut components = Components::new();
    components.schemas.extend(schemas);
    let basic = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let certificate = SecurityScheme::MutualTls {
        description: Some("A certificate that is registered for the account.".to_owned()),
        extensions: None,
    };
    components.add_security_scheme("password", basic);
    components.add_security_scheme("session", bearer);
    components.add_security_scheme("certificate", certificate);
    let info = InfoBuilder::new()
        .title("Symbolon administration")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Clients, rules, resource servers, tokens, accounts and the audit log of the authorization server.",
        ));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url(PATH).build()]))
        .paths(paths)
        .components(Some(components))
        .build()
}

fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route, schemas: &mut BTreeMap<String, RefOr<Schema>>) -> Operation {
    let mut operation = OperationBuilder::new()
        .summary(Some(route.summary))
        .operation_id(Some(operation_id(route)))
        .tag(route.path.split('/').nth(1).unwrap_or_default());
    for name in route.parameters() {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(path_schema(name))),
        );
    }
    for query in route.query {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(query.name)
                .parameter_in(ParameterIn::Query)
                .required(if query.required {
                    Required::True
                } else {
                    Required::False
                })
                .description(Some(query.about))
                .schema(Some(query_schema(query))),
        );
    }
    if let Some(request) = &route.request {
        let body = RequestBodyBuilder::new()
            .content("application/json", content(request, schemas))
            .required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    let mut answer = ResponseBuilder::new().description("Done");
    if let Some(items) = &route.items {
        collect(items, schemas);
    }
    if let Some(described) = &route.answer {
        answer = answer.content("application/json", content(described, schemas));
    }
    operation = operation.response(route.status.to_string(), answer.build());
    for (status, description) in refusals(route) {
        operation = operation.response(status.to_string(), refusal(description));
    }
    if route.access == Access::Open {
        return operation.build();
    }
    for scheme in ["password", "session", "certificate"] {
        operation = operation.security(SecurityRequirement::new(scheme, [""; 0]));
    }
    operation.build()
}

/// As `get_clients_client_id`.
fn operation_id(route: &Route) -> String {
    let path = route.path.replace(['{', '}'], "");
    let words = path.split(['/', '-', '.']).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    format!(
        "{}_{}",
        route.method.as_str().to_lowercase(),
        words.join("_")
    )
}

fn path_schema(name: &str) -> RefOr<Schema> {
    match name {
        "id" => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1_i64))
            .into(),
        _ => ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .into(),
    }
}

fn query_schema(query: &Query) -> RefOr<Schema> {
    match query.kind {
        QueryKind::Text => ObjectBuilder::new().schema_type(Type::String).into(),
        QueryKind::Number(first, last) => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(i64::try_from(first).ok())
            .maximum(i64::try_from(last).ok())
            .into(),
    }
}

fn content(described: &Described, schemas: &mut BTreeMap<String, RefOr<Schema>>) -> Content {
    Content::new(Some(collect(described, schemas)))
}

/// Takes a type and all within it into the document; a reference to it.
fn collect(described: &Described, schemas: &mut BTreeMap<String, RefOr<Schema>>) -> RefOr<Schema> {
    let name = (described.name)();
    if !schemas.contains_key(&name) {
        let mut within = Vec::new();
        (described.within)(&mut within);
        schemas.extend(within);
        schemas.insert(name.clone(), (described.schema)());
    }
    RefOr::Ref(Ref::from_schema_name(name))
}

fn refusal(description: &str) -> Response {
    let body = RefOr::Ref(Ref::from_schema_name("Problem"));
    ResponseBuilder::new()
        .description(description)
        .content(problem::MEDIA_TYPE, Content::new(Some(body)))
        .build()
}

/// Every status that refuses, and when.
fn refusals(route: &Route) -> Vec<(u16, &'static str)> {
    let mut refusals = Vec::new();
    if route.access != Access::Open {
        refusals.extend([
            (401, "No account, or a wrong password"),
            (403, "The account has no right to this"),
            (
                429,
                "Too many failed logins; Retry-After says when to come back",
            ),
            (
                503,
                "The database cannot be used now, or too many logins at once",
            ),
        ]);
    }
    if route.access != Access::Open || !route.query.is_empty() {
        refusals.push((400, "The request is malformed"));
    }
    let named = route.parameters().next().is_some();
    if named || route.request.is_some() || !route.query.is_empty() {
        refusals.push((404, "There is none of this name"));
    }
    if route.request.is_some() {
        refusals.extend([
            (408, "The body took too long"),
            (409, "There is one already"),
            (413, "The body is too long"),
            (415, "The body is not application/json"),
            (422, "A value is refused"),
        ]);
    }
    if route.method == Method::Delete {
        refusals.push((409, "It is still needed"));
    }
    refusals.push((500, "A fault of the server"));
    refusals
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn written() -> Value {
        serde_json::from_str(&openapi_json()).unwrap()
    }

    /// All `$ref` in it.
    fn references(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(text) if name == "$ref" => into.push(text.clone()),
                        other @ (Value::Null
                        | Value::Bool(_)
                        | Value::Number(_)
                        | Value::String(_)
                        | Value::Array(_)
                        | Value::Object(_)) => references(other, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let document = written();
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(all.len() > 100);
        for reference in all {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn a_page_says_of_what_it_is_one() {
        let document = written();
        let page = |path: &str| {
            let pointer = format!(
                "/paths/{}/get/responses/200/content/application~1json/schema/$ref",
                path.replace('/', "~1")
            );
            document.pointer(&pointer).unwrap().clone()
        };
        assert_eq!(page("/clients"), "#/components/schemas/PageOfClient");
        assert_eq!(page("/accounts"), "#/components/schemas/PageOfAccount");
    }

    #[test]
    fn all_but_the_document_itself_need_a_login_of_one_of_three_kinds() {
        let document = written();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                let ways = operation["security"].as_array().map_or(0, Vec::len);
                let expected = if path == "/openapi.json" { 0 } else { 3 };
                assert_eq!(ways, expected, "{path}");
                let ids = operation["operationId"].as_str().unwrap();
                assert!(!ids.contains(['{', '-', '.']), "{ids}");
            }
        }
    }
}

//! The API in this process, on the database of this machine: being able to open it is what authorises.

use super::{AdministrationError, Answer, Verb, target::Target};
use crate::registry;
use symbolon_auth_server::{
    admin::{Bytes, LocalApi, http, model},
    store::Store,
};

#[derive(Debug)]
pub(super) struct Local(LocalApi);

impl Local {
    pub(super) fn new(store: Store) -> Self {
        Self(LocalApi::new(store, &registry::actor()))
    }

    pub(super) async fn send(
        &self,
        verb: Verb,
        target: &Target,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, AdministrationError> {
        let mut request = http::Request::new(Bytes::from(body.unwrap_or_default()));
        *request.method_mut() = match verb {
            Verb::Get => http::Method::GET,
            Verb::Post => http::Method::POST,
            Verb::Put => http::Method::PUT,
            Verb::Patch => http::Method::PATCH,
            Verb::Delete => http::Method::DELETE,
        };
        let uri = format!("{}{}", model::PATH, target.as_str());
        *request.uri_mut() = uri.parse().map_err(|_| AdministrationError::TooLong)?;
        let json = http::HeaderValue::from_static("application/json");
        request
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, json);
        let response = self.0.call(request).await;
        Ok(Answer {
            status: response.status().as_u16(),
            body: response.into_body().to_vec(),
        })
    }
}

//! The client of the administration API: every command that administers clients, rules, resource servers and accounts asks through it, on
//! this machine as over HTTPS.
//!
//! | module | holds |
//! |---|---|
//! | [`place`] | which authorization server, and who asks: the arguments |
//! | [`methods`] | what can be asked |
//! | [`target`] | paths and queries |
//! | [`local`], [`remote`] | how a request gets there |
//! | [`refusal`] | why something was not done |

mod local;
mod methods;
mod place;
mod refusal;
mod remote;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use methods::Subjects;
pub(crate) use place::{Place, new_password, password_in};
pub(crate) use refusal::AdministrationError;

use crate::config::Settings;
use local::Local;
use remote::Remote;
use serde::{Serialize, de::DeserializeOwned};
use symbolon_auth_server::{
    admin::model::{MAX_PAGE, Page, Problem},
    store::Store,
};
use target::Target;

/// The most pages of a list that are asked for: more items than an authorization server has.
const MAX_PAGES: usize = 10_000;

/// An authorization server to ask.
#[derive(Debug)]
pub(crate) struct Administration {
    transport: Transport,
    /// The configuration, where it is the one of this machine.
    settings: Option<Settings>,
}

#[derive(Debug)]
enum Transport {
    Local(Local),
    Remote(Box<Remote>),
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// The methods of HTTP that the API has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Administration {
    /// Of the database that this store has open; `settings` are those that named it.
    pub(crate) fn local(store: Store, settings: Option<Settings>) -> Self {
        Self {
            transport: Transport::Local(Local::new(store)),
            settings,
        }
    }

    fn remote(remote: Remote) -> Self {
        Self {
            transport: Transport::Remote(Box::new(remote)),
            settings: None,
        }
    }

    /// The configuration, where it is the one of this machine.
    pub(crate) fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// Asks for something, and reads what comes back.
    async fn get<A: DeserializeOwned>(&self, target: Target) -> Result<A, AdministrationError> {
        self.read(&self.exchange(Verb::Get, target, None).await?)
    }

    /// The same where it may not be there.
    async fn find<A: DeserializeOwned>(
        &self,
        target: Target,
    ) -> Result<Option<A>, AdministrationError> {
        match self.get(target).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A list, whole.
    async fn list<A: DeserializeOwned>(
        &self,
        target: Target,
    ) -> Result<Vec<A>, AdministrationError> {
        let target = target.query("limit", &MAX_PAGE.to_string());
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = match &after {
                Some(after) => target.clone().query("after", after),
                None => target.clone(),
            };
            let page: Page<A> = self.get(page).await?;
            items.extend(page.items);
            match page.next {
                None => return Ok(items),
                next => after = next,
            }
        }
        Err(AdministrationError::Endless)
    }

    /// Has something done, and reads what comes back.
    async fn send<A: DeserializeOwned>(
        &self,
        verb: Verb,
        target: Target,
        body: &impl Serialize,
    ) -> Result<A, AdministrationError> {
        self.read(&self.exchange(verb, target, Some(written(body)?)).await?)
    }

    /// Has something done.
    async fn order(
        &self,
        verb: Verb,
        target: Target,
        body: &impl Serialize,
    ) -> Result<(), AdministrationError> {
        self.exchange(verb, target, Some(written(body)?)).await?;
        Ok(())
    }

    async fn delete(&self, target: Target) -> Result<(), AdministrationError> {
        self.exchange(Verb::Delete, target, None).await?;
        Ok(())
    }

    async fn exchange(
        &self,
        verb: Verb,
        target: Target,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, AdministrationError> {
        let answer = match &self.transport {
            Transport::Local(local) => local.send(verb, &target, body).await?,
            Transport::Remote(remote) => remote.send(verb, &target, body).await?,
        };
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let status = answer.status;
        match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(problem) => Err(AdministrationError::Refused {
                status,
                detail: crate::mqtt::printable(&problem.detail),
                remote: matches!(self.transport, Transport::Remote(_)),
            }),
            Err(_) => Err(self.not_understood(status)),
        }
    }

    fn read<A: DeserializeOwned>(&self, answer: &Answer) -> Result<A, AdministrationError> {
        serde_json::from_slice(&answer.body).map_err(|_| self.not_understood(answer.status))
    }

    fn not_understood(&self, status: u16) -> AdministrationError {
        let who = match &self.transport {
            Transport::Local(_) => "the authorization server's own API".to_owned(),
            Transport::Remote(remote) => remote.url().to_owned(),
        };
        AdministrationError::NotUnderstood { who, status }
    }
}

fn written(body: &impl Serialize) -> Result<Vec<u8>, AdministrationError> {
    serde_json::to_vec(body).map_err(AdministrationError::Unwritable)
}

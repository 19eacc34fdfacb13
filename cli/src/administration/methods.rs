//! What can be asked, each as the API has it.

use super::{
    Administration, AdministrationError, Transport, Verb, place::device_ca, target::Target,
};
use crate::exit::usage;
use serde_json::value::RawValue;
use symbolon_auth_server::{
    admin::model::{
        Account, AccountCertificate, AccountPassword, Apply, AudienceGroup, AudienceGroupMembers,
        AuditRecord, AuditVerdict, Client, Desired, Explanation, Granted, Group, MAX_PAGE,
        MemberChange, NewAccount, NewClient, NewGroup, NewPolicy, Owner, OwnerRemoved, Page, Plan,
        Policy, PutResourceServer, Question, RemoveOwner, ResourceServer, Revocation, Revoked,
        SecretText, Token, Tree, mark_to_text,
    },
    store::AuditMark,
};

/// The most records of the audit log in one answer.
const PAGE: usize = MAX_PAGE as usize;

type Answered<T> = Result<T, AdministrationError>;

/// Whose rules are asked for; everybody's where none is named.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subjects<'a> {
    /// This client's and its groups'.
    pub(crate) client: Option<&'a str>,
    /// This group's.
    pub(crate) group: Option<&'a str>,
}

/// What an authorization server says of itself (RFC 8414), as far as it is needed.
#[derive(serde::Deserialize)]
struct Metadata {
    issuer: String,
}

impl Administration {
    pub(crate) async fn clients(&self) -> Answered<Vec<Client>> {
        self.list(Target::of(&["clients"])).await
    }

    pub(crate) async fn client(&self, name: &str) -> Answered<Client> {
        self.get(Target::of(&["clients", name])).await
    }

    pub(crate) async fn find_client(&self, name: &str) -> Answered<Option<Client>> {
        self.find(Target::of(&["clients", name])).await
    }

    pub(crate) async fn add_client(&self, client: &NewClient) -> Answered<Client> {
        self.send(Verb::Post, Target::of(&["clients"]), client)
            .await
    }

    pub(crate) async fn remove_client(&self, name: &str) -> Answered<()> {
        self.delete(Target::of(&["clients", name])).await
    }

    pub(crate) async fn policies(&self, of: Subjects<'_>) -> Answered<Vec<Policy>> {
        let target = Target::of(&["policies"])
            .maybe("client", of.client)
            .maybe("group", of.group);
        self.list(target).await
    }

    pub(crate) async fn add_policy(&self, policy: &NewPolicy) -> Answered<Policy> {
        self.send(Verb::Post, Target::of(&["policies"]), policy)
            .await
    }

    pub(crate) async fn remove_policy(&self, id: i64) -> Answered<()> {
        self.delete(Target::of(&["policies", &id.to_string()]))
            .await
    }

    /// Makes groups and rules as they shall be; with `dry_run` only says what that would change.
    pub(crate) async fn apply(&self, desired: Desired, dry_run: bool) -> Answered<Plan> {
        let apply = Apply { desired, dry_run };
        self.send(Verb::Post, Target::of(&["policies", "apply"]), &apply)
            .await
    }

    pub(crate) async fn groups(&self) -> Answered<Vec<Group>> {
        self.list(Target::of(&["groups"])).await
    }

    pub(crate) async fn add_group(&self, name: &str) -> Answered<()> {
        let name = name.to_owned();
        let target = Target::of(&["groups"]);
        self.order(Verb::Post, target, &NewGroup { name }).await
    }

    pub(crate) async fn remove_group(&self, name: &str) -> Answered<()> {
        self.delete(Target::of(&["groups", name])).await
    }

    pub(crate) async fn change_members(&self, name: &str, change: &MemberChange) -> Answered<()> {
        let target = Target::of(&["groups", name, "members"]);
        self.order(Verb::Patch, target, change).await
    }

    pub(crate) async fn owners(&self) -> Answered<Vec<Owner>> {
        self.list(Target::of(&["owners"])).await
    }

    pub(crate) async fn add_owner(&self, owner: &Owner) -> Answered<()> {
        self.order(Verb::Post, Target::of(&["owners"]), owner).await
    }

    pub(crate) async fn remove_owner(
        &self,
        name: &str,
        trees: Vec<Tree>,
    ) -> Answered<OwnerRemoved> {
        let target = Target::of(&["owners", name, "remove"]);
        self.send(Verb::Post, target, &RemoveOwner { trees }).await
    }

    pub(crate) async fn resource_servers(&self) -> Answered<Vec<ResourceServer>> {
        self.list(Target::of(&["resource-servers"])).await
    }

    pub(crate) async fn resource_server(&self, audience: &str) -> Answered<ResourceServer> {
        self.get(Target::of(&["resource-servers", audience])).await
    }

    pub(crate) async fn find_resource_server(
        &self,
        audience: &str,
    ) -> Answered<Option<ResourceServer>> {
        self.find(Target::of(&["resource-servers", audience])).await
    }

    pub(crate) async fn put_resource_server(
        &self,
        audience: &str,
        put: &PutResourceServer,
    ) -> Answered<ResourceServer> {
        let target = Target::of(&["resource-servers", audience]);
        self.send(Verb::Put, target, put).await
    }

    pub(crate) async fn remove_resource_server(&self, audience: &str) -> Answered<()> {
        self.delete(Target::of(&["resource-servers", audience]))
            .await
    }

    pub(crate) async fn audience_groups(&self) -> Answered<Vec<AudienceGroup>> {
        self.list(Target::of(&["audience-groups"])).await
    }

    pub(crate) async fn add_to_audience_group(
        &self,
        name: &str,
        members: Vec<String>,
    ) -> Answered<()> {
        let target = Target::of(&["audience-groups", name]);
        let members = AudienceGroupMembers { members };
        self.order(Verb::Post, target, &members).await
    }

    pub(crate) async fn remove_audience_group(&self, name: &str) -> Answered<()> {
        self.delete(Target::of(&["audience-groups", name])).await
    }

    pub(crate) async fn tokens(&self, client: Option<&str>) -> Answered<Vec<Token>> {
        self.list(Target::of(&["tokens"]).maybe("client", client))
            .await
    }

    /// Revokes tokens; how many that were good until now.
    pub(crate) async fn revoke(&self, which: &Revocation) -> Answered<u64> {
        let target = Target::of(&["tokens", "revoke"]);
        let revoked: Revoked = self.send(Verb::Post, target, which).await?;
        Ok(revoked.revoked)
    }

    pub(crate) async fn why(&self, question: &Question) -> Answered<Explanation> {
        self.send(Verb::Post, Target::of(&["why"]), question).await
    }

    pub(crate) async fn scope(&self, client: &str, audience: &str) -> Answered<Granted> {
        let target = Target::of(&["scope"])
            .query("client", client)
            .query("audience", audience);
        self.get(target).await
    }

    /// At most `limit` records of the audit log from a number on, or the last ones.
    pub(crate) async fn audit(
        &self,
        from: Option<u64>,
        limit: usize,
    ) -> Answered<Vec<AuditRecord>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut records = self.audit_page(from, limit).await?;
        let (Some(last), true) = (records.last(), limit > PAGE) else {
            return Ok(records);
        };
        // More than one page: of the last ones it is known now where they begin.
        let limit_as_number = u64::try_from(limit).unwrap_or(u64::MAX);
        if from.is_none() {
            let first = last
                .number
                .saturating_sub(limit_as_number.saturating_sub(1))
                .max(1);
            records = self.audit_page(Some(first), limit).await?;
        }
        for _ in 0..super::MAX_PAGES {
            let (Some(last), true) = (records.last(), records.len() < limit) else {
                return Ok(records);
            };
            let from = last.number.saturating_add(1);
            let more = self.audit_page(Some(from), limit - records.len()).await?;
            if more.is_empty() {
                return Ok(records);
            }
            records.extend(more);
        }
        Err(AdministrationError::Endless)
    }

    async fn audit_page(&self, from: Option<u64>, limit: usize) -> Answered<Vec<AuditRecord>> {
        let from = from.map(|number| number.to_string());
        let target = Target::of(&["audit"])
            .maybe("from", from.as_deref())
            .query("limit", &limit.min(PAGE).to_string());
        let page: Page<AuditRecord> = self.get(target).await?;
        Ok(page.items)
    }

    pub(crate) async fn verify_audit(&self, mark: Option<AuditMark>) -> Answered<AuditVerdict> {
        let mark = mark.map(mark_to_text);
        let target = Target::of(&["audit", "verify"]).maybe("mark", mark.as_deref());
        self.get(target).await
    }

    pub(crate) async fn accounts(&self) -> Answered<Vec<Account>> {
        self.list(Target::of(&["accounts"])).await
    }

    pub(crate) async fn add_account(&self, account: &NewAccount) -> Answered<Account> {
        self.send(Verb::Post, Target::of(&["accounts"]), account)
            .await
    }

    pub(crate) async fn remove_account(&self, name: &str) -> Answered<()> {
        self.delete(Target::of(&["accounts", name])).await
    }

    pub(crate) async fn set_password(&self, name: &str, password: SecretText) -> Answered<()> {
        let target = Target::of(&["accounts", name, "password"]);
        self.order(Verb::Put, target, &AccountPassword { password })
            .await
    }

    pub(crate) async fn set_certificate(
        &self,
        name: &str,
        certificate: &AccountCertificate,
    ) -> Answered<()> {
        let target = Target::of(&["accounts", name, "certificate"]);
        self.order(Verb::Put, target, certificate).await
    }

    /// The document that describes the API, as it comes.
    pub(crate) async fn openapi(&self) -> Answered<Box<RawValue>> {
        self.get(Target::of(&["openapi.json"])).await
    }

    /// The audience to work with: the one given, the broker's of this machine's configuration, or of a server elsewhere its only one.
    pub(crate) async fn audience(&self, given: Option<String>) -> anyhow::Result<String> {
        if let Some(given) = given {
            return Ok(given);
        }
        if let Transport::Local(_) = self.transport {
            let broker = self.settings.as_ref().and_then(|one| one.broker.as_ref());
            let configured = broker.and_then(|broker| broker.authorization.first());
            return configured.map(|one| one.audience.clone()).ok_or_else(|| {
                usage("the configuration names no broker: say which with --audience")
            });
        }
        let servers = match self.resource_servers().await {
            Ok(servers) => servers,
            // The account of a resource owner does not see them.
            Err(error) if error.is_forbidden() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        match servers.as_slice() {
            [only] => Ok(only.audience.clone()),
            _ => Err(usage("say which broker with --audience")),
        }
    }

    /// The issuer identifier: of this machine's configuration, or as a server elsewhere says it.
    pub(crate) async fn issuer(&self) -> anyhow::Result<String> {
        match &self.transport {
            Transport::Local(_) => {
                let settings = self.settings.as_ref();
                let section = settings.and_then(|one| one.authorization_server.as_ref());
                section
                    .map(|section| section.issuer.clone())
                    .ok_or_else(|| usage("there is no section [as]"))
            }
            Transport::Remote(remote) => {
                let answer = remote.metadata().await?;
                let metadata = serde_json::from_slice::<Metadata>(&answer.body);
                metadata.map(|metadata| metadata.issuer).map_err(|_| {
                    usage(format!(
                        "{} publishes no metadata: say the issuer with --issuer",
                        remote.url()
                    ))
                })
            }
        }
    }

    /// The CA that devices are to trust: the one that this machine's configuration names, or that the server elsewhere is known by.
    pub(crate) fn device_ca(&self) -> anyhow::Result<String> {
        match (&self.transport, &self.settings) {
            (Transport::Remote(remote), _) => Ok(remote.ca_pem().to_owned()),
            (Transport::Local(_), Some(settings)) => device_ca(settings),
            (Transport::Local(_), None) => Err(usage("there is no configuration")),
        }
    }
}

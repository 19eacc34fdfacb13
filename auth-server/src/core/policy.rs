//! Requested scope ∩ what this client may do at this audience.

use crate::store::{Allowed, ResourceServer};
use std::collections::{HashMap, hash_map::Entry};
use symbolon_ace_proto::{ErrorCode, ErrorResponse, Scope, ScopeEntry};
use symbolon_mqtt_proto::{TopicError, TopicFilter};

/// What a filter template writes for the client identifier.
const CLIENT_ID_PLACEHOLDER: &str = "${client_id}";

/// A client identifier that is safe as, or inside, a topic level.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ClientId<'a>(&'a str);

/// Why a client identifier is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ClientIdError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than 256 bytes")]
    TooLong,
    #[error("it has a character other than printable ASCII, or a space")]
    NotPrintable,
    #[error("it has one of '/', '+' and '#', which mean something in topics")]
    TopicSyntax,
    #[error("it begins with '$', as the broker's own topics do")]
    Dollar,
}

/// Why the filter of a policy is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FilterError {
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error("the only placeholder is ${{client_id}}")]
    Placeholder,
    #[error("policies name the filter inside of $share/NAME/FILTER")]
    Share,
}

/// What a client is granted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Permitted {
    /// Never empty.
    pub(crate) scope: Scope,
    /// The shortest of the server's own and of the policies that the scope comes from.
    pub(crate) token_lifetime_secs: u64,
}

/// Why nothing is granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("audience is missing: there is not exactly one resource server")]
    AudienceMissing,
    #[error("audience names no resource server")]
    UnknownAudience,
    #[error("audience names resource servers that want different tokens")]
    MixedGroup,
    #[error("the client may do nothing of the requested scope at this audience")]
    NothingGranted,
    #[error("the granted scope is too large for a token: ask for less")]
    TooLarge,
}

impl PolicyError {
    /// What the client is told. RFC 8707 has `invalid_target` for an audience; neither RFC 6749 nor RFC 9200 knows it.
    pub(crate) fn response(self) -> ErrorResponse {
        let code = match self {
            Self::AudienceMissing | Self::UnknownAudience | Self::MixedGroup => {
                ErrorCode::InvalidRequest
            }
            Self::NothingGranted | Self::TooLarge => ErrorCode::InvalidScope,
        };
        ErrorResponse::new(code, &self.to_string())
    }
}

impl<'a> ClientId<'a> {
    const MAX_BYTES: usize = 256;

    pub(crate) fn parse(text: &'a str) -> Result<Self, ClientIdError> {
        match text {
            "" => Err(ClientIdError::Empty),
            _ if text.len() > Self::MAX_BYTES => Err(ClientIdError::TooLong),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(ClientIdError::NotPrintable)
            }
            _ if text.contains(['/', '+', '#']) => Err(ClientIdError::TopicSyntax),
            _ if text.starts_with('$') => Err(ClientIdError::Dollar),
            _ => Ok(Self(text)),
        }
    }

    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }
}

/// The filter that a template means for a client.
pub(crate) fn filter_of(
    template: &str,
    client_id: ClientId<'_>,
) -> Result<TopicFilter, FilterError> {
    if template.replace(CLIENT_ID_PLACEHOLDER, "").contains("${") {
        return Err(FilterError::Placeholder);
    }
    if template.starts_with("$share/") {
        // A broker authorises the filter inside, so such a policy would allow nothing.
        return Err(FilterError::Share);
    }
    let filter = template.replace(CLIENT_ID_PLACEHOLDER, client_id.as_str());
    Ok(TopicFilter::parse(&filter)?)
}

/// Whom a token is for.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    /// The audience, as it is asked for by.
    pub(crate) audience: String,
    /// The resource server; of a group, one of them, and what is said of the kind of its tokens is true of all.
    pub(crate) server: ResourceServer,
    /// The others of the group.
    pub(crate) others: Vec<ResourceServer>,
}

impl Destination {
    /// Whether it stands for several resource servers, or would (RFC 9200 §6.9).
    pub(crate) fn is_group(&self) -> bool {
        self.audience != self.server.audience
    }

    /// The audience of each resource server.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        let servers = std::iter::once(&self.server).chain(&self.others);
        servers.map(|server| server.audience.as_str())
    }

    /// `aud`.
    pub(crate) fn claim(&self) -> Vec<String> {
        let group = self.is_group().then(|| self.audience.clone());
        let members = self.members().map(str::to_owned);
        group.into_iter().chain(members).collect()
    }
}

/// Whom a token is for. `servers` holds those that `audience` names, or some of all, at least two where there are more than one.
pub(crate) fn choose_destination(
    audience: Option<&str>,
    servers: Vec<ResourceServer>,
) -> Result<Destination, PolicyError> {
    let mut servers = servers.into_iter();
    let (first, others) = (servers.next(), servers.collect::<Vec<_>>());
    match (audience, first) {
        (Some(_), None) => Err(PolicyError::UnknownAudience),
        (None, None) => Err(PolicyError::AudienceMissing),
        (None, Some(_)) if !others.is_empty() => Err(PolicyError::AudienceMissing),
        (Some(_), Some(server)) if others.iter().any(|one| one.tokens != server.tokens) => {
            Err(PolicyError::MixedGroup)
        }
        (audience, Some(server)) => Ok(Destination {
            audience: audience.unwrap_or(&server.audience).to_owned(),
            server,
            others,
        }),
    }
}

/// All that a client may do, each filter once.
pub(crate) fn whole_scope(allowed: &[Allowed]) -> Scope {
    let mut scope = Gathered::default();
    for policy in allowed {
        scope.add(&policy.entry);
    }
    scope.into_scope()
}

/// What of `requested` is allowed; all that is allowed where nothing was requested.
pub(crate) fn permit(
    requested: Option<&Scope>,
    allowed: &[Allowed],
    server_lifetime_secs: u64,
) -> Result<Permitted, PolicyError> {
    let whole = whole_scope(allowed);
    let scope = match requested {
        Some(requested) => requested.intersect(&whole),
        None => whole,
    };
    let token_lifetime_secs = allowed
        .iter()
        .filter(|policy| gives_something_of(&scope, &policy.entry))
        .filter_map(|policy| policy.token_lifetime_secs)
        .fold(server_lifetime_secs, u64::min);
    match scope.entries().len() {
        0 => Err(PolicyError::NothingGranted),
        1..=Scope::MAX_ENTRIES => Ok(Permitted {
            scope,
            token_lifetime_secs,
        }),
        _ => Err(PolicyError::TooLarge),
    }
}

/// Whether something of `scope` is allowed by this policy, be it by others too.
fn gives_something_of(scope: &Scope, policy: &ScopeEntry) -> bool {
    scope.entries().iter().any(|granted| {
        let publish = policy.publish && granted.publish;
        let subscribe = policy.subscribe && granted.subscribe;
        (publish || subscribe) && policy.filter.covers(&granted.filter)
    })
}

/// Scope entries in the order they came, those of one filter made one.
#[derive(Default)]
struct Gathered {
    entries: Vec<ScopeEntry>,
    position: HashMap<TopicFilter, usize>,
}

impl Gathered {
    fn add(&mut self, entry: &ScopeEntry) {
        match self.position.entry(entry.filter.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(self.entries.len());
                self.entries.push(entry.clone());
            }
            Entry::Occupied(occupied) => {
                let known = &mut self.entries[*occupied.get()];
                known.publish |= entry.publish;
                known.subscribe |= entry.subscribe;
            }
        }
    }

    fn into_scope(self) -> Scope {
        Scope::from_entries(self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use symbolon_ace_proto::{SymmetricKey, jwe::ContentKey};

    const HOUR: u64 = 3600;

    fn entry(filter: &str, publish: bool, subscribe: bool) -> ScopeEntry {
        ScopeEntry {
            filter: TopicFilter::parse(filter).unwrap(),
            publish,
            subscribe,
        }
    }

    fn allowed(filter: &str, permissions: (bool, bool), lifetime: Option<u64>) -> Allowed {
        Allowed {
            entry: entry(filter, permissions.0, permissions.1),
            token_lifetime_secs: lifetime,
        }
    }

    fn server(audience: &str) -> ResourceServer {
        let content_key = ContentKey {
            kid: "k".to_owned(),
            key: SymmetricKey::from_bytes(&[0; 32]),
        };
        ResourceServer::new(audience, content_key)
    }

    #[test]
    fn a_client_identifier_that_could_change_a_topic_is_refused() {
        for (text, error) in [
            ("", ClientIdError::Empty),
            ("a/b", ClientIdError::TopicSyntax),
            ("+", ClientIdError::TopicSyntax),
            ("a#", ClientIdError::TopicSyntax),
            ("$SYS", ClientIdError::Dollar),
            ("a b", ClientIdError::NotPrintable),
            ("a\0", ClientIdError::NotPrintable),
            ("ä", ClientIdError::NotPrintable),
        ] {
            assert_eq!(ClientId::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(
            ClientId::parse(&"a".repeat(257)),
            Err(ClientIdError::TooLong)
        );
        assert!(ClientId::parse(&"a".repeat(256)).is_ok());
        assert!(ClientId::parse("urn:dev:mac:0024befffe804ff1").is_ok());
    }

    #[test]
    fn a_template_is_filled_in_once_and_then_checked() {
        let tricky = ClientId::parse("x${client_id}").unwrap();
        let filter = filter_of("d/${client_id}/#", tricky).unwrap();
        assert_eq!(filter.as_str(), "d/x${client_id}/#");
        let client = ClientId::parse("c").unwrap();
        assert_eq!(
            filter_of("$SYS/${client_id}", client).unwrap().as_str(),
            "$SYS/c"
        );
        assert_eq!(
            filter_of("d/${clientid}", client),
            Err(FilterError::Placeholder)
        );
        assert_eq!(filter_of("$share/g/a", client), Err(FilterError::Share));
        assert_eq!(
            filter_of("a/#/b", client),
            Err(FilterError::Topic(TopicError::MultiLevelWildcard))
        );
    }

    #[test]
    fn without_an_audience_there_must_be_exactly_one_resource_server() {
        assert_eq!(
            choose_destination(None, vec![server("a")])
                .unwrap()
                .audience,
            "a"
        );
        for servers in [vec![], vec![server("a"), server("b")]] {
            let refusal = choose_destination(None, servers).unwrap_err();
            assert_eq!(refusal, PolicyError::AudienceMissing);
        }
        let refusal = choose_destination(Some("c"), vec![]).unwrap_err();
        assert_eq!(refusal, PolicyError::UnknownAudience);
        assert_eq!(refusal.response().code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn without_a_requested_scope_all_is_granted_each_filter_once() {
        let policies = [
            allowed("a/#", (true, false), None),
            allowed("b", (false, true), None),
            allowed("a/#", (false, true), None),
        ];
        let permitted = permit(None, &policies, HOUR).unwrap();
        let expected = [entry("a/#", true, true), entry("b", false, true)];
        assert_eq!(permitted.scope.entries(), expected);
        assert_eq!(permitted.token_lifetime_secs, HOUR);
        assert_eq!(whole_scope(&policies), permitted.scope);
    }

    #[test]
    fn only_policies_that_give_something_shorten_the_token() {
        let policies = [
            allowed("a/#", (true, false), Some(60)),
            allowed("a/#", (false, true), Some(600)),
            allowed("b", (true, true), Some(5)),
        ];
        let asked = Scope::from_entries(vec![entry("a/x", false, true)]);
        let permitted = permit(Some(&asked), &policies, HOUR).unwrap();
        assert_eq!(permitted.scope, asked);
        assert_eq!(permitted.token_lifetime_secs, 600);
        assert_eq!(
            permit(None, &policies, HOUR).unwrap().token_lifetime_secs,
            5
        );
        assert_eq!(permit(None, &policies, 3).unwrap().token_lifetime_secs, 3);
    }

    // RFC 6749 §3.3: the granted scope may be narrower than the requested one, and the client is told.
    #[test]
    fn a_wider_request_is_narrowed_to_the_policies() {
        let policies = [
            allowed("a/b", (true, false), None),
            allowed("a/c/#", (true, true), None),
        ];
        let asked = Scope::from_entries(vec![entry("a/#", true, true)]);
        let permitted = permit(Some(&asked), &policies, HOUR).unwrap();
        let expected = [entry("a/b", true, false), entry("a/c/#", true, true)];
        assert_eq!(permitted.scope.entries(), expected);
    }

    // RFC 6749 §5.2
    #[test]
    fn nothing_left_of_a_request_is_an_invalid_scope() {
        let policies = [allowed("a", (true, false), None)];
        let asked = Scope::from_entries(vec![entry("a", false, true), entry("b", true, true)]);
        for (asked, policies) in [
            (Some(&asked), &policies[..]),
            (Some(&Scope::default()), &policies[..]),
            (None, &[]),
        ] {
            let refusal = permit(asked, policies, HOUR).unwrap_err();
            assert_eq!(refusal, PolicyError::NothingGranted);
            assert_eq!(refusal.response().code, ErrorCode::InvalidScope);
        }
    }

    #[test]
    fn a_scope_past_the_limit_is_refused() {
        let policies: Vec<Allowed> = (0..=Scope::MAX_ENTRIES)
            .map(|number| allowed(&format!("a/{number}"), (true, true), None))
            .collect();
        assert_eq!(permit(None, &policies, HOUR), Err(PolicyError::TooLarge));
        assert!(permit(None, &policies[1..], HOUR).is_ok());
    }
}

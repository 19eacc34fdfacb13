//! From flags to a connection.

use super::{
    arguments::ConnectArgs,
    device::Device,
    discovery,
    property::{MessageProperties, Properties},
};
use crate::{
    broker_address::{self, BrokerAddress, PLAIN_PORT, TLS_PORT},
    exit::{Exit, usage},
    private_file,
};
use anyhow::Context as _;
use std::{fs, path::Path, sync::OnceLock, time::Duration};
use symbolon_client::{
    ConnectError, ConnectOptions, Connection, Mode, Profile,
    connection::{Credentials, Session},
    token,
};
use symbolon_mqtt_proto::{ProtocolVersion, Qos, ReasonCode, TopicName, Will};

/// Where operating systems keep the CA certificates they trust.
const SYSTEM_CA_FILES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// Refusals that are about the broker's state and not about us.
const IN_PASSING: [ReasonCode; 5] = [
    ReasonCode::ServerUnavailable,
    ReasonCode::ServerBusy,
    ReasonCode::ServerShuttingDown,
    ReasonCode::KeepAliveTimeout,
    ReasonCode::ConnectionRateExceeded,
];
/// The most files read from `--capath`.
const MAX_CA_FILES: usize = 1024;

/// Whom to connect to, as whom, and how: enough to connect again.
pub(crate) struct Target {
    address: BrokerAddress,
    ca_pem: Option<String>,
    version: ProtocolVersion,
    client_identifier: String,
    clean_start: bool,
    keep_alive_secs: u16,
    session_expiry_interval_secs: Option<u32>,
    user_name: Option<String>,
    password: Option<String>,
    will: Option<OwnedWill>,
    user_properties: Vec<(String, String)>,
    receive_maximum: Option<u16>,
    maximum_packet_size: Option<u32>,
    timeout: Duration,
    device: Option<Device>,
    /// The device's profile with the authorization server that the broker named.
    discovered: OnceLock<Profile>,
    /// The topic in `-L`.
    pub(crate) url_topic: Option<String>,
    /// `-D publish`.
    pub(crate) publish_properties: MessageProperties,
}

#[derive(Debug)]
struct OwnedWill {
    topic: String,
    payload: String,
    qos: Qos,
    retain: bool,
    delay_interval_secs: u32,
    properties: MessageProperties,
}

/// `-L`, taken apart.
#[derive(Default)]
struct Url {
    tls: bool,
    user_name: Option<String>,
    password: Option<String>,
    address: Option<BrokerAddress>,
    topic: Option<String>,
}

impl Target {
    /// Checks that the flags make sense together and reads the files they name.
    pub(crate) fn new(arguments: &ConnectArgs) -> anyhow::Result<Self> {
        arguments.refused.refuse()?;
        let properties = arguments.properties.parse()?;
        let device = Device::of(arguments)?;
        let version = version(arguments, device.as_ref());
        check_version(arguments, version, &properties)?;
        if let Some(device) = &device {
            device.check(version)?;
        }
        let url = match &arguments.url {
            Some(url) => parse_url(url).map_err(|error| usage(format!("-L: {error}")))?,
            None => Url::default(),
        };
        if device.is_some() && url.user_name.is_some() {
            return Err(usage("-L: no user name together with a profile"));
        }
        let ca_pem = ca(arguments, &url, device.as_ref())?;
        let address = address(arguments, &url, device.as_ref(), ca_pem.is_some())?;
        let client_identifier = client_identifier(arguments, device.as_ref());
        if arguments.disable_clean_session && client_identifier.is_empty() {
            return Err(usage("-c needs a Client Identifier: -i, -I or a profile"));
        }
        Ok(Self {
            address,
            ca_pem,
            version,
            client_identifier,
            clean_start: !arguments.disable_clean_session,
            keep_alive_secs: arguments.keepalive,
            session_expiry_interval_secs: session_expiry(arguments, version, &properties),
            user_name: arguments.user_name.clone().or(url.user_name),
            password: arguments.password.clone().or(url.password),
            will: will(arguments, &properties)?,
            receive_maximum: properties.receive_maximum,
            maximum_packet_size: properties.maximum_packet_size,
            user_properties: properties.connect_pairs,
            timeout: Duration::from_secs(arguments.connect_timeout),
            device,
            discovered: OnceLock::new(),
            url_topic: url.topic,
            publish_properties: properties.publish,
        })
    }

    /// Gets a token where there is a profile, and connects.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        self.connect_again(None).await
    }

    /// The same, and goes on with what was in flight when an earlier connection was lost.
    pub(crate) async fn connect_again(
        &self,
        session: Option<Session>,
    ) -> anyhow::Result<Connection> {
        let credentials = match &self.device {
            Some(device) if device.mode(self.version) != Mode::Anon => {
                Some(self.credentials(device).await?)
            }
            Some(_) | None => None,
        };
        let will = self.will.as_ref().map(OwnedWill::borrow).transpose()?;
        tracing::debug!(host = %self.address.host, port = self.address.port, client = %self.client_identifier, "sending CONNECT");
        let defaults = ConnectOptions::new(self.address.host.clone(), self.address.port);
        let options = ConnectOptions {
            ca_pem: self.ca_pem.clone(),
            version: self.version,
            client_identifier: self.client_identifier.clone(),
            clean_start: self.clean_start,
            keep_alive_secs: self.keep_alive_secs,
            session_expiry_interval_secs: self.session_expiry_interval_secs,
            user_name: self.user_name.clone(),
            password: self.password.clone().map(String::into_bytes),
            will,
            user_properties: self.user_properties.clone(),
            receive_maximum: self.receive_maximum.unwrap_or(defaults.receive_maximum),
            maximum_packet_size: self
                .maximum_packet_size
                .unwrap_or(defaults.maximum_packet_size),
            timeout: self.timeout,
            ..defaults
        };
        let connected = match session {
            Some(session) => Connection::resume(options, credentials, session).await,
            None => Connection::connect(options, credentials).await,
        };
        let connection = connected.map_err(|error| self.with_address(error))?;
        tracing::debug!(
            session_present = connection.session_present(),
            "received CONNACK"
        );
        Ok(connection)
    }

    /// Says which broker, where the error does not. That there was no TLS is worth saying: a TLS port answers with nonsense then.
    fn with_address(&self, error: ConnectError) -> anyhow::Error {
        if matches!(error, ConnectError::Unreachable(..)) {
            return error.into();
        }
        let BrokerAddress { host, port } = &self.address;
        let host = broker_address::bracketed(host);
        let name = match self.ca_pem {
            Some(_) => format!("{host}:{port}"),
            None => format!("{host}:{port} without TLS (no --cafile)"),
        };
        anyhow::Error::new(error).context(name)
    }

    /// What a lost connection leaves to the next one: with a clean session, nothing.
    pub(crate) fn session_after(&self, lost: Connection) -> Option<Session> {
        (!self.clean_start).then(|| lost.into_session())
    }

    /// Whether MQTT 5.0 is spoken.
    pub(crate) fn is_v5(&self) -> bool {
        self.version == ProtocolVersion::V5
    }

    async fn credentials(&self, device: &Device) -> anyhow::Result<Credentials> {
        let profile = self.profile(device).await?;
        tracing::debug!(endpoint = %profile.token_endpoint, "asking for a token");
        let ask = token::Ask {
            scope: device.scope.as_ref(),
            client_nonce: None,
            held: None,
        };
        let token = token::obtain_with(&profile, ask)
            .await
            .with_context(|| profile.token_endpoint.clone())?;
        tracing::debug!(size_bytes = token.text.len(), expires_at = %crate::clock::local(token.expires_at), "received a token");
        Ok(Credentials {
            mode: device.mode(self.version),
            profile: Some(profile),
            token,
        })
    }

    /// The device's profile, with the authorization server that the broker names where it has none.
    async fn profile(&self, device: &Device) -> anyhow::Result<Profile> {
        if device.profile.names_authorization_server() {
            return Ok(device.profile.clone());
        }
        if let Some(known) = self.discovered.get() {
            return Ok(known.clone());
        }
        let defaults = ConnectOptions::new(self.address.host.clone(), self.address.port);
        let visit = ConnectOptions {
            ca_pem: self.ca_pem.clone(),
            timeout: self.timeout,
            ..defaults
        };
        let profile = discovery::complete(device, visit).await?;
        Ok(self.discovered.get_or_init(|| profile).clone())
    }
}

/// Whether an error is one that a new connection may heal.
pub(crate) fn is_worth_retrying(error: &anyhow::Error) -> bool {
    if let Some(ConnectError::Refused { reason_code, .. }) = error.downcast_ref() {
        return IN_PASSING.contains(reason_code);
    }
    match Exit::of(error) {
        Exit::Lost | Exit::Unreachable | Exit::TimedOut => true,
        Exit::General
        | Exit::Usage
        | Exit::NeedsRestart
        | Exit::RefusedByAuthorizationServer
        | Exit::RefusedByBroker => false,
    }
}

impl OwnedWill {
    fn borrow(&self) -> anyhow::Result<Will<'_>> {
        Ok(Will {
            topic: TopicName::parse(&self.topic)?,
            payload: self.payload.as_bytes(),
            qos: self.qos,
            retain: self.retain,
            delay_interval_secs: self.delay_interval_secs,
            properties: self.properties.borrow()?,
        })
    }
}

/// As asked for, or as the mode needs it.
fn version(arguments: &ConnectArgs, device: Option<&Device>) -> ProtocolVersion {
    let of_mode = || match device.and_then(Device::asked) {
        Some(Mode::V311) => ProtocolVersion::V311,
        Some(
            Mode::Anon
            | Mode::Exporter
            | Mode::Challenge
            | Mode::Rpk
            | Mode::PskToken
            | Mode::PskKid,
        )
        | None => ProtocolVersion::V5,
    };
    arguments.protocol_version.unwrap_or_else(of_mode)
}

fn check_version(
    arguments: &ConnectArgs,
    version: ProtocolVersion,
    properties: &Properties,
) -> anyhow::Result<()> {
    if version == ProtocolVersion::V5 {
        return Ok(());
    }
    let needs_v5 = [
        (!arguments.properties.given.is_empty(), "-D"),
        (properties.session_expiry_interval_secs.is_some(), "-D"),
        (arguments.session_expiry_interval_secs.is_some(), "-x"),
        (
            arguments.password.is_some() && arguments.user_name.is_none(),
            "-P without -u",
        ),
    ];
    match needs_v5.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(usage(format!("{flag} needs MQTT 5.0: -V mqttv5"))),
        None => Ok(()),
    }
}

fn ca(
    arguments: &ConnectArgs,
    url: &Url,
    device: Option<&Device>,
) -> anyhow::Result<Option<String>> {
    let mut pem = String::new();
    if let Some(file) = &arguments.cafile {
        pem.push_str(&read_ca(file)?);
    }
    if let Some(directory) = &arguments.capath {
        pem.push_str(&read_ca_directory(directory)?);
    }
    let named = arguments.cafile.is_some() || arguments.capath.is_some();
    // As mosquitto does: a TLS address or the TLS port without any CA means those of the system.
    let implied = url.tls || arguments.port == Some(TLS_PORT);
    if arguments.tls_use_os_certs || (implied && !named && device.is_none()) {
        pem.push_str(&read_system_cas()?);
    }
    Ok(match (pem.is_empty(), device) {
        (false, _) => Some(pem),
        (true, Some(device)) if !device.profile.ca.is_empty() => Some(device.profile.ca.clone()),
        (true, Some(_)) => {
            return Err(usage(
                "name the CA of broker and authorization server with --cafile",
            ));
        }
        (true, None) => None,
    })
}

fn read_ca(file: &Path) -> anyhow::Result<String> {
    private_file::read_text(file)
        .map(|pem| pem + "\n")
        .map_err(|error| usage(format!("{}: {error}", file.display())))
}

fn read_ca_directory(directory: &Path) -> anyhow::Result<String> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("--capath {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries.take(MAX_CA_FILES) {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("crt" | "pem")) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(usage(format!(
            "--capath {}: no *.crt and no *.pem in it",
            directory.display()
        )));
    }
    files.iter().map(|file| read_ca(file)).collect()
}

fn read_system_cas() -> anyhow::Result<String> {
    let file = SYSTEM_CA_FILES
        .iter()
        .map(Path::new)
        .find(|file| file.exists())
        .ok_or_else(|| usage("this system has no CA certificates: name one with --cafile"))?;
    read_ca(file)
}

fn address(
    arguments: &ConnectArgs,
    url: &Url,
    device: Option<&Device>,
    is_tls: bool,
) -> anyhow::Result<BrokerAddress> {
    let of_profile = match device {
        Some(device) => Some(
            broker_address::parse(&device.profile.broker)
                .map_err(|error| usage(format!("profile: {error}")))?,
        ),
        None => None,
    };
    if let Some(address) = &url.address {
        return Ok(address.clone());
    }
    let default_port = if is_tls { TLS_PORT } else { PLAIN_PORT };
    let base = of_profile.unwrap_or(BrokerAddress {
        host: "localhost".into(),
        port: default_port,
    });
    Ok(BrokerAddress {
        host: arguments.host.clone().unwrap_or(base.host),
        port: arguments.port.unwrap_or(base.port),
    })
}

fn client_identifier(arguments: &ConnectArgs, device: Option<&Device>) -> String {
    let prefixed = |prefix: &String| format!("{prefix}{}", std::process::id());
    arguments
        .id
        .clone()
        .or_else(|| arguments.id_prefix.as_ref().map(prefixed))
        .or_else(|| device.map(|device| device.profile.client_id.clone()))
        .unwrap_or_default()
}

fn session_expiry(
    arguments: &ConnectArgs,
    version: ProtocolVersion,
    properties: &Properties,
) -> Option<u32> {
    if version == ProtocolVersion::V311 {
        return None;
    }
    arguments
        .session_expiry_interval_secs
        .or(properties.session_expiry_interval_secs)
        .or(arguments.disable_clean_session.then_some(u32::MAX))
}

fn will(arguments: &ConnectArgs, properties: &Properties) -> anyhow::Result<Option<OwnedWill>> {
    let Some(topic) = &arguments.will_topic else {
        if properties.has_will {
            return Err(usage("-D will needs --will-topic"));
        }
        return Ok(None);
    };
    TopicName::parse(topic).map_err(|error| usage(format!("--will-topic {topic}: {error}")))?;
    Ok(Some(OwnedWill {
        topic: topic.clone(),
        payload: arguments.will_payload.clone().unwrap_or_default(),
        qos: arguments.will_qos.unwrap_or(Qos::AtMostOnce),
        retain: arguments.will_retain,
        delay_interval_secs: properties.will_delay_interval_secs,
        properties: properties.will.clone(),
    }))
}

fn parse_url(text: &str) -> Result<Url, String> {
    let (tls, rest) = match (text.strip_prefix("mqtts://"), text.strip_prefix("mqtt://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("expected mqtt:// or mqtts://".into()),
    };
    let (authority, topic) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, authority) = match authority.rsplit_once('@') {
        Some((login, authority)) => (Some(login), authority),
        None => (None, authority),
    };
    let (user_name, password) = match login.map(|login| (login, login.split_once(':'))) {
        None => (None, None),
        Some((login, None)) => (Some(login.to_owned()), None),
        Some((_, Some((user, password)))) => (Some(user.to_owned()), Some(password.to_owned())),
    };
    let default_port = if tls { TLS_PORT } else { PLAIN_PORT };
    Ok(Url {
        tls,
        user_name,
        password,
        address: Some(broker_address::parse_authority(authority, default_port)?),
        topic: (!topic.is_empty()).then(|| topic.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_restarts_is_connected_to_again_and_one_that_refuses_us_is_not() {
        let refused = |reason_code| {
            let error = ConnectError::Refused {
                reason_code,
                reason_string: None,
                hint: None,
            };
            anyhow::Error::new(error).context("localhost:8883")
        };
        assert!(is_worth_retrying(&refused(ReasonCode::ServerShuttingDown)));
        assert!(!is_worth_retrying(&refused(ReasonCode::NotAuthorized)));
        assert!(!is_worth_retrying(&refused(ReasonCode::SessionTakenOver)));
        assert!(is_worth_retrying(&ConnectError::Lost(String::new()).into()));
    }

    #[test]
    fn a_url_comes_apart_as_mosquitto_takes_it() {
        let url = parse_url("mqtt://me:pw@example.com/a/b").unwrap();
        let address = url.address.unwrap();
        assert_eq!((address.host.as_str(), address.port), ("example.com", 1883));
        assert_eq!(url.user_name.as_deref(), Some("me"));
        assert_eq!(url.password.as_deref(), Some("pw"));
        assert_eq!(url.topic.as_deref(), Some("a/b"));
        assert!(!url.tls);
    }

    #[test]
    fn a_secure_url_has_the_secure_port() {
        let url = parse_url("mqtts://example.com/t").unwrap();
        assert_eq!(url.address.unwrap().port, 8883);
        assert!(url.tls);
        assert!(parse_url("http://example.com/t").is_err());
    }
}

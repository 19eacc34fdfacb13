//! Where a connection goes and how: enough to open it again.

use super::{ConnectError, ConnectOptions, will::KeptWill};
use crate::Mode;
use symbolon_mqtt_proto::ProtocolVersion;

/// How long a session lasts, at the least, that has to outlive a change of connections, seconds. It is ended with the last of them.
const KEPT_SECS: u32 = 300;

/// The options of a connection, owned.
#[derive(Clone)]
pub(super) struct Place {
    options: ConnectOptions<'static>,
    will: Option<KeptWill>,
    mode: Mode,
    ending: Ending,
}

/// What becomes of the session when the application says goodbye.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// What it asked for.
    AsAsked,
    /// It was made to last longer: DISCONNECT says how long it shall last (MQTT 5.0 §3.14.2.2.2).
    Expires(u32),
    /// In 3.1.1 a clean session ends with its connection. As long as there are no subscriptions and nothing is in flight, there is nothing in it
    /// to be kept.
    Clean,
    /// It was made to last although a clean one was asked for; in 3.1.1 nothing but another clean session ends it.
    Cleared,
}

impl Place {
    pub(super) fn new(options: &ConnectOptions<'_>, mode: Mode) -> Result<Self, ConnectError> {
        let mut owned = without_will(options);
        let ending = match (options.version, mode) {
            // An AS need not give another token for the same key; then the next connection has another.
            (ProtocolVersion::V5, Mode::PskToken | Mode::PskKid) => {
                let asked = options.session_expiry_interval_secs.unwrap_or(0);
                owned.session_expiry_interval_secs = Some(asked.max(KEPT_SECS));
                if asked < KEPT_SECS {
                    Ending::Expires(asked)
                } else {
                    Ending::AsAsked
                }
            }
            (ProtocolVersion::V311, _) if options.clean_start => Ending::Clean,
            (ProtocolVersion::V5 | ProtocolVersion::V311, _) => Ending::AsAsked,
        };
        if ending == Ending::Clean && options.client_identifier.is_empty() {
            return Err(ConnectError::Options(
                "in MQTT 3.1.1 a token is renewed by connecting again, which needs a Client Identifier",
            ));
        }
        Ok(Self {
            will: options.will.as_ref().map(KeptWill::new).transpose()?,
            options: owned,
            mode,
            ending,
        })
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.options.version
    }

    /// What to connect with.
    pub(super) fn options(&self) -> Result<ConnectOptions<'_>, ConnectError> {
        let mut options: ConnectOptions<'_> = self.options.clone();
        options.will = self.will.as_ref().map(KeptWill::borrow).transpose()?;
        Ok(options)
    }

    /// What a stranger would connect with.
    pub(super) fn visit(&self) -> ConnectOptions<'static> {
        visit(&self.options)
    }

    /// Whether the session ends with its connection.
    pub(super) fn is_clean(&self) -> bool {
        self.ending == Ending::Clean
    }

    /// From the next connection on a clean session of 3.1.1 is one that goes on.
    pub(super) fn keep_session(&mut self) {
        if self.ending == Ending::Clean {
            self.ending = Ending::Cleared;
            self.options.clean_start = false;
        }
    }

    /// The first connection stands: the next ones are the same client, and go on with its session.
    pub(super) fn handle_connected(&mut self, client_identifier: &str) {
        client_identifier.clone_into(&mut self.options.client_identifier);
        self.options.clean_start = self.is_clean();
    }

    /// What DISCONNECT says of the session at the end.
    pub(super) fn final_expiry_secs(&self) -> Option<u32> {
        match self.ending {
            Ending::Expires(secs) => Some(secs),
            Ending::AsAsked | Ending::Clean | Ending::Cleared => None,
        }
    }

    /// What to connect with for the session to be over at once.
    pub(super) fn clearing(&self) -> Option<Self> {
        (self.ending == Ending::Cleared).then(|| Self {
            options: ConnectOptions {
                clean_start: true,
                ..self.options.clone()
            },
            will: None,
            ..*self
        })
    }
}

/// To the same broker without being anybody there: the broker gives the Client Identifier, and no session is left.
pub(super) fn visit(options: &ConnectOptions<'_>) -> ConnectOptions<'static> {
    ConnectOptions {
        version: ProtocolVersion::V5,
        client_identifier: String::new(),
        clean_start: true,
        session_expiry_interval_secs: None,
        user_name: None,
        password: None,
        user_properties: Vec::new(),
        ..without_will(options)
    }
}

fn without_will(options: &ConnectOptions<'_>) -> ConnectOptions<'static> {
    ConnectOptions {
        host: options.host.clone(),
        port: options.port,
        ca_pem: options.ca_pem.clone(),
        version: options.version,
        client_identifier: options.client_identifier.clone(),
        clean_start: options.clean_start,
        keep_alive_secs: options.keep_alive_secs,
        session_expiry_interval_secs: options.session_expiry_interval_secs,
        user_name: options.user_name.clone(),
        password: options.password.clone(),
        will: None,
        user_properties: options.user_properties.clone(),
        receive_maximum: options.receive_maximum,
        maximum_packet_size: options.maximum_packet_size,
        backlog_bytes: options.backlog_bytes,
        timeout: options.timeout,
    }
}

//! `mqtts://host:port`, as profiles and `-L` write it.

/// The port of MQTT over TLS.
pub(crate) const TLS_PORT: u16 = 8883;
/// The port of bare MQTT.
pub(crate) const PLAIN_PORT: u16 = 1883;

/// Where a broker is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BrokerAddress {
    /// A name or an IP address, the latter without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

/// Takes `mqtts://host[:port]` apart. Nothing may follow.
pub(crate) fn parse(url: &str) -> Result<BrokerAddress, String> {
    let authority = url
        .strip_prefix("mqtts://")
        .ok_or_else(|| format!("{url:?} is no mqtts:// address"))?;
    parse_authority(authority.trim_end_matches('/'), TLS_PORT)
}

/// Takes `host[:port]` apart; an IPv6 address stands in brackets.
pub(crate) fn parse_authority(authority: &str, default_port: u16) -> Result<BrokerAddress, String> {
    let wrong = || format!("{authority:?} is not HOST:PORT");
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (
                host,
                rest.strip_prefix(':').or((rest.is_empty()).then_some("")),
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    let port = match port.ok_or_else(wrong)? {
        "" if authority.ends_with(':') => return Err(wrong()),
        "" => default_port,
        port => port.parse().map_err(|_| wrong())?,
    };
    if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) || port == 0 {
        return Err(wrong());
    }
    Ok(BrokerAddress {
        host: host.to_owned(),
        port,
    })
}

/// `mqtts://host:port`.
pub(crate) fn format(host: &str, port: u16) -> String {
    format!("mqtts://{}:{port}", bracketed(host))
}

/// The host as a URL has it: an IPv6 address in brackets.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_come_apart() {
        let address = |host: &str, port| BrokerAddress {
            host: host.into(),
            port,
        };
        assert_eq!(parse("mqtts://a.example:1"), Ok(address("a.example", 1)));
        assert_eq!(parse("mqtts://a.example"), Ok(address("a.example", 8883)));
        assert_eq!(parse("mqtts://[::1]:99/"), Ok(address("::1", 99)));
        assert_eq!(parse("mqtts://[::1]"), Ok(address("::1", 8883)));
    }

    #[test]
    fn what_is_no_secure_broker_address_is_refused() {
        for url in [
            "mqtt://a:1",
            "mqtts://",
            "mqtts://a:",
            "mqtts://a:x",
            "mqtts://a:0",
            "mqtts://a/b",
            "mqtts://[::1",
            "mqtts://u@a",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}

//! Flags of `mosquitto_pub` and `mosquitto_sub` that cannot be honoured. Each is known, so that it is refused with its reason and not
//! taken for a mistyped one.

use crate::exit::usage;

/// The flags; none is shown by `--help`.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RefusedArgs {
    #[arg(short = 'A', hide = true, value_name = "ADDRESS")]
    bind_address: Option<String>,
    #[arg(short = 'S', hide = true)]
    srv: bool,
    #[arg(long, hide = true)]
    unix: Option<String>,
    #[arg(long, hide = true)]
    proxy: Option<String>,
    #[arg(long, hide = true)]
    insecure: bool,
    #[arg(long, hide = true)]
    cert: Option<String>,
    #[arg(long, hide = true)]
    key: Option<String>,
    #[arg(long, hide = true)]
    keyform: Option<String>,
    #[arg(long, hide = true)]
    ciphers: Option<String>,
    #[arg(long, hide = true)]
    tls_version: Option<String>,
    #[arg(long, hide = true)]
    tls_engine: Option<String>,
    #[arg(long, hide = true)]
    tls_engine_kpass_sha1: Option<String>,
    #[arg(long, hide = true)]
    psk: Option<String>,
    #[arg(long, hide = true)]
    psk_identity: Option<String>,
}

impl RefusedArgs {
    /// An error for the first flag that was given.
    pub(crate) fn refuse(&self) -> anyhow::Result<()> {
        let engine = "there are no TLS engines: keys are read from files";
        let no_client_certificate = "client certificates are not supported: a device proves itself by its token (--profile)";
        let flags = [
            (
                self.bind_address.is_some(),
                "-A",
                "the local address cannot be chosen",
            ),
            (
                self.srv,
                "-S",
                "SRV records are not looked up: name the host with -h",
            ),
            (
                self.unix.is_some(),
                "--unix",
                "Unix domain sockets are not supported",
            ),
            (self.proxy.is_some(), "--proxy", "proxies are not supported"),
            (
                self.insecure,
                "--insecure",
                "the broker's certificate is always checked: name its CA with --cafile",
            ),
            (self.cert.is_some(), "--cert", no_client_certificate),
            (self.key.is_some(), "--key", no_client_certificate),
            (self.keyform.is_some(), "--keyform", engine),
            (
                self.ciphers.is_some(),
                "--ciphers",
                "TLS cipher suites cannot be chosen",
            ),
            (
                self.tls_version.is_some(),
                "--tls-version",
                "the TLS version cannot be chosen: it is 1.3, or 1.2 with extended main secret",
            ),
            (self.tls_engine.is_some(), "--tls-engine", engine),
            (
                self.tls_engine_kpass_sha1.is_some(),
                "--tls-engine-kpass-sha1",
                engine,
            ),
            (
                self.psk.is_some(),
                "--psk",
                "pre-shared keys come with tokens: --profile with --auth psk-token or psk-kid",
            ),
            (
                self.psk_identity.is_some(),
                "--psk-identity",
                "pre-shared keys come with tokens: --profile with --auth psk-token or psk-kid",
            ),
        ];
        match flags.iter().find(|(given, ..)| *given) {
            Some((_, flag, reason)) => Err(usage(format!("{flag}: {reason}"))),
            None => Ok(()),
        }
    }
}

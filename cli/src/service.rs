//! What the service manager is told (`sd_notify(3)`), where there is one: `Type=notify-reload` works.

#[cfg(unix)]
mod systemd {
    use sd_notify::NotifyState;

    /// Told at most; without `NOTIFY_SOCKET` nobody is.
    pub(super) fn tell(states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "cannot tell the service manager");
        }
    }

    pub(super) fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(since) => tell(&[NotifyState::Reloading, since]),
            Err(error) => tracing::warn!(%error, "there is no monotonic clock"),
        }
    }
}

/// The servers accept connections, or have ended a reload, however it came out.
pub(crate) fn ready() {
    #[cfg(unix)]
    systemd::tell(&[sd_notify::NotifyState::Ready]);
}

/// A reload begins.
pub(crate) fn reloading() {
    #[cfg(unix)]
    systemd::reloading();
}

/// The servers are ending.
pub(crate) fn stopping() {
    #[cfg(unix)]
    systemd::tell(&[sd_notify::NotifyState::Stopping]);
}

//! One connection is left for another: where a new token comes to count in no other way.

use super::{
    ConnectError,
    open::{Entered, enter},
    place::Place,
    source::TokenSource,
};
use crate::{core::session::Session, token::Token};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use symbolon_mqtt_proto::ReasonCode;
use tokio::time::{Sleep, sleep};

type Entering = Pin<Box<dyn Future<Output = Result<Entered, ConnectError>> + Send>>;

/// How far it is.
pub(super) enum Moving {
    /// There is no reason to.
    No,
    /// With this token, as soon as nothing would be lost by it.
    Due(Box<Token>),
    /// The broker is told, and closes the connection, or it has had its time.
    Leaving(Box<Bound>),
    /// The next connection is being opened.
    Entering(Entering),
}

/// Where from, and with what.
pub(super) struct Bound {
    token: Box<Token>,
    session: Session,
    limit: Pin<Box<Sleep>>,
}

impl Moving {
    pub(super) fn is_due(&self) -> bool {
        matches!(self, Self::Due(_))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::No)
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self, Self::Leaving(_))
    }

    /// Whether there is no connection to speak on just now.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Self::Leaving(_) | Self::Entering(_))
    }

    /// It begins. `limit` is the time that the broker has to close.
    pub(super) fn begin(&mut self, session: Session, limit: Duration) {
        *self = match std::mem::replace(self, Self::No) {
            Self::Due(token) => Self::Leaving(Box::new(Bound {
                token,
                session,
                limit: Box::pin(sleep(limit)),
            })),
            other @ (Self::No | Self::Leaving(_) | Self::Entering(_)) => other,
        };
    }

    /// Ready when the broker has had its time.
    pub(super) fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Leaving(bound) => bound.limit.as_mut().poll(cx),
            Self::No | Self::Due(_) | Self::Entering(_) => Poll::Ready(()),
        }
    }

    /// The old connection is left.
    pub(super) fn enter(&mut self, source: &TokenSource) {
        let (profile, place) = (Arc::clone(&source.profile), Arc::clone(&source.place));
        *self = match std::mem::replace(self, Self::No) {
            Self::Leaving(bound) => Self::Entering(Box::pin(async move {
                enter(&place, &profile, *bound.token, bound.session).await
            })),
            other @ (Self::No | Self::Due(_) | Self::Entering(_)) => other,
        };
    }

    /// Ready when the next connection stands.
    pub(super) fn poll_entered(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Entered, ConnectError>> {
        match self {
            Self::Entering(entering) => {
                let entered = ready!(entering.as_mut().poll(cx));
                *self = Self::No;
                Poll::Ready(entered)
            }
            Self::No | Self::Due(_) | Self::Leaving(_) => Poll::Pending,
        }
    }
}

/// Ends a session of 3.1.1, which nothing ends but a connection that asks for a clean one.
pub(super) async fn clear(place: &Place, source: TokenSource) -> Result<(), ConnectError> {
    let session = Session::new(place.version());
    let entered = enter(place, &source.profile, source.token, session).await?;
    super::driver::Driver::new(entered.channel, *entered.machine, None)
        .leave(ReasonCode::Success, None)
        .await
}

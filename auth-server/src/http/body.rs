//! Reads a request body within limits.

use axum::{body::Body, http::StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::timeout;

/// The longest body that is read.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// How much of a longer body is thrown away before the refusal, since many clients read the answer only once all is sent.
const MAX_DISCARDED_BYTES: usize = 256 * 1024;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a body is not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is longer than {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("the body took longer than 10 seconds")]
    TooSlow,
    #[error("the body is not complete")]
    Incomplete,
}

impl BodyError {
    /// What HTTP calls it.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Incomplete => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads all of it.
pub(super) async fn read(body: Body) -> Result<Vec<u8>, BodyError> {
    read_at_most(body, MAX_BODY_BYTES).await
}

/// Reads all of one that may have so many bytes.
pub(crate) async fn read_at_most(body: Body, most: usize) -> Result<Vec<u8>, BodyError> {
    timeout(BODY_TIMEOUT, read_to_end(body, most))
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}

async fn read_to_end(mut body: Body, most: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Incomplete)?;
        // Trailers say nothing to us.
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        length = length.saturating_add(chunk.len());
        if length <= most {
            bytes.extend_from_slice(&chunk);
        } else if length - most > MAX_DISCARDED_BYTES {
            break;
        }
    }
    if length > most {
        return Err(BodyError::TooLarge(most));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use hyper::body::{Body as HttpBody, Frame};
    use std::{
        io,
        pin::Pin,
        task::{Context, Poll},
    };

    /// Gives so many chunks, then stays silent or breaks off.
    struct Peer {
        chunks: usize,
        broken: bool,
    }

    impl HttpBody for Peer {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            if let Some(left) = self.chunks.checked_sub(1) {
                self.chunks = left;
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1024])))));
            }
            if self.broken {
                return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
            }
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_of_16_kib_is_read_and_one_more_byte_is_too_much() {
        let whole = vec![7; MAX_BODY_BYTES];
        assert_eq!(read(Body::from(whole.clone())).await, Ok(whole));
        let longer = Body::from(vec![7; MAX_BODY_BYTES + 1]);
        assert_eq!(read(longer).await, Err(BodyError::TooLarge(MAX_BODY_BYTES)));
    }

    #[tokio::test]
    async fn an_endless_body_is_not_read_to_its_end() {
        let peer = Peer {
            chunks: usize::MAX,
            broken: false,
        };
        assert_eq!(
            read(Body::new(peer)).await,
            Err(BodyError::TooLarge(MAX_BODY_BYTES))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_is_given_up() {
        let peer = Peer {
            chunks: 1,
            broken: false,
        };
        assert_eq!(read(Body::new(peer)).await, Err(BodyError::TooSlow));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_incomplete() {
        let peer = Peer {
            chunks: 1,
            broken: true,
        };
        assert_eq!(read(Body::new(peer)).await, Err(BodyError::Incomplete));
    }
}

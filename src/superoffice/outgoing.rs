//! The body of a request on its way, and whether the server can have all of it. A large body is handed to the connection
//! piece by piece, as fast as that takes them. While the last piece is still here, the request has not been sent, whatever
//! becomes of the connection: a server cannot carry out what it has not read to its end (RFC 9112 §6.3).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, RequestBuilder};

/// Bytes of a piece.
const PIECE: usize = 64 * 1024;
/// Up to this size a body is one piece: the HTTP library takes so much at once, sent or not, and can then repeat by itself
/// what a server has refused to read (HTTP/2, RFC 9113 §8.7).
const WHOLE: usize = 512 * 1024;

/// The last piece of a body: sent or kept, and only one of them.
#[derive(Debug, Clone)]
pub(super) struct LastPiece(Arc<AtomicBool>);

/// The connection asked for the last piece after it was decided to keep it.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up")]
struct Kept;

impl LastPiece {
    /// Of a request whose body is out of our hands at once, or that has none.
    pub(super) fn gone() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Keeps the last piece, if it is still here: then the request was not sent, and never will be.
    pub(super) fn keep(&self) -> bool {
        self.take()
    }

    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

/// Gives the request its body.
pub(super) fn with_body(request: RequestBuilder, bytes: &Bytes) -> (RequestBuilder, LastPiece) {
    let length = bytes.len();
    if length <= WHOLE {
        return (request.body(bytes.clone()), LastPiece::gone());
    }
    let (last, bytes) = (LastPiece(Arc::default()), bytes.clone());
    let at_end = last.clone();
    let piece = move |start: usize| {
        let end = start.saturating_add(PIECE).min(length);
        if end == length && !at_end.take() { Err(Kept) } else { Ok(bytes.slice(start..end)) }
    };
    let body = Body::wrap_stream(stream::iter((0..length).step_by(PIECE).map(piece)));
    (request.header(CONTENT_LENGTH, length).body(body), last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_is_either_sent_or_kept() {
        let last = LastPiece(Arc::default());
        assert!(last.keep() && !last.take(), "kept");
        let last = LastPiece(Arc::default());
        assert!(last.take() && !last.keep(), "sent");
        assert!(!LastPiece::gone().keep());
    }
}

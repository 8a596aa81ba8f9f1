//! The five answers that retry code branches on. Each adapter maps its own errors to one of them with `fault()`: the
//! adapter's error is for reporting, the [`Fault`] is for deciding.

use std::time::Duration;

/// What kind of thing went wrong, seen from the question "what now?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It may pass by itself: try again later.
    Transient,
    /// The other side asks for patience; it holds for everything sent there, not for one mail.
    Throttled {
        /// How long it asked to be left alone, when it said so.
        retry_after: Option<Duration>,
    },
    /// The sign-in or the rights do not suffice: a person must act; it holds for everything sent there.
    Unauthorized,
    /// It will fail the same way for ever: this object alone is at fault.
    Permanent,
    /// The request was sent and no answer came: it may have been carried out. Look before writing again.
    Unknown,
}

impl Fault {
    /// The word for logs and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled { .. } => "throttled",
            Self::Unauthorized => "unauthorized",
            Self::Permanent => "permanent",
            Self::Unknown => "unknown",
        }
    }
}

//! What the end of a call says of the tenant as a whole. Pure.

use std::time::Duration;

use crate::fault::Fault;
use crate::superoffice::Error;

/// How a call ended, as far as the tenant as a whole is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Accepted, or found.
    Success,
    /// This mail was refused for good: what the refusal was, unless the mail's own size explains it.
    Refused(Option<String>),
    /// The tenant is there and asks to be left alone.
    Throttled { retry_after: Option<Duration> },
    /// The sign-in is refused.
    Denied,
    /// The tenant is not to be had. `costly`: a mail now waits for a person because of this call.
    Down { retry_after: Option<Duration>, costly: bool },
}

impl Outcome {
    /// What the end of a call says of the tenant as a whole; nothing, when no call was made.
    pub(super) fn of(error: Option<&Error>, costly: bool) -> Option<Self> {
        let Some(error) = error else { return Some(Self::Success) };
        match (error, error.fault()) {
            (Error::TooBig { .. } | Error::Encoding(_), _) => None,
            (Error::NotSearchable(_), _) => Some(Self::Down { retry_after: None, costly }),
            (Error::Refused { .. }, Fault::Unauthorized) if error.status() == Some(401) => Some(Self::Denied),
            (_, Fault::Throttled { retry_after }) if error.status() == Some(429) => {
                Some(Self::Throttled { retry_after })
            }
            (_, Fault::Throttled { retry_after }) => Some(Self::Down { retry_after, costly }),
            (_, Fault::Permanent) => Some(Self::Refused(error.refusal())),
            (_, Fault::Transient | Fault::Unauthorized | Fault::Unknown) => {
                Some(Self::Down { retry_after: None, costly })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_that_was_never_sent_says_nothing_of_the_tenant() {
        assert_eq!(Outcome::of(Some(&Error::TooBig { size: 2, max: 1 }), false), None);
        assert_eq!(Outcome::of(None, false), Some(Outcome::Success));
        let down = Outcome::Down { retry_after: None, costly: false };
        let (call, reason) = (crate::superoffice::Call::Post, String::new());
        let unreachable = Error::Unreachable { call, class: "network", reason: reason.clone() };
        assert_eq!(Outcome::of(Some(&unreachable), false), Some(down.clone()));
        assert_eq!(Outcome::of(Some(&Error::NoAnswer { call, class: "timeout", reason }), false), Some(down));
    }
}

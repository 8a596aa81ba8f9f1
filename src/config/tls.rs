//! `[tls]`: whom we believe. There is no switch that turns verification off.

use serde::{Deserialize, Serialize};

/// `[tls]`, for mail servers and the API alike.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM files of certificate authorities that are believed beside the system's. A server's own self-signed certificate
    /// is refused when it says `CA:TRUE` (as `openssl req -x509` makes it): sign the server's certificate with an own
    /// authority and name that one here (reconnect).
    pub extra_roots: Vec<String>,
}

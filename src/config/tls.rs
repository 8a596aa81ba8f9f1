//! `[tls]`: whom we believe. There is no switch that turns verification off.

use serde::{Deserialize, Serialize};

/// `[tls]`, for mail servers and the API alike.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM files of certificate authorities that are believed beside the system's. A server's own self-signed certificate
    /// may stand here too, unless it says `CA:TRUE` as `openssl req -x509` makes it: that one is refused as a server's
    /// (`CaUsedAsEndEntity`); make it with `-addext basicConstraints=critical,CA:FALSE`. A relative path is below the folder
    /// of its file (reconnect).
    pub extra_roots: Vec<String>,
}

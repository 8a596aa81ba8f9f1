//! The configuration: plain structs whose doc comments are the manual, their defaults, and how the layers become one
//! validated [`Config`]. Never touches the network; reads a secret only when it is asked for one.

mod env;
mod file;
mod layer;
pub mod limits;
pub mod load;
pub mod log;
pub mod mailbox;
pub mod parse;
pub mod problem;
pub mod queue;
mod rules;
pub mod secret;
pub mod service;
mod shape;
pub mod show;
pub mod store;
pub mod tenant;
pub mod tls;
pub mod units;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{MailboxName, TenantName};

pub use limits::Limits;
pub use load::{Loaded, Sources, load};
pub use log::Log;
pub use mailbox::Mailbox;
pub use parse::Parse;
pub use problem::{Place, Problem, Problems};
pub use queue::Queue;
pub use secret::Secret;
pub use service::{Control, Service};
pub use store::Store;
pub use tenant::Tenant;
pub use tls::Tls;

/// The whole validated configuration. `[mailbox_defaults]` is already folded into the mailboxes, and every mailbox names
/// a tenant that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The version of this format (restart).
    pub config_version: u32,
    /// `[service]`
    pub service: Service,
    /// `[log]`
    pub log: Log,
    /// `[control]`
    pub control: Control,
    /// `[store]`
    pub store: Store,
    /// `[queue]`
    pub queue: Queue,
    /// `[tls]`
    pub tls: Tls,
    /// `[limits]`
    pub limits: Limits,
    /// `[parse]`
    pub parse: Parse,
    /// `[tenant.NAME]`
    #[serde(rename = "tenant")]
    pub tenants: BTreeMap<TenantName, Tenant>,
    /// `[mailbox.NAME]`
    #[serde(rename = "mailbox")]
    pub mailboxes: BTreeMap<MailboxName, Mailbox>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            config_version: 1,
            service: Service::default(),
            log: Log::default(),
            control: Control::default(),
            store: Store::default(),
            queue: Queue::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            parse: Parse::default(),
            tenants: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
        }
    }
}

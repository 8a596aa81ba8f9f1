//! What one configuration means for one tenant. An attempt keeps the session it began with; a changed configuration makes
//! a new one.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::breaker;
use super::read::Room;
use super::retry::RetryPolicy;
use crate::config::{self, Config};
use crate::ids::{MailboxName, TenantName};
use crate::message::Rules;
use crate::superoffice::{Client, Error};

/// Mails that are read at the same time where `parse.workers` leaves it open: the pool's own bound.
const READERS: usize = 4;
/// Mails that are claimed beyond those being posted, at the least: posts wait neither for the parser nor for the store, nor
/// for mails that wait for older ones.
const AHEAD: usize = 8;

/// A tenant under one configuration.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) config: Arc<Config>,
    pub(super) options: config::Tenant,
    pub(super) client: Client,
    pub(super) rules: Rules,
    pub(super) policy: RetryPolicy,
    /// `concurrency`: calls at the same time.
    pub(super) calls: Semaphore,
    /// Where mails are read.
    pub(super) readers: Room,
}

impl Session {
    /// Makes the client and what belongs to it, and reads the secrets.
    pub(super) async fn open(name: TenantName, config: Arc<Config>) -> Result<Arc<Self>, Error> {
        let Some(options) = config.tenants.get(&name).cloned() else {
            let reason = "the configuration no longer has this tenant, but the queue has mail for it".to_owned();
            return Err(Error::Options { tenant: name.to_string(), reason });
        };
        let client = Client::new(name, &options, &config.tls)?;
        client.ready().await?;
        Ok(Arc::new(Self {
            client,
            rules: Rules { limits: config.limits.clone(), parse: config.parse.clone() },
            policy: RetryPolicy::new(&config.queue, &options),
            calls: Semaphore::new(usize::from(options.concurrency.max(1))),
            readers: Room::new(readers(&config)),
            options,
            config,
        }))
    }

    /// Mails at work at the same time.
    pub(super) fn slots(&self) -> usize {
        let calls = usize::from(self.options.concurrency.max(1));
        calls.saturating_add(calls.max(AHEAD))
    }

    /// The breaker's rules.
    pub(super) fn breaker(&self) -> breaker::Rules {
        breaker::Rules { failures: self.options.breaker_failures.max(1), probe: self.options.breaker_probe.0 }
    }

    /// The options of a mailbox. Mail of one that the configuration no longer has is delivered all the same.
    pub(super) fn mailbox(&self, name: &MailboxName) -> config::Mailbox {
        self.config.mailboxes.get(name).cloned().unwrap_or_default()
    }
}

fn readers(config: &Config) -> usize {
    match usize::from(config.parse.workers) {
        0 => READERS,
        workers => workers,
    }
}

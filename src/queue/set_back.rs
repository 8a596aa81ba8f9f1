//! When the time of day goes back: what waits for a time of day would wait for as much longer.

use std::time::Duration;

use rusqlite::params;

use super::writer::Tx;
use super::{Error, Queue};
use crate::clock::UtcMillis;
use crate::ids::TenantName;

impl Queue {
    /// The time of day went back by `by`: the tenant's mails are due as much earlier, and none later than `latest` from
    /// now. How many waited.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn set_back(&self, tenant: &TenantName, by: Duration, latest: Duration) -> Result<usize, Error> {
        let tenant = tenant.clone();
        self.write("setting back due times", move |tx| set_back(tx, &tenant, by, latest)).await
    }
}

fn set_back(tx: &Tx<'_>, tenant: &TenantName, by: Duration, latest: Duration) -> rusqlite::Result<usize> {
    let by = UtcMillis(0).plus(by);
    tx.execute(
        "UPDATE mail SET due = MIN(MAX(due - ?3, 0), ?4), next_attempt_at = MIN(MAX(next_attempt_at - ?3, 0), ?4),
             verify_since = MIN(verify_since, ?2)
         WHERE tenant = ?1 AND due > ?2",
        params![tenant, tx.now, by, tx.now.plus(latest)],
    )
}

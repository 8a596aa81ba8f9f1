//! What the store knows of tenants as such, apart from their mails.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Queue;
use super::error::Error;
use crate::ids::TenantName;

impl Queue {
    /// The tenants that have unfinished mails, whether the configuration knows them or not.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub async fn tenants(&self) -> Result<Vec<TenantName>, Error> {
        self.read("listing the tenants", tenants).await
    }

    /// Whether the tenant's API could be searched when that was last known.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub async fn searchable(&self, tenant: &TenantName) -> Result<Option<bool>, Error> {
        let tenant = tenant.clone();
        self.read("reading what is known of a tenant", move |conn| searchable(conn, &tenant)).await
    }

    /// It is known now. After a restart nobody could find it out where only mails are left that must be looked up.
    ///
    /// # Errors
    /// As [`Self::set_folder`].
    pub async fn set_searchable(&self, tenant: &TenantName, searchable: bool) -> Result<(), Error> {
        let tenant = tenant.clone();
        self.write("noting what is known of a tenant", move |tx| {
            tx.execute(
                "INSERT INTO tenant (tenant, searchable) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET searchable = excluded.searchable",
                params![tenant, searchable],
            )
            .map(drop)
        })
        .await
    }
}

fn tenants(conn: &Connection) -> rusqlite::Result<Vec<TenantName>> {
    let mut statement = conn.prepare_cached("SELECT DISTINCT tenant FROM mail WHERE finished_at IS NULL")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn searchable(conn: &Connection, tenant: &TenantName) -> rusqlite::Result<Option<bool>> {
    let mut statement = conn.prepare_cached("SELECT searchable FROM tenant WHERE tenant = ?1")?;
    statement.query_row([tenant], |row| row.get(0)).optional()
}

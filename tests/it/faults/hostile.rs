//! Mails made to hurt their reader: each becomes a ticket message, degraded and marked.

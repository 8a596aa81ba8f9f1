//! Serde mirrors of the SuperOffice API: the names, types and enums of its pages and nothing else. No logic, no defaults
//! of ours, nothing that knows what a mail is.

pub mod message;

pub use message::TicketMessageEntity;

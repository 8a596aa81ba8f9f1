//! Deleting, moving and flagging what was taken in: F61 to F72.

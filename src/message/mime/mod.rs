//! The parts of a mail (RFC 2045, RFC 2046): where each begins and ends, what its headers say of it, and its bytes decoded.
//! Never reads what a part means: that is the business of `text`, `html` and `attachment`.

pub(crate) mod part;
pub(crate) mod transfer;
pub(crate) mod tree;

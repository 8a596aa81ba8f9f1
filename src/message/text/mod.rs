//! The text of a mail: which parts are its body, in which charset and language it is written, text made from HTML, and where
//! what was quoted begins. Never cuts anything but at a bound, and says so then.

pub(crate) mod body;
pub(crate) mod charset;
pub(crate) mod enriched;
pub(crate) mod flowed;
pub(crate) mod language;
pub(crate) mod legacy;
pub(crate) mod lines;
pub(crate) mod markup;
pub(crate) mod plain;
pub(crate) mod visible;

//! A value that must not be seen: it does not print, not even by accident.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

/// A secret, trimmed of white space at both ends (files end with a newline).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(value: &str) -> Secret {
        Secret(Arc::from(value.trim()))
    }

    /// The bare value, for the one place that sends it. Never log what this returns.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in constant time for equal lengths.
    pub fn matches(&self, offered: &str) -> bool {
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

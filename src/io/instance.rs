//! A configured source as it runs: which decoder, who may speak for it.

use super::auth::Guard;
use crate::sources::{self, Source};

pub struct Instance {
    pub source: &'static dyn Source,
    pub guard: Guard,
    pub decoder: sources::Instance,
}

//! A configured source as it runs: which decoder, who may speak for it.

use super::auth::{Guard, Strangers};
use crate::model::SourceRef;
use crate::rules::Origin;
use crate::sources::{self, Source};

pub struct Instance {
    pub source: &'static dyn Source,
    pub guard: Guard,
    pub strangers: Strangers,
    pub decoder: sources::Instance,
}

impl Instance {
    /// What the rules may know of it.
    pub fn origin(&self) -> Origin<'_> {
        Origin { kind: self.decoder.kind, instance: &self.decoder.name, constants: &self.decoder.constants }
    }

    /// What an incident remembers of it.
    pub fn source_ref(&self) -> SourceRef {
        SourceRef { kind: self.decoder.kind.into(), instance: self.decoder.name.clone() }
    }
}

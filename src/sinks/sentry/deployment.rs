//! Where it ran, as alerts and exceptions tell it alike. Never a value longer than Sentry keeps.

use std::borrow::Cow;

use serde::Serialize;

use super::super::words;
use super::event::TEXT_BYTES_MAX;
use crate::model::{TagName, Tags};

#[derive(Serialize)]
pub(super) struct Deployment<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cell: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    legs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Cow<'a, str>>,
}

impl<'a> Deployment<'a> {
    /// `legs` are an incident's, which may have several; only an exception's program tells its namespace.
    pub(super) fn of(tags: &'a Tags, legs: Option<&str>, namespace: Option<&'a str>) -> Deployment<'a> {
        let clipped = |value: &'a str| words::clip_bytes(value, TEXT_BYTES_MAX);
        let tag = |name| tags.value(name).map(clipped);
        Deployment {
            platform: tag(TagName::Platform),
            variant: tag(TagName::PlatformVariant),
            cluster: tag(TagName::PlatformCluster),
            confidence: tag(TagName::PlatformConfidence),
            cell: tag(TagName::Cell),
            legs: legs.map(|legs| words::clip_bytes(legs, TEXT_BYTES_MAX).into_owned()),
            namespace: namespace.map(clipped),
        }
    }
}

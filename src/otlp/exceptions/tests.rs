//! How blocks become error events.

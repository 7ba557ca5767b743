//! What Sentry is sent of exceptions.

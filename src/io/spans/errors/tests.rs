//! What becomes of exceptions on their way.

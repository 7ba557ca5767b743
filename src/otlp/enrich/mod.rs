//! Attributes set in a Resource by splicing bytes: the new Resource, and the request around it. Never copies an item,
//! and never changes a field that it was not asked to change.

mod assembly;
mod graft;
mod resource;
mod seam;

pub use assembly::Assembly;
pub use graft::{GZIP_HEAD, Grafted, HELD_FIELD, Member, graft, join};
pub use resource::{Edit, NewResource, new_resource};

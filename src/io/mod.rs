//! The world: listening, committing, delivering, waiting. Nothing here decides what an alert means; that is
//! done by the pure layers below, inside the committer's transaction.

pub mod aside;
pub mod auth;
pub mod body;
pub mod cache;
pub mod clock;
pub mod commit;
pub mod deliver;
pub mod instance;
pub mod intake;
pub mod live_rules;
pub mod mailbox;
pub mod rules_alarm;
pub mod rules_folder;
pub mod rules_watch;
pub mod secrets;
pub mod server;
pub mod shadows;
pub mod spans;
pub mod strays;
pub mod timers;
pub mod transport;

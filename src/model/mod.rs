//! The words of the product: what the layers above say to each other. Holds data and the laws of that
//! data; never reads a clock, a file or a socket.

pub mod alert;
pub mod delivery;
pub mod exception;
pub mod id;
pub mod incident;
pub mod json_text;
pub mod labels;
pub mod notice;
pub mod outcome;
pub mod rpc_code;
pub mod secret;
pub mod severity;
pub mod signal;
pub mod tags;
pub mod time;

pub use alert::{Alert, Link, SourceRef, State};
pub use delivery::{Delivery, DeliveryId};
pub use exception::ErrorEvent;
pub use id::{Identity, IncidentKey, SenderId};
pub use incident::{Incident, Leg, Member, Phase, Route, Told};
pub use labels::Labels;
pub use notice::{Notice, NoticeKind, Reason};
pub use outcome::{AlertOutcome, DeliveryOutcome};
pub use rpc_code::{Code, Delay, http_is_retryable};
pub use secret::Secret;
pub use severity::Severity;
pub use signal::Signal;
pub use tags::{Existing, Tag, TagName, Tags};
pub use time::Timestamp;

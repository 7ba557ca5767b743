//! The reader beside the official messages, beside the table of what senders do, and beside garbage.

mod dice;
mod examples;
mod garbage;
mod mend;
mod oracle;
mod senders;

use super::*;

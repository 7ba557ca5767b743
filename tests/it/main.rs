//! The whole daemon, started as a process and looked at from outside, and the walls of the house. One binary,
//! because each test binary links everything again; it must never reach into the daemon's own state.

#![expect(unreachable_pub, reason = "a test binary has no outside that could reach anything")]

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod client;
#[cfg(test)]
mod daemon;
mod demo;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod every_sink;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod kill_loop;
#[cfg(test)]
mod kill_loop_verdict;
#[cfg(test)]
mod otlp_doors;
#[cfg(test)]
mod platform;
#[cfg(test)]
mod real_peers;
#[cfg(test)]
mod refusals;
mod reload;
#[cfg(test)]
mod rules_tools;
#[cfg(test)]
mod sdks;
#[cfg(test)]
mod secrecy;
#[cfg(test)]
mod senders;
#[cfg(test)]
mod spool_kill;
#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod telemetry_alerts;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod wait;

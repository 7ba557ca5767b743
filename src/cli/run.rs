//! `tawny run`: the daemon.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Common;
use crate::app;
use crate::io::rules_watch::Reloader;
use crate::settings::{self, Flags, SecretsPolicy};
use crate::telemetry;

/// Threads of the alert road, the page and all that is not telemetry, which has its own. With a second one each request, each
/// answer of a sink and each commit wakes it to look for work in vain, and what one
/// thread allocates another frees. What takes milliseconds is done aside (`io/aside.rs`) or on threads for blocking.
const WORKER_COUNT: usize = 1;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny run\n  tawny run --config /etc/tawny/tawny.yaml\n  TAWNY__LOG__FILTER=debug tawny run --store sqlite:/var/lib/tawny/tawny.db"
)]
pub(super) struct RunArgs {
    #[command(flatten)]
    common: Common,
    /// Where decisions are kept, such as sqlite:data/tawny.db
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Address for people and alerts, such as [::]:9393
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Writes the bound addresses to this file, one a line, once they accept
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
}

pub(super) fn run(args: RunArgs) -> anyhow::Result<()> {
    let flags = Flags { config: args.common.config, rules: args.common.rules, store: args.store, listen: args.listen };
    let loaded = settings::load(&flags)?;
    let ready = settings::resolve(&loaded, SecretsPolicy::Required)?;
    let rules = super::rules::from(loaded.settings.rules.as_deref());
    telemetry::start_logging(loaded.settings.log.format, &loaded.settings.log.filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_COUNT)
        .enable_all()
        .build()
        .context("the runtime")?;
    runtime.block_on(async {
        let mut app = app::start(ready, rules, args.port_file.as_deref()).await?;
        let rules = app.reloader.rules.get();
        for warning in rules.warnings() {
            tracing::warn!("{warning}");
        }
        for address in &app.addresses {
            tracing::info!(%address, rules = %rules.revision(), "listening");
        }
        let reloads = tokio::spawn(reload_on_hangup(app.reloader.clone()));
        let died = tokio::select! {
            () = app.died() => true,
            signal = stop_signal() => { tracing::info!(signal = signal?, "stopping"); false }
        };
        reloads.abort();
        let _ = reloads.await;
        if died {
            anyhow::bail!("the committer died; the store holds everything that was acknowledged");
        }
        app.stop().await;
        tracing::info!("stopped");
        Ok(())
    })
}

/// SIGHUP asks for the rules as they stand now.
async fn reload_on_hangup(reloader: Reloader) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        tracing::info!("reloading the rules");
        // What is wrong was logged.
        let _ = reloader.reload().await;
    }
}

/// Waits for what asks a daemon to stop.
pub(super) async fn stop_signal() -> anyhow::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

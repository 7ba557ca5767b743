//! `tawny demo`: the whole daemon on this machine, stand-ins for the services it speaks to, and a story that is
//! played through its front door. Sends nothing to any real service and leaves nothing behind.

mod senders;
mod stage;
mod stand_ins;
mod story;
mod teller;

use anyhow::{Context, bail};
use clap::Args;

use super::run::stop_signal;
use crate::telemetry::{self, LogFormat};
use stage::Stage;
use teller::Teller;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny demo\n  tawny demo --once\n\nExit codes: 0 the story came out as told, 1 it did not."
)]
pub(super) struct DemoArgs {
    /// Ends with the story instead of staying up until Ctrl-C
    #[arg(long)]
    once: bool,
}

pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    // The story is on standard output; only what is wrong with the daemon may come between.
    telemetry::start_logging(LogFormat::Human, "warn")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime")?;
    runtime.block_on(async {
        let stage = Stage::set_up().await?;
        let ended = show(&stage, args.once).await;
        stage.strike().await;
        ended
    })
}

async fn show(stage: &Stage, once: bool) -> anyhow::Result<()> {
    let mut teller = Teller::default();
    tokio::select! {
        played = story::play(stage, &mut teller) => played?,
        signal = stop_signal() => bail!("{} came before the end of the story", signal?),
    }
    let (claim_count, wrong_count) = teller.claim_counts();
    if wrong_count == 0 {
        teller.line(&format!("All {claim_count} claims above were checked while it ran, and hold."));
    }
    if !once {
        teller.invite(&stage.url);
        stop_signal().await?;
    }
    if wrong_count > 0 {
        bail!("the story did not come out as told: {wrong_count} of {claim_count} claims are wrong");
    }
    Ok(())
}

//! `tawny explain`: one payload through the real pipeline, with no side effect.

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {}

pub(super) fn explain(_args: &ExplainArgs) -> anyhow::Result<()> {
    Ok(())
}

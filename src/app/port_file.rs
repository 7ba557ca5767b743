//! Tells whoever started the daemon where it listens. Never leaves half a file behind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// One address a line, complete or not at all.
pub(super) fn write(path: &Path, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let mut part: PathBuf = path.to_owned();
    part.set_extension("part");
    let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("port file {}", path.display()))
}

//! `tawny send`: posts a payload as its sender would.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::say;
use crate::io::secrets::SecretRef;
use crate::settings::{self, Flags};
use crate::sources::{SOURCES, Source, source_of_kind};

/// Where a daemon without settings listens.
const HERE: &str = "http://127.0.0.1:9393";

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny send alert.json --source alertmanager\n  TOKEN=… tawny send alert.json --source alertmanager --to https://tawny.example/in/eks-prod --token-env TOKEN"
)]
pub(super) struct SendArgs {
    /// The payload
    file: PathBuf,
    /// Kind of the sender, such as alertmanager, or the name of a source in the settings
    #[arg(long, value_name = "KIND")]
    source: String,
    /// Address of the source; /in/KIND (or NAME) is added where it has no path [default: http://127.0.0.1:9393]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Settings file that names the source [default: tawny.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Environment variable that holds the source's token
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
}

pub(super) fn send(args: &SendArgs) -> anyhow::Result<()> {
    let source = match source_of_kind(&args.source) {
        Some(source) => source,
        None => named(&args.source, args.config.as_deref())?,
    };
    let body = std::fs::read(&args.file).with_context(|| args.file.display().to_string())?;
    let url = address(args.to.as_deref().unwrap_or(HERE), &args.source)?;
    let token = match &args.token_env {
        Some(name) => Some(SecretRef::Env(name.clone()).read()?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let mut request = client.post(url.clone()).timeout(std::time::Duration::from_secs(30)).body(body);
        for (name, value) in source.send_headers() {
            request = request.header(*name, *value);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token.reveal());
        }
        let answer = request.send().await.with_context(|| format!("cannot reach {url}"))?;
        let status = answer.status();
        say(&format!("{status}\n{}", answer.text().await.unwrap_or_default()));
        if !status.is_success() {
            bail!("the daemon did not take it");
        }
        Ok(())
    })
}

/// The kind of the source that has this name in the settings.
fn named(name: &str, config: Option<&Path>) -> anyhow::Result<&'static dyn Source> {
    let loaded = settings::load(&Flags { config: config.map(Path::to_path_buf), ..Flags::default() })?;
    let entry = loaded.settings.sources.iter().find(|entry| entry.name == name);
    let Some(entry) = entry else { bail!("{}, and no source in the settings has this name", unknown_kind(name)) };
    source_of_kind(&entry.kind).with_context(|| unknown_kind(&entry.kind))
}

/// An address without a path is that of the daemon.
fn address(to: &str, source: &str) -> anyhow::Result<reqwest::Url> {
    let mut url = reqwest::Url::parse(to).with_context(|| format!("`--to {to}` is no address"))?;
    if url.path() == "/" && url.query().is_none() {
        url.set_path(&format!("/in/{source}"));
    }
    Ok(url)
}

pub(super) fn unknown_kind(kind: &str) -> String {
    let known: Vec<_> = SOURCES.iter().map(|source| source.kind()).collect();
    format!("no source is of kind `{kind}`; known kinds: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_is_that_of_the_daemon() {
        for (to, expected) in [
            (HERE, "http://127.0.0.1:9393/in/prom"),
            ("http://tawny.example:80/", "http://tawny.example/in/prom"),
            ("https://tawny.example/in/eks-prod", "https://tawny.example/in/eks-prod"),
            ("https://tawny.example/api/v2/alerts", "https://tawny.example/api/v2/alerts"),
        ] {
            assert_eq!(address(to, "prom").unwrap().as_str(), expected);
        }
        assert_eq!(address("tawny.example", "prom").unwrap_err().to_string(), "`--to tawny.example` is no address");
    }
}

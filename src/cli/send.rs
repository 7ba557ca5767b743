//! `tawny send`: posts a payload as its sender would.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::say;
use crate::io::secrets::SecretRef;
use crate::sources::{SOURCES, source_of_kind};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny send alert.json --source alertmanager\n  TOKEN=… tawny send alert.json --source alertmanager --to https://tawny.example/in/eks-prod --token-env TOKEN"
)]
pub(super) struct SendArgs {
    /// The payload
    file: PathBuf,
    /// Kind of the sender, such as alertmanager
    #[arg(long, value_name = "KIND")]
    source: String,
    /// Address of the source [default: http://127.0.0.1:9393/in/KIND]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Environment variable that holds the source's token
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
}

pub(super) fn send(args: &SendArgs) -> anyhow::Result<()> {
    let Some(source) = source_of_kind(&args.source) else { bail!("{}", unknown_kind(&args.source)) };
    let body = std::fs::read(&args.file).with_context(|| args.file.display().to_string())?;
    let url = args.to.clone().unwrap_or_else(|| format!("http://127.0.0.1:9393/in/{}", source.kind()));
    let token = match &args.token_env {
        Some(name) => Some(SecretRef::Env(name.clone()).read()?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let mut request = client.post(&url).timeout(std::time::Duration::from_secs(30)).body(body);
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

pub(super) fn unknown_kind(kind: &str) -> String {
    let known: Vec<_> = SOURCES.iter().map(|source| source.kind()).collect();
    format!("no source is of kind `{kind}`; known kinds: {}", known.join(", "))
}

//! Where secrets come from: an environment variable or a file that may change while we run. Values are handed
//! out as [`Secret`], which does not print.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::model::Secret;
use crate::sinks::Secrets;

/// `{ env: NAME }` or `{ file: PATH }` in the settings: a secret is never written there itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    Env(String),
    File(PathBuf),
}

/// Why a secret cannot be had. Names the place, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("environment variable `{name}` is not set")]
    EnvMissing { name: String },
    #[error("file `{path}`: {cause}")]
    FileUnreadable { path: String, cause: std::io::Error },
    #[error("{place} is empty")]
    Empty { place: String },
}

impl SecretRef {
    /// A small object with just `env` or just `file`, as the settings hold it.
    pub fn from_json(value: &serde_json::Value) -> Option<SecretRef> {
        let map = value.as_object()?;
        let (key, place) = map.iter().next().filter(|_| map.len() == 1)?;
        match (key.as_str(), place.as_str()?) {
            ("env", name) => Some(SecretRef::Env(name.to_owned())),
            ("file", path) => Some(SecretRef::File(PathBuf::from(path))),
            _ => None,
        }
    }

    pub fn read(&self) -> Result<Secret, SecretError> {
        let (value, place) = match self {
            SecretRef::Env(name) => {
                let value = std::env::var(name).map_err(|_| SecretError::EnvMissing { name: name.clone() })?;
                (value, format!("environment variable `{name}`"))
            }
            SecretRef::File(path) => {
                let shown = path.display().to_string();
                let value = std::fs::read_to_string(path)
                    .map_err(|cause| SecretError::FileUnreadable { path: shown.clone(), cause })?;
                (value, format!("file `{shown}`"))
            }
        };
        let secret = Secret::new(&value);
        if secret.reveal().is_empty() { Err(SecretError::Empty { place }) } else { Ok(secret) }
    }
}

/// A secret kept at hand, and read again when its file has changed.
#[derive(Debug)]
pub struct LiveSecret {
    place: SecretRef,
    held: Mutex<(Option<SystemTime>, Secret)>,
}

impl LiveSecret {
    /// Fails when the secret cannot be read now: a start must not wait for the first page to find out.
    pub fn open(place: SecretRef) -> Result<LiveSecret, SecretError> {
        let changed = modified(&place);
        let secret = place.read()?;
        Ok(LiveSecret { place, held: Mutex::new((changed, secret)) })
    }

    /// The present value. A file that vanished or became empty keeps its last value: rotation replaces files
    /// in two steps.
    pub fn get(&self) -> Secret {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = modified(&self.place);
        if changed.is_some()
            && changed != held.0
            && let Ok(secret) = self.place.read()
        {
            *held = (changed, secret);
        }
        held.1.clone()
    }
}

fn modified(place: &SecretRef) -> Option<SystemTime> {
    match place {
        SecretRef::Env(_) => None,
        SecretRef::File(path) => std::fs::metadata(path).and_then(|meta| meta.modified()).ok(),
    }
}

/// The secrets of one sink, by the name of their setting.
#[derive(Debug, Default)]
pub struct SecretSet(pub BTreeMap<String, LiveSecret>);

impl Secrets for SecretSet {
    fn get(&self, name: &str) -> Option<Secret> {
        self.0.get(name).map(LiveSecret::get)
    }
}

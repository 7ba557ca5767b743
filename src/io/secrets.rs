//! Where secrets come from: an environment variable or a file that may change while we run. Values are handed
//! out as [`Secret`], which does not print.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

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

/// A changed file is noticed after so long; each request that leaves asks for its secret twice.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A secret kept at hand, and read again when its file has changed.
#[derive(Debug)]
pub struct LiveSecret {
    place: SecretRef,
    held: Mutex<HeldSecret>,
}

#[derive(Debug)]
struct HeldSecret {
    secret: Secret,
    /// Of the file that it was read from.
    changed: Option<SystemTime>,
    looked_at: Instant,
}

impl LiveSecret {
    /// Fails when the secret cannot be read now: a start must not wait for the first page to find out.
    pub fn open(place: SecretRef) -> Result<LiveSecret, SecretError> {
        let changed = modified(&place);
        let secret = place.read()?;
        Ok(LiveSecret { place, held: Mutex::new(HeldSecret { secret, changed, looked_at: Instant::now() }) })
    }

    /// The present value, at most a second old. A file that vanished or became empty keeps its last value:
    /// rotation replaces files in two steps.
    pub fn get(&self) -> Secret {
        self.get_at(Instant::now())
    }

    fn get_at(&self, now: Instant) -> Secret {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(held.looked_at) >= LOOK_EVERY {
            held.looked_at = now;
            let changed = modified(&self.place);
            if changed.is_some()
                && changed != held.changed
                && let Ok(secret) = self.place.read()
            {
                held.secret = secret;
                held.changed = changed;
            }
        }
        held.secret.clone()
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

/// Shorter parts of a secret also stand in text that has nothing to do with it.
const MASKED_BYTES_MIN: usize = 8;
/// A key inside an address, such as that of a DSN.
const MASKED_PART_BYTES_MIN: usize = 16;

impl SecretSet {
    /// A text of the other side, which may repeat what it was sent.
    pub fn masked<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let mut masked = Cow::Borrowed(text);
        for secret in self.0.values().map(LiveSecret::get) {
            let whole = secret.reveal().as_bytes();
            let parts = whole.split(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_'));
            // A key without other characters is its own and only part.
            let parts = parts.filter(|part| part.len() >= MASKED_PART_BYTES_MIN && part.len() < whole.len());
            for needle in Some(whole).filter(|whole| whole.len() >= MASKED_BYTES_MIN).into_iter().chain(parts) {
                if holds(&masked, needle) {
                    let needle = String::from_utf8_lossy(needle);
                    let replaced = String::from_utf8_lossy(&masked).replace(needle.as_ref(), "[secret]");
                    masked = Cow::Owned(replaced.into_bytes());
                }
            }
        }
        masked
    }
}

/// Most bytes differ from the first of the needle, and nothing more is compared there.
fn holds(text: &[u8], needle: &[u8]) -> bool {
    let Some(last_start) = text.len().checked_sub(needle.len()) else { return false };
    let candidates = text[..=last_start].iter().enumerate().filter(|(_, byte)| **byte == needle[0]);
    candidates.map(|(start, _)| &text[start..start + needle.len()]).any(|window| window == needle)
}

impl Secrets for SecretSet {
    fn get(&self, name: &str) -> Option<Secret> {
        self.0.get(name).map(LiveSecret::get)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Writes a file that is so many seconds younger than the first one.
    fn put(path: &std::path::Path, text: &str, seconds: u64) {
        std::fs::write(path, text).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_394_412 + seconds);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    }

    #[test]
    fn what_the_other_side_repeats_of_a_secret_is_masked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dsn");
        put(&path, "https://0123456789abcdef@sentry.example.com/7\n", 0);
        let secret = LiveSecret::open(SecretRef::File(path)).unwrap();
        let set = SecretSet(BTreeMap::from([("dsn".to_owned(), secret)]));
        let masked = |text: &str| String::from_utf8(set.masked(text.as_bytes()).into_owned()).unwrap();
        assert_eq!(masked("no project for 0123456789abcdef"), "no project for [secret]");
        assert_eq!(masked("https://0123456789abcdef@sentry.example.com/7 is gone"), "[secret] is gone");
        assert_eq!(masked("https is wanted"), "https is wanted");
    }

    #[test]
    fn a_replaced_file_is_read_again_and_one_that_vanished_or_is_empty_keeps_its_last_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        put(&path, "first\n", 0);
        let secret = LiveSecret::open(SecretRef::File(path.clone())).unwrap();
        let opened_at = Instant::now();
        let mut seconds = 0;
        let mut look = || {
            seconds += 2;
            secret.get_at(opened_at + Duration::from_secs(seconds)).reveal().to_owned()
        };
        assert_eq!(look(), "first");
        put(&path, "second", 1);
        assert_eq!(look(), "second");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(look(), "second", "vanished");
        put(&path, " \n", 2);
        assert_eq!(look(), "second", "empty");
        put(&path, "third", 3);
        assert_eq!(look(), "third", "whole again");
        // What replaces it may be older, as a volume that goes back to its last version.
        let older = folder.path().join("older");
        put(&older, "fourth", 0);
        std::fs::rename(&older, &path).unwrap();
        assert_eq!(look(), "fourth");
    }

    #[test]
    fn a_secret_that_cannot_be_had_stops_the_start_and_is_named_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let open = || LiveSecret::open(SecretRef::File(path.clone())).unwrap_err().to_string();
        assert!(open().contains(&path.display().to_string()));
        put(&path, "\n", 0);
        assert!(open().ends_with("is empty"));
    }
}

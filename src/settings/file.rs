//! Reads the file, lays environment and flags over it, and parses the whole.

use std::collections::HashMap;

use config::{Config, Environment, File, FileFormat};

use super::locate::Places;
use super::{Flags, Loaded, Settings, SettingsError};

/// Looked for in the working folder when `--config` is not given.
const DEFAULT_FILE: &str = "tawny.yaml";

pub(super) fn load(flags: &Flags) -> Result<Loaded, SettingsError> {
    merge(flags, None)
}

/// `environment` stands in for the process's own, which a test cannot set.
pub(super) fn merge(flags: &Flags, environment: Option<HashMap<String, String>>) -> Result<Loaded, SettingsError> {
    let (name, text) = read(flags)?;
    let overlays = overlays(flags, environment.as_ref());
    // Typed first: only this parse knows line and column.
    let json = match &text {
        Some(text) => check(&name, text)?,
        None => "{}".to_owned(),
    };
    let mut builder = Config::builder().add_source(File::from_str(&json, FileFormat::Json)).add_source(
        Environment::with_prefix("TAWNY").prefix_separator("__").separator("__").try_parsing(true).source(environment),
    );
    let flag = |key: &str, value: &Option<String>, builder: config::ConfigBuilder<config::builder::DefaultState>| {
        match value {
            Some(value) => builder.set_override(key, value.as_str()),
            None => Ok(builder),
        }
    };
    let rules = flags.rules.as_ref().map(|path| path.display().to_string());
    builder = flag("store", &flags.store, builder).map_err(|cause| merged(&cause))?;
    builder = flag("listen", &flags.listen, builder).map_err(|cause| merged(&cause))?;
    builder = flag("rules", &rules, builder).map_err(|cause| merged(&cause))?;
    let settings: Settings = builder.build().and_then(Config::try_deserialize).map_err(|cause| merged(&cause))?;
    let place = if text.is_some() { Places::new(&name, text.as_deref().unwrap_or("")) } else { Places::default() };
    Ok(Loaded { settings, place: place.under(overlays) })
}

/// The file's name as people know it, and its text if there is one.
fn read(flags: &Flags) -> Result<(String, Option<String>), SettingsError> {
    let path = flags.config.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let name = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((name, Some(text))),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && flags.config.is_none() => Ok((name, None)),
        Err(cause) => Err(SettingsError { place: name, message: cause.to_string(), hint: None }),
    }
}

/// Parses with line and column; returns the same as JSON, which the merge reads.
fn check(name: &str, text: &str) -> Result<String, SettingsError> {
    let wrong = |cause: serde_saphyr::Error| {
        let place = match cause.location() {
            Some(location) => format!("{name}:{}:{}", location.line(), location.column()),
            None => name.to_owned(),
        };
        let (message, hint) = explain(&cause.without_snippet().to_string());
        SettingsError { place, message, hint }
    };
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok("{}".to_owned());
    }
    let typed: Settings = serde_saphyr::from_str(text).map_err(wrong)?;
    // From the typed form, so that an unquoted account number stays the text it was read as.
    Ok(serde_json::to_string(&typed).expect("settings are plain data"))
}

/// Takes the position out of the message (it stands in front already) and offers the nearest known key.
fn explain(message: &str) -> (String, Option<String>) {
    let message = message.split(" at line ").next().unwrap_or(message).to_owned();
    let wrong = message.split_once("unknown field `").and_then(|(_, rest)| rest.split('`').next());
    let known = message.split_once("expected one of ").or_else(|| message.split_once("expected "));
    let hint = wrong.zip(known).and_then(|(wrong, (_, known))| {
        let known = known.split(',').map(|word| word.trim().trim_matches('`'));
        known.min_by_key(|known| strangeness(known, wrong)).map(|known| format!("did you mean `{known}`?"))
    });
    (message, hint)
}

/// Letters that one has and the other has not, roughly.
fn strangeness(known: &str, wrong: &str) -> usize {
    let mut rest: Vec<char> = wrong.chars().collect();
    let missing = known.chars().filter(|letter| match rest.iter().position(|held| held == letter) {
        Some(at) => {
            rest.swap_remove(at);
            false
        }
        None => true,
    });
    missing.count() + rest.len()
}

/// An error after the merge can only come from the environment or a flag: the file was checked before. Says
/// nothing of the value: somebody may have put a secret where none belongs.
fn merged(cause: &config::ConfigError) -> SettingsError {
    if let config::ConfigError::At { error, key: Some(key), .. } = cause {
        let inner = merged(error);
        return SettingsError { message: format!("{} (key `{key}`)", inner.message), ..inner };
    }
    let (message, hint) = if let config::ConfigError::Type { expected, key, .. } = cause {
        (format!("`{}` must be {expected}", key.as_deref().unwrap_or("a value")), None)
    } else {
        let text = cause.to_string();
        let unquoted: Vec<&str> = text.split('"').step_by(2).collect();
        explain(&unquoted.join("\"…\""))
    };
    SettingsError { place: "environment TAWNY__… or flags".to_owned(), message, hint }
}

/// What lies over the file: `(key, where it was said)`, flags first, because they win.
fn overlays(flags: &Flags, environment: Option<&HashMap<String, String>>) -> Vec<(String, String)> {
    let flags =
        [("store", flags.store.is_some()), ("listen", flags.listen.is_some()), ("rules", flags.rules.is_some())];
    let said = flags.into_iter().filter(|(_, is_said)| *is_said);
    let mut overlays: Vec<_> = said.map(|(key, _)| (key.to_owned(), format!("--{key}"))).collect();
    let names: Vec<String> = match environment {
        Some(environment) => environment.keys().cloned().collect(),
        None => std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect(),
    };
    for name in names {
        let lower = name.to_ascii_lowercase();
        if let Some(key) = lower.strip_prefix("tawny__") {
            overlays.push((key.replace("__", "."), name));
        }
    }
    overlays
}

//! Reads the file, lays environment and flags over it, and parses the whole.

use std::collections::HashMap;

use config::{Config, Environment, File, FileFormat};

use super::locate::Places;
use super::{Flags, Loaded, Settings, SettingsError};

/// Looked for in the working folder when `--config` is not given.
const DEFAULT_FILE: &str = "tawny.yaml";
/// Of our variables, in small letters.
const PREFIX: &str = "tawny__";

pub(super) fn load(flags: &Flags) -> Result<Loaded, SettingsError> {
    merge(flags, None)
}

/// `environment` stands in for the process's own, which a test cannot set.
pub(super) fn merge(flags: &Flags, environment: Option<HashMap<String, String>>) -> Result<Loaded, SettingsError> {
    let (name, text) = read(flags)?;
    let environment = environment.unwrap_or_else(|| std::env::vars_os().filter_map(texts).collect());
    let overlays = overlays(flags, &environment);
    // Typed first: only this parse knows line and column.
    let json = match &text {
        Some(text) => check(&name, text)?,
        None => "{}".to_owned(),
    };
    let settings = over(&json, flags, environment.clone()).map_err(|error| blame(error, &json, flags, &environment))?;
    let place = if text.is_some() { Places::new(&name, text.as_deref().unwrap_or("")) } else { Places::default() };
    Ok(Loaded { settings, place: place.under(overlays) })
}

/// The file's settings with the environment and the flags over them.
fn over(json: &str, flags: &Flags, environment: HashMap<String, String>) -> Result<Settings, SettingsError> {
    let (json, plain) = lay_structures(json, environment);
    let mut builder = Config::builder().add_source(File::from_str(&json, FileFormat::Json)).add_source(
        Environment::with_prefix("TAWNY").prefix_separator("__").separator("__").try_parsing(true).source(Some(plain)),
    );
    let rules = flags.rules.as_ref().map(|path| path.display().to_string());
    for (key, value) in [("store", &flags.store), ("listen", &flags.listen), ("rules", &rules)] {
        if let Some(value) = value {
            builder = builder.set_override(key, value.as_str()).map_err(|cause| merged(&cause))?;
        }
    }
    builder.build().and_then(Config::try_deserialize).map_err(|cause| merged(&cause))
}

/// A list or a mapping in the environment is JSON, and takes the place of the file's. The rest is left to be read as text.
fn lay_structures(json: &str, environment: HashMap<String, String>) -> (String, HashMap<String, String>) {
    let mut tree: serde_json::Value = serde_json::from_str(json).expect("we wrote it");
    let mut plain = HashMap::new();
    for (name, value) in environment {
        let lower = name.to_ascii_lowercase();
        let parsed = serde_json::from_str(&value).ok();
        let structure = parsed.filter(|value: &serde_json::Value| value.is_array() || value.is_object());
        match (lower.strip_prefix(PREFIX), structure) {
            (Some(path), Some(structure)) => lay(&mut tree, path, structure),
            _ => drop(plain.insert(name, value)),
        }
    }
    (tree.to_string(), plain)
}

fn lay(tree: &mut serde_json::Value, path: &str, value: serde_json::Value) {
    let mut place = tree;
    for key in path.split("__") {
        if !place.is_object() {
            *place = serde_json::json!({});
        }
        let map = place.as_object_mut().expect("it was just made one");
        place = map.entry(key).or_insert(serde_json::Value::Null);
    }
    *place = value;
}

/// Names the variable that is wrong, by trying each alone.
fn blame(error: SettingsError, json: &str, flags: &Flags, environment: &HashMap<String, String>) -> SettingsError {
    let mut ours: Vec<_> =
        environment.iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with(PREFIX)).collect();
    ours.sort();
    let is_wrong = |(name, value): &(&String, &String)| {
        over(json, flags, HashMap::from([((*name).clone(), (*value).clone())])).is_err()
    };
    match ours.into_iter().find(is_wrong) {
        Some((name, _)) => SettingsError { place: name.clone(), ..error },
        None => error,
    }
}

fn texts((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
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
        let nearest = known.min_by_key(|known| strangeness(known, wrong)).filter(|known| is_near(known, wrong));
        nearest.map(|known| format!("did you mean `{known}`?"))
    });
    (message, hint)
}

/// More letters must not be wrong in a word that somebody meant.
fn is_near(known: &str, wrong: &str) -> bool {
    strangeness(known, wrong) <= (wrong.len() / 2).max(2)
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
fn overlays(flags: &Flags, environment: &HashMap<String, String>) -> Vec<(String, String)> {
    let flags =
        [("store", flags.store.is_some()), ("listen", flags.listen.is_some()), ("rules", flags.rules.is_some())];
    let said = flags.into_iter().filter(|(_, is_said)| *is_said);
    let mut overlays: Vec<_> = said.map(|(key, _)| (key.to_owned(), format!("--{key}"))).collect();
    for name in environment.keys() {
        let lower = name.to_ascii_lowercase();
        if let Some(key) = lower.strip_prefix(PREFIX) {
            overlays.push((key.replace("__", "."), name.clone()));
        }
    }
    overlays
}

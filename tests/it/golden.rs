//! The golden files of the sinks, read by other people's code: Relay's normaliser, Sentry's reader of envelopes, the
//! reference library of webhook signatures, the vendors' schemas. Must never be satisfied with having found nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn what_the_sinks_send_is_what_their_readers_know() {
    check("check_sinks.py", "tests/fixtures/sinks");
}

#[test]
fn the_envelopes_of_exceptions_pass_relay_unchanged_and_damaged_ones_do_not() {
    check("check_errors.py", "tests/fixtures/sinks/sentry-errors");
}

/// The tools end with 1 for a fault, and with 2 when there was nothing to check.
fn check(tool: &str, fixtures: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/sdks/python/bin/python");
    assert!(python.exists(), "{} is missing: scripts/test installs it", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("tests/tools").join(tool)).arg(root.join(fixtures));
    if let Some(schemas) = schemas(root) {
        command.arg("--schemas").arg(schemas);
    }
    let output = command.output().expect("python can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

/// The vendors' schemas are not ours to keep here; where the design's documents lie beside the project they are used.
fn schemas(root: &Path) -> Option<PathBuf> {
    let beside = root.parent()?.join("shared/formats/schemas");
    beside.is_dir().then_some(beside)
}

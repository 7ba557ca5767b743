//! File names without what differs from machine to machine, so that one fault groups as one wherever it runs. Never
//! invents a part of a path.

/// Where containers and servers put programs. What follows is the program's own.
const ROOTS: [&str; 15] = [
    "/usr/src/app/",
    "/usr/src/",
    "/var/task/",
    "/var/www/html/",
    "/var/www/",
    "/opt/app/",
    "/opt/",
    "/srv/app/",
    "/srv/",
    "/app/",
    "/code/",
    "/workspace/",
    "/workspaces/",
    "/build/",
    "/src/",
];

/// Folders of libraries; what follows the last of them names the library. `node_modules` stays, as Sentry shows it.
const LIBRARIES: [&str; 6] =
    ["/site-packages/", "/dist-packages/", "/gems/", "/pkg/mod/", "/vendor/bundle/", "/go/src/"];

/// With `/` between the parts, without scheme, drive and the place of installation. Of an address the path, which is what
/// Sentry would make of it.
pub(super) fn shortened(file: &str) -> String {
    let file = file.strip_prefix("file://").unwrap_or(file).replace('\\', "/");
    let file = match file.trim_start_matches('/').split_once(":/") {
        // A drive is one letter; `https:/` is not.
        Some((drive, rest)) if drive.len() == 1 => format!("/{}", rest.trim_start_matches('/')),
        _ => file,
    };
    if let Some(rest) = ["https://", "http://"].iter().find_map(|scheme| file.strip_prefix(scheme)) {
        return rest.find('/').map_or_else(|| file.clone(), |at| rest[at..].to_owned());
    }
    if file.starts_with('<') || file.contains("://") || file.starts_with("node:") {
        return file;
    }
    if let Some(end) = LIBRARIES.iter().filter_map(|library| file.rfind(library).map(|at| at + library.len())).max() {
        return file[end..].to_owned();
    }
    if let Some(short) = after_version(&file, "/lib/python").or_else(|| after_version(&file, "/lib/ruby/")) {
        return short.to_owned();
    }
    let short = ROOTS.iter().find_map(|root| file.strip_prefix(root)).unwrap_or(&file).trim_start_matches('/');
    if short.is_empty() { file } else { short.to_owned() }
}

/// The runtime's own library: what follows `/lib/python3.11/`.
fn after_version<'a>(file: &'a str, start: &str) -> Option<&'a str> {
    let rest = &file[file.find(start)? + start.len()..];
    let (version, rest) = rest.split_once('/')?;
    version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then_some(rest)
}

/// `file:12` or `file:12:34`: split at the last colons, because a file may have some of its own.
pub(super) fn place(text: &str) -> (&str, Option<u32>, Option<u32>) {
    let Some((rest, last)) = number_behind(text) else { return (text, None, None) };
    match number_behind(rest) {
        Some((file, line)) => (file, Some(line), Some(last)),
        None => (rest, Some(last), None),
    }
}

fn number_behind(text: &str) -> Option<(&str, u32)> {
    let (rest, number) = text.rsplit_once(':')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((rest, number.parse().ok().filter(|_| is_number && !rest.is_empty())?))
}

//! A Sentry DSN: `{scheme}://{public_key}[:{secret}]@{host}[:{port}]{path}/{project_id}`. Never shows a key.

use super::super::words;

/// Where envelopes go and what opens the door.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: String,
    /// The value of `X-Sentry-Auth`.
    pub(super) auth: String,
}

/// `base` replaces scheme, host and port; a path in front of the project stays, for installations under one.
pub(super) fn parse(dsn: &str, base: Option<&str>) -> Result<Target, &'static str> {
    let (scheme, rest) = dsn.split_once("://").ok_or("has no scheme")?;
    if !["http", "https"].contains(&scheme) {
        return Err("the scheme must be https or http");
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (keys, rest) = rest.split_once('@').ok_or("has no public key")?;
    let (public_key, secret) = keys.split_once(':').map_or((keys, None), |(public, secret)| (public, Some(secret)));
    if !is_word(public_key) || secret.is_some_and(|secret| !secret.is_empty() && !is_word(secret)) {
        return Err("the key must be letters and digits");
    }
    let (host, path) = rest.split_once('/').ok_or("has no project")?;
    if !is_host(host) {
        return Err("the host is not one");
    }
    let path = path.trim_end_matches('/');
    let (prefix, project) = path.rsplit_once('/').map_or(("", path), |(prefix, project)| (prefix, project));
    if !is_word(project) {
        return Err("the last part must be the project");
    }
    if !prefix.split('/').all(|part| part.is_empty() || is_word(part)) {
        return Err("the path is not one");
    }
    let base = base.map_or_else(|| format!("{scheme}://{host}"), str::to_owned);
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    let mut auth = format!("Sentry sentry_version=7, sentry_client={}, sentry_key={public_key}", words::PRODUCT);
    // Old servers want it; it is no secret to new ones.
    if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
        auth.push_str(", sentry_secret=");
        auth.push_str(secret);
    }
    Ok(Target { url: format!("{base}{prefix}/api/{project}/envelope/"), auth })
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

/// A name, an IPv4 address or an IPv6 address in brackets, each with or without a port.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<core::net::Ipv6Addr>().is_ok() => ("v6", port),
        Some(_) => return false,
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    is_word(name) && (port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(dsn: &str) -> String {
        parse(dsn, None).unwrap().url
    }

    #[test]
    fn all_forms_of_a_dsn_lead_to_the_right_address() {
        for (dsn, expected) in [
            ("https://abc@o1.ingest.us.sentry.io/7", "https://o1.ingest.us.sentry.io/api/7/envelope/"),
            (
                "https://abc:sec@sentry.example.com/prefix/path/7",
                "https://sentry.example.com/prefix/path/api/7/envelope/",
            ),
            ("http://abc@sentry.example.com:9000/7/", "http://sentry.example.com:9000/api/7/envelope/"),
            ("https://key@[2600:1f18::1]:9000/7", "https://[2600:1f18::1]:9000/api/7/envelope/"),
            ("https://abc@sentry.example.com/my-project?x=1", "https://sentry.example.com/api/my-project/envelope/"),
        ] {
            assert_eq!(url(dsn), expected);
        }
    }

    #[test]
    fn the_authentication_names_us_and_the_key_and_the_secret_only_if_there_is_one() {
        let with = |dsn| parse(dsn, None).unwrap().auth;
        let version = env!("CARGO_PKG_VERSION");
        let start = format!("Sentry sentry_version=7, sentry_client=tawny/{version}, sentry_key=abc");
        assert_eq!(with("https://abc@x.example.com/7"), start);
        assert_eq!(with("https://abc:@x.example.com/7"), start);
        assert_eq!(with("https://abc:sec@x.example.com/7"), format!("{start}, sentry_secret=sec"));
    }

    #[test]
    fn a_stand_in_replaces_the_host_and_nothing_else() {
        let target = parse("https://abc@sentry.example.com/prefix/7", Some("http://[::1]:8080")).unwrap();
        assert_eq!(target.url, "http://[::1]:8080/prefix/api/7/envelope/");
    }

    #[test]
    fn what_is_no_dsn_is_refused() {
        for bad in [
            "",
            "abc@sentry.example.com/7",
            "ftp://abc@sentry.example.com/7",
            "https://sentry.example.com/7",
            "https://@sentry.example.com/7",
            "https://abc@/7",
            "https://abc@sentry.example.com",
            "https://abc@sentry.example.com/",
            "https://abc@[::1/7",
            "https://abc@[::g]/7",
            "https://abc@host:port/7",
            "https://a b@host/7",
            "https://abc@host/7\nx",
            "https://abc@host/a b/7",
        ] {
            assert!(parse(bad, None).is_err(), "{bad}");
        }
    }
}

//! IP addresses as senders write them, and the networks of rules. Never resolves a name.

use core::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    bits: u128,
    mask: u128,
    is_v4: bool,
}

impl Network {
    /// `10.0.0.0/8`, `2600:1f00::/24`, or a lone address.
    pub(super) fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, width): (u128, u32) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let free = width.checked_sub(length.unwrap_or(width))?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        Some(Network { bits: bits & mask, mask, is_v4: address.is_ipv4() })
    }

    /// An address in it.
    pub(super) fn sample(&self) -> IpAddr {
        match (self.is_v4, u32::try_from(self.bits)) {
            (true, Ok(bits)) => IpAddr::V4(bits.into()),
            (true, Err(_)) | (false, _) => IpAddr::V6(self.bits.into()),
        }
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let bits = match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        address.is_ipv4() == self.is_v4 && bits & self.mask == self.bits
    }
}

/// One address, or the JSON list that a program with several makes of them (`host.ip`).
pub(super) fn parse_addresses(text: &str) -> impl Iterator<Item = IpAddr> {
    let list = text.strip_prefix("[\"").and_then(|rest| rest.strip_suffix("\"]"));
    let items = list.map(|list| list.split("\",").map(|item| item.trim_start().trim_start_matches('"')));
    let alone = if list.is_none() { Some(text) } else { None };
    items.into_iter().flatten().chain(alone).filter_map(parse_address)
}

/// Accepts `[2600::1]:8080`, `10.1.2.3:80`, `fe80::1%eth0`; an IPv4 address inside IPv6 is that IPv4 address.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        // One colon is a port; more are an IPv6 address.
        None => match text.split_once(':') {
            Some((host, rest)) if !rest.contains(':') => host,
            Some(_) | None => text,
        },
    };
    let without_zone = bare.split_once('%').map_or(bare, |(address, _)| address);
    without_zone.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_the_forms_that_senders_use() {
        for (text, network, inside) in [
            ("10.1.2.3", "10.0.0.0/8", true),
            ("10.1.2.3:9100", "10.0.0.0/8", true),
            ("::ffff:10.1.2.3", "10.0.0.0/8", true),
            ("[2600:1f13::1]:8080", "2600:1f00::/24", true),
            ("2600:1f13::1", "2600:1f00::/24", true),
            ("2700:1f13::1", "2600:1f00::/24", false),
            ("fe80::1%eth0", "fe80::/10", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "::/0", false),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("owl-service:80", "0.0.0.0/0", false),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(parse_address(text).is_some_and(|address| network.contains(address)), inside, "{text}");
        }
        for text in ["10.0.0.0/33", "10.0.0/8", "::/129", "owl", "10.0.0.0/", ""] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}

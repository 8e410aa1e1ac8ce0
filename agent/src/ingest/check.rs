//! The syntax of names, labels, ports and ranges (apimachinery `validation.go`, Kubernetes' networking validation).
//! Each check returns what is wrong and what to write instead.

use std::net::IpAddr;

use ipnet::IpNet;

type Check = Result<(), String>;

/// RFC 1123 label.
pub fn dns_label(text: &str) -> Check {
    let valid = text.len() <= 63 && is_label(text);
    require(valid, || {
        format!("`{text}` must be at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends")
    })
}

/// RFC 1035 label: what a Service may be called.
pub fn service_name(text: &str) -> Check {
    let valid = text.len() <= 63 && is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase());
    require(valid, || {
        format!(
            "`{text}` must be at most 63 lower-case letters, digits and `-`, with a letter first and a letter or digit at \
             the end"
        )
    })
}

/// RFC 1123 subdomain.
pub fn dns_subdomain(text: &str) -> Check {
    let valid = text.len() <= 253 && text.split('.').all(is_label);
    require(valid, || {
        format!(
            "`{text}` must be at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends \
             of each part"
        )
    })
}

fn is_label(text: &str) -> bool {
    is_between(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), |byte| byte == b'-')
}

/// Label key or annotation key: `[PREFIX/]NAME`.
pub fn qualified_name(text: &str) -> Check {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if let Some(prefix) = prefix {
        dns_subdomain(prefix).map_err(|problem| format!("in the key `{text}` the prefix {problem}"))?;
    }
    require(name.len() <= 63 && is_name(name), || {
        format!(
            "`{text}` is no key: after an optional PREFIX/, it must be 1 to 63 letters, digits, `-`, `_` and `.`, with \
             a letter or digit at both ends"
        )
    })
}

pub fn label_value(text: &str) -> Check {
    require(text.is_empty() || text.len() <= 63 && is_name(text), || {
        format!(
            "`{text}` is no label value: it must be empty, or at most 63 letters, digits, `-`, `_` and `.`, with a \
             letter or digit at both ends"
        )
    })
}

fn is_name(text: &str) -> bool {
    is_between(text, |byte| byte.is_ascii_alphanumeric(), |byte| matches!(byte, b'-' | b'_' | b'.'))
}

/// Not empty, `end` at both ends, `end` or `inner` between.
fn is_between(text: &str, end: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(|byte| end(*byte)) && bytes.last().is_some_and(|byte| end(*byte));
    ends && bytes.iter().all(|byte| end(*byte) || inner(*byte))
}

/// The name of a port (IANA service name, RFC 6335).
pub fn port_name(text: &str) -> Check {
    let is_edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let valid = text.len() <= 15
        && is_between(text, is_edge, |byte| byte == b'-')
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.contains("--");
    require(valid, || {
        format!(
            "`{text}` is no port name: it must be at most 15 lower-case letters, digits and single `-`, with at least \
             one letter, and a letter or digit at both ends"
        )
    })
}

/// A domain name of a ClusterNetworkPolicy, with or without a leading `*.` (the pattern of its CRD).
pub fn domain_pattern(text: &str) -> Check {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_part = |part: &str| {
        // The pattern says `A-z`, which holds `_` and a few more.
        let begins = part.bytes().next().is_some_and(|byte| matches!(byte, b'A'..=b'z' | b'0'..=b'9'));
        let ends = part.len() == 1 || part.bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric());
        begins && ends && part.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    require(name.contains('.') && name.split('.').all(is_part), || {
        format!("`{text}` is no domain name, write it like example.com or *.example.com")
    })
}

/// # Errors
/// Not between 1 and 65535.
pub fn port_number(number: i32) -> Result<u16, String> {
    u16::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("{number} is no port, it must be between 1 and 65535"))
}

/// A range as it is written, and with its host bits cleared.
///
/// # Errors
/// Not a range, or one that two programs may read differently.
pub fn range(text: &str) -> Result<IpNet, String> {
    let net = strict_range(text)
        .ok_or_else(|| format!("`{text}` is no range, write it like 10.0.0.0/8 or fd00::/8, without leading zeros"))?;
    if let IpAddr::V6(address) = net.addr()
        && address.to_ipv4_mapped().is_some()
    {
        return Err(format!("`{text}` is an IPv4 range in IPv6 notation, write it as IPv4"));
    }
    Ok(net)
}

/// `ipnet` itself takes leading zeros, which others read as octal.
fn strict_range(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let net = IpNet::new(address.parse().ok()?, length.parse().ok()?).ok()?;
    (net.prefix_len().to_string() == length).then_some(net)
}

/// # Errors
/// Not an IP address.
pub fn address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr =
        text.parse().map_err(|_| format!("`{text}` is no IP address, write it like 10.244.0.5 or fd00::5"))?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(format!("`{text}` is an IPv4 address in IPv6 notation, write it as IPv4"))
        }
        _ => Ok(address),
    }
}

/// An address of a Service or an endpoint, as kube-proxy reads it (`ParseIPSloppy`): leading zeros count for nothing,
/// and an IPv4 address in IPv6 notation is the IPv4 address.
///
/// # Errors
/// Not an IP address for kube-proxy either.
pub fn lenient_address(text: &str) -> Result<IpAddr, String> {
    let parts = text.split_inclusive(['.', ':']).map(|part| {
        let digits = part.trim_end_matches(['.', ':']);
        let zeros = digits.len() - digits.trim_start_matches('0').len();
        &part[zeros.min(digits.len().saturating_sub(1))..]
    });
    let address: IpAddr = parts
        .collect::<String>()
        .parse()
        .map_err(|_| format!("`{text}` is no IP address, write it like 10.244.0.5 or fd00::5"))?;
    Ok(address.to_canonical())
}

fn require(valid: bool, problem: impl FnOnce() -> String) -> Check {
    if valid { Ok(()) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels() {
        for good in ["a", "a-b", "0", &"a".repeat(63)] {
            assert!(dns_label(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(64)] {
            assert!(dns_label(bad).is_err(), "{bad}");
        }
        for good in ["a", "example.com/a", "a.b/C_d.e", "A"] {
            assert!(qualified_name(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "Ex.com/a", "-a", "a b", "é"] {
            assert!(qualified_name(bad).is_err(), "{bad}");
        }
        for good in ["", "a", "A_b.c-D"] {
            assert!(label_value(good).is_ok(), "{good}");
        }
        for bad in ["-a", "a/b", "a ", &"a".repeat(64)] {
            assert!(label_value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports() {
        for good in ["http", "a1", "8080-tcp", "abcdefghijklmno"] {
            assert!(port_name(good).is_ok(), "{good}");
        }
        for bad in ["", "80", "a--b", "-a", "a-", "Http", "abcdefghijklmnop"] {
            assert!(port_name(bad).is_err(), "{bad}");
        }
        assert_eq!(port_number(65535), Ok(65535));
        assert!(port_number(0).is_err() && port_number(65536).is_err() && port_number(-1).is_err());
    }

    #[test]
    fn ranges_and_addresses_have_one_reading() {
        assert!(range("10.0.0.1/8").is_ok(), "host bits are cleared, not refused");
        for bad in ["10.0.0.0", "10.0.0.0/33", "010.0.0.0/8", "::ffff:10.0.0.0/104", "fd00::/129", ""] {
            assert!(range(bad).is_err(), "{bad}");
        }
        for bad in ["10.0.0", "10.0.0.01", "::ffff:10.0.0.1", "fe80::1%eth0"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_of_services_have_the_reading_of_kube_proxy() {
        let same = [
            ("10.244.0.9", "10.244.0.9"),
            ("010.244.00.009", "10.244.0.9"),
            ("000000010.0.0.0", "10.0.0.0"),
            ("::ffff:10.244.0.9", "10.244.0.9"),
            ("::ffff:010.244.0.09", "10.244.0.9"),
            ("fd00:0000::00005", "fd00::5"),
            ("::", "::"),
        ];
        for (written, read) in same {
            assert_eq!(lenient_address(written).map(|it| it.to_string()), Ok(read.to_owned()), "{written}");
        }
        for bad in ["", "10.0.0", "10.0.0.256", "10..0.1", "0x0a.0.0.1", "fe80::1%eth0", "10.0.0.1 ", "1:2"] {
            assert!(lenient_address(bad).is_err(), "{bad}");
        }
    }
}

//! Settings of a network namespace, written through `/proc/sys/net` from inside it.

use std::fs;

use anyhow::{Context, Result};

use crate::net::NetNs;

/// No guesses of the kernel's own: addresses are usable at once, none is learned from an advertisement, and a
/// packet's way back need not be its way here. Some of these a new namespace inherits from the machine.
const EVERYWHERE: &[(&str, &str)] = &[
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
];

const ROUTER: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/forwarding", "1"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
];

/// Sets up a namespace that sends and receives. To be called before it has interfaces.
///
/// # Errors
/// A setting cannot be written: `/proc/sys` is read-only, or the kernel has no IPv6.
pub fn host(namespace: &NetNs) -> Result<()> {
    write(namespace, EVERYWHERE)
}

/// Sets up a namespace that also forwards.
///
/// # Errors
/// As [`host`].
pub fn router(namespace: &NetNs) -> Result<()> {
    host(namespace)?;
    write(namespace, ROUTER)
}

fn write(namespace: &NetNs, settings: &[(&str, &str)]) -> Result<()> {
    namespace.run(|| {
        settings.iter().try_for_each(|(name, value)| {
            let path = format!("/proc/sys/net/{name}");
            fs::write(&path, value).with_context(|| format!("cannot write {value} to {path}"))
        })
    })?
}

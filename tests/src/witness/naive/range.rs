//! Address ranges in CIDR form.

use std::net::IpAddr;

/// Whether the range holds the address: bits behind the prefix do not count, and one family says nothing of the other.
pub fn holds(cidr: &str, address: IpAddr) -> bool {
    let parsed = cidr.split_once('/').and_then(|(base, length)| Some((base.parse().ok()?, length.parse().ok()?)));
    let (base, length): (IpAddr, u32) = parsed.unwrap_or_else(|| panic!("{cidr} is no range"));
    base.is_ipv4() == address.is_ipv4() && (bits(base) ^ bits(address)).leading_zeros() >= length
}

/// The address from the left.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

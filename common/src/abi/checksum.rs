//! Where the kernel keeps what is still to be written into a packet.

/// Byte offsets in `sk_buff`, which the kernel's BTF tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ChecksumLayout {
    /// 0 where the kernel does not let programs read its memory: then nothing is known of checksums.
    pub is_known: u32,
    /// The byte of `ip_summed`, and how far up its two bits are in it.
    pub ip_summed: u32,
    pub shift: u32,
    pub csum_start: u32,
    pub csum_offset: u32,
    pub mac_header: u32,
}

super::layout!(ChecksumLayout, 24;
    is_known @ 0 => u32, ip_summed @ 4 => u32, shift @ 8 => u32, csum_start @ 12 => u32, csum_offset @ 16 => u32,
    mac_header @ 20 => u32);

impl ChecksumLayout {
    pub const UNKNOWN: Self =
        Self { is_known: 0, ip_summed: 0, shift: 0, csum_start: 0, csum_offset: 0, mac_header: 0 };
}

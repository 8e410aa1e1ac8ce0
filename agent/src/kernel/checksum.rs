//! Where this kernel keeps what is still to be written into a packet.

use anyhow::{Context as _, Result};
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported};
use common::abi::ChecksumLayout;

use super::btf::Types;

/// The layout; unknown where the kernel is locked down for confidentiality: there no program reads its memory.
///
/// # Errors
/// The kernel's types are not what they are expected to be.
pub(super) fn layout() -> Result<ChecksumLayout> {
    let helper = BpfHelper::BPF_FUNC_probe_read_kernel;
    let reads = is_helper_supported(ProgramType::SchedClassifier, helper);
    if !reads.context("cannot ask whether programs may read the kernel's memory")? {
        return Ok(ChecksumLayout::UNKNOWN);
    }
    let types = Types::of_kernel()?;
    let (ip_summed, shift) = types.bits("sk_buff", "ip_summed")?;
    Ok(ChecksumLayout {
        is_known: 1,
        ip_summed,
        shift,
        csum_start: types.offset("sk_buff", "csum_start")?,
        csum_offset: types.offset("sk_buff", "csum_offset")?,
        mac_header: types.offset("sk_buff", "mac_header")?,
    })
}

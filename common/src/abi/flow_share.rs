//! Shares of the table of flows: what each endpoint may have there, and the ring of flows that are not established.

use super::FlowKey;

/// A place in the ring of flows that are not established. A place that nobody has taken has a key of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FlowPlace {
    pub key: FlowKey,
    /// Number of the endpoint's record, which the place is counted for.
    pub slot: u32,
}

super::layout!(FlowPlace, 32; key @ 0 => FlowKey, slot @ 28 => u32);

/// Counts of one endpoint, by slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowShare {
    /// Places of the ring, also of flows that have gone meanwhile.
    pub places: i64,
    /// Established flows. The agent counts them anew at each sweep.
    pub established: i64,
}

super::layout!(FlowShare, 16; places @ 0 => i64, established @ 8 => i64);

/// Counts of all endpoints together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowTotals {
    /// Places that were taken, in all: the ring's next place is this modulo its size.
    pub taken: i64,
    /// Established flows beyond what each endpoint is guaranteed. Counted anew at each sweep.
    pub pooled: i64,
}

super::layout!(FlowTotals, 16; taken @ 0 => i64, pooled @ 8 => i64);

/// Sizes that the shares follow from. Fixed when the programs are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FlowLimits {
    /// Places of the ring less one: their number is a power of two.
    pub last_place: u32,
    /// Flows of the ring that no other endpoint's take away from one that has no more places than this.
    pub kept: u32,
    /// Established flows that each endpoint may have, whatever the others have.
    pub guaranteed: u32,
    /// Established flows that one endpoint may have.
    pub most: u32,
    /// Established flows of all endpoints beyond what is guaranteed.
    pub pool: u32,
}

super::layout!(FlowLimits, 20;
    last_place @ 0 => u32, kept @ 4 => u32, guaranteed @ 8 => u32, most @ 12 => u32, pool @ 16 => u32);

impl FlowLimits {
    /// Limits for a table of so many flows and a node of so many endpoints. Half of the table is the ring's, and of each
    /// half a half is divided among the endpoints.
    #[must_use]
    pub const fn new(flows: u32, endpoints: u32) -> Self {
        let (ring, endpoints) = (Self::ring(flows), if endpoints == 0 { 1 } else { endpoints });
        let established = flows - ring;
        let guaranteed = at_least_one(established / 2 / endpoints);
        let most = if established / 8 > guaranteed { established / 8 } else { guaranteed };
        let kept = at_least_one(ring / 2 / endpoints);
        Self { last_place: ring - 1, kept, guaranteed, most, pool: established / 2 }
    }

    /// Places of the ring of a table of so many flows.
    #[must_use]
    pub const fn ring(flows: u32) -> u32 {
        match flows / 2 {
            0 => 1,
            half => 1 << half.ilog2(),
        }
    }
}

const fn at_least_one(number: u32) -> u32 {
    if number == 0 { 1 } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_fits_into_the_table() {
        for flows in [1, 2, 3, 1000, 1024, 524_288, 1_000_000, u32::MAX] {
            for endpoints in [0, 1, 7, 110, 1024] {
                let limits = FlowLimits::new(flows, endpoints);
                let ring = u64::from(limits.last_place) + 1;
                assert!(ring.is_power_of_two() && ring <= u64::from(flows), "{flows} {limits:?}");
                assert!(limits.guaranteed <= limits.most, "{limits:?}");
                if flows > 8 * endpoints.max(1) {
                    let promised = u64::from(limits.guaranteed) * u64::from(endpoints) + u64::from(limits.pool);
                    assert!(promised + ring <= u64::from(flows), "{flows} {endpoints} {limits:?}");
                    assert!(u64::from(limits.kept) * u64::from(endpoints) <= ring / 2, "{flows} {limits:?}");
                }
            }
        }
        let usual = FlowLimits::new(524_288, 1024);
        assert_eq!(usual, FlowLimits { last_place: 262_143, kept: 128, guaranteed: 128, most: 32_768, pool: 131_072 });
    }
}

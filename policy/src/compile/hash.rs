//! The maps that a compile looks things up in. What tenants write is in their keys, so that the hash is seeded by each
//! process; and it is asked for every pod and rule, so that it is a faster one than the standard library's.

pub(super) use foldhash::fast::RandomState;

pub(super) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
pub(super) type HashSet<K> = std::collections::HashSet<K, RandomState>;

//! How much of the agent's memory each tenant's objects may take, and what goes where that is not enough. A tenant is an
//! owner, and a namespace without a tenant is one by itself. Who writes more loses its own largest objects first, and
//! nobody else loses any.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use policy::model::tenants::Tenancy;
use policy::model::{Config, World};

use super::Resource;
use super::live::Key;

/// Bytes that are kept of the objects of a resource. They come to two or three times as much once they are compiled, and
/// all shares together stay within the chart's memory limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Of one object.
    pub object: usize,
    /// Of one tenant's objects, or those of a namespace without a tenant.
    pub owner: usize,
    /// Of everybody's.
    pub all: usize,
}

/// A share that nobody can exceed.
const WHOLE: Share = Share { object: usize::MAX, owner: usize::MAX, all: usize::MAX };

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Counted for each object besides its text.
pub(super) const EACH: usize = 512;

impl Resource {
    /// What its objects may take; `None` where only administrators write them.
    #[must_use]
    pub const fn share(self) -> Option<Share> {
        Some(match self {
            // A label has no limit but that of the object: 256 KiB are 800 of the longest ones.
            Self::Namespaces => Share { object: 256 * KIB, ..WHOLE },
            // 20,000 pods of a tenant and 120,000 of all, with labels of 300 bytes.
            Self::Pods => Share { object: 256 * KIB, owner: 16 * MIB, all: 96 * MIB },
            // 27,000 ipBlocks in a policy; 5,000 policies of a tenant and 30,000 of all, of 300 bytes each.
            Self::NetworkPolicies => Share { object: MIB, owner: 4 * MIB, all: 24 * MIB },
            // 5,000 Services of a tenant and 17,000 of all, of one port each.
            Self::Services => Share { object: MIB, owner: 4 * MIB, all: 12 * MIB },
            // 5,000 slices of a tenant and 17,000 of all, with eight endpoints each.
            Self::EndpointSlices => Share { object: MIB, owner: 4 * MIB, all: 12 * MIB },
            Self::Nodes | Self::ServiceCidrs | Self::ClusterNetworkPolicies | Self::Tenants => return None,
        })
    }
}

/// The tenant of each namespace that has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owners(BTreeMap<String, String>);

impl Owners {
    /// Of a world, of which only Namespaces and Tenants matter.
    pub fn of(world: &World, config: &Config) -> Self {
        let tenancy = Tenancy::of(world, config);
        let tenant = |name: &String| tenancy.names().get(tenancy.of_namespace(name)?).cloned();
        Self(world.namespaces.keys().filter_map(|name| Some((name.clone(), tenant(name)?))).collect())
    }

    pub fn of_namespace<'n>(&'n self, namespace: &'n str) -> Owner<'n> {
        self.0.get(namespace).map_or(Owner::Namespace(namespace), |tenant| Owner::Tenant(tenant))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner<'n> {
    /// By the name that people read.
    Tenant(&'n str),
    Namespace(&'n str),
}

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(name) => write!(f, "tenant/{name}"),
            Self::Namespace(name) => write!(f, "namespace/{name}"),
        }
    }
}

/// What somebody has beyond its share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over {
    /// How many of a namespace.
    pub objects: usize,
    pub size: usize,
    pub share: Share,
    /// Whether the namespace shares with the others of its tenant.
    pub tenant: bool,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { objects, size, share: Share { object, owner, .. }, tenant } = self;
        let size = size / KIB;
        write!(f, "{objects} of its namespace, {size} KiB together, do not fit: one may have {} KiB", object / KIB)?;
        if *owner != usize::MAX {
            let whose = if *tenant { "those of a tenant" } else { "those of a namespace" };
            write!(f, ", {whose} {} KiB, and less where all of the cluster's do not fit", owner / KIB)?;
        }
        f.write_str("; write smaller ones, or fewer")
    }
}

/// Sizes and keys of an owner's objects, by namespace.
type ByNamespace<'k> = BTreeMap<&'k str, Vec<(usize, &'k Key)>>;

/// The objects that are over their owner's share: the largest of the largest namespaces of who has most. It depends on
/// what there is and not on the order in which it came, so that all nodes agree.
pub(super) fn over<'k>(
    sizes: impl Iterator<Item = (&'k Key, usize)>,
    owners: &'k Owners,
    share: Share,
) -> BTreeSet<&'k Key> {
    let mut by_owner: HashMap<Owner<'k>, ByNamespace<'k>> = HashMap::new();
    let mut over = BTreeSet::new();
    for (key, size) in sizes {
        if size > share.object {
            over.insert(key);
            continue;
        }
        let namespaces = by_owner.entry(owners.of_namespace(&key.namespace)).or_default();
        namespaces.entry(&key.namespace).or_default().push((size, key));
    }
    let sum = |objects: &Vec<(usize, &Key)>| objects.iter().map(|(size, _)| size).sum::<usize>();
    let sums = |namespaces: &BTreeMap<_, _>| namespaces.values().map(sum).collect::<Vec<usize>>();
    let owned = by_owner.values().map(|namespaces| sums(namespaces).iter().sum()).map(|it: usize| it.min(share.owner));
    let most = level(&owned.collect::<Vec<_>>(), share.all).min(share.owner);
    for namespaces in by_owner.into_values() {
        let most = level(&sums(&namespaces), most);
        for mut objects in namespaces.into_values() {
            if sum(&objects) > most {
                objects.sort_unstable();
                let mut kept = 0;
                over.extend(
                    objects
                        .iter()
                        .skip_while(|(size, _)| {
                            kept += size;
                            kept <= most
                        })
                        .map(|(_, key)| *key),
                );
            }
        }
    }
    over
}

/// How much each may have at most, so that all get what they ask for up to that and together no more than there is.
fn level(asked: &[usize], all: usize) -> usize {
    let mut sorted = asked.to_vec();
    sorted.sort_unstable();
    let (mut left, mut waiting) = (all, sorted.len());
    for asked in sorted {
        if asked > left / waiting {
            return left / waiting;
        }
        (left, waiting) = (left - asked, waiting - 1);
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share { object: 50, owner: 100, all: 300 };

    fn key(namespace: &str, name: usize) -> Key {
        Key { namespace: namespace.to_owned(), name: format!("{name:04}") }
    }

    fn cut(objects: &[(Key, usize)], owners: &Owners) -> Vec<String> {
        over(objects.iter().map(|(key, size)| (key, *size)), owners, SHARE).iter().map(ToString::to_string).collect()
    }

    fn many(namespace: &str, count: usize, size: usize) -> Vec<(Key, usize)> {
        (0..count).map(|name| (key(namespace, name), size)).collect()
    }

    #[test]
    fn each_gets_what_it_asks_for_up_to_a_level() {
        assert_eq!(level(&[1, 2, 3], 6), usize::MAX);
        assert_eq!(level(&[1, 9, 9], 9), 4);
        assert_eq!(level(&[9, 1, 2], 9), 6);
        assert_eq!(level(&[5, 5], 0), 0);
        assert_eq!(level(&[], 0), usize::MAX);
    }

    #[test]
    fn the_largest_objects_of_a_namespace_go_and_nobody_else_s() {
        let mut objects = many("evil", 11, 10);
        objects.extend(many("x", 10, 10));
        objects.push((key("evil", 50), 20));
        let order = cut(&objects, &Owners::default());
        assert_eq!(order, ["evil/0010", "evil/0050"], "the two that do not fit, by size and name");
        objects.reverse();
        assert_eq!(cut(&objects, &Owners::default()), order, "in whatever order they came");
        assert_eq!(cut(&[(key("x", 1), 51), (key("x", 2), 50)], &Owners::default()), ["x/0001"], "one by itself");
    }

    #[test]
    fn a_tenant_with_many_namespaces_has_one_share_and_its_largest_namespace_goes_first() {
        let owners = Owners((0..9).map(|n| (format!("evil-{n}"), "black".to_owned())).collect());
        let mut objects: Vec<_> = (0..9).flat_map(|n| many(&format!("evil-{n}"), 2, 5)).collect();
        objects.extend(many("evil-0", 9, 5).into_iter().skip(2));
        let names = cut(&objects, &owners);
        assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("evil-0/")), "{names:?}");
        assert_eq!(45 + 80 - 5 * names.len(), 100);
    }

    #[test]
    fn where_all_together_are_too_many_the_largest_owners_come_down_to_one_level() {
        let mut objects: Vec<_> = (0..9).flat_map(|n| many(&format!("evil-{n}"), 9, 10)).collect();
        objects.extend(many("x", 3, 10));
        let names = cut(&objects, &Owners::default());
        assert!(names.iter().all(|name| name.starts_with("evil-")), "{names:?}");
        assert_eq!(names.len(), 9 * 6, "270 for nine: 30 each");
    }
}

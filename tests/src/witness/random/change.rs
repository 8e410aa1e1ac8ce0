//! Random changes of a cluster, one object at a time.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use super::{Extent, NAMESPACES, PODS, cluster_policy, network_policy, objects};
use crate::witness::Cluster;

/// What happens next.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is added, or takes the place of the one of its kind, namespace and name.
    Put(Value),
    /// An object goes; which one of those that are there. Nodes stay.
    Remove(Index),
    /// Another configuration, as after a restart with one.
    Configure(Value),
    /// A namespace is heard of, or its watch has not said anything of it yet.
    Hear(&'static str),
}

impl Change {
    pub fn apply_to(&self, cluster: &mut Cluster) {
        match self {
            Self::Put(object) => {
                let place = cluster.objects.iter().position(|it| identity(it) == identity(object));
                match place {
                    Some(place) => cluster.objects[place] = object.clone(),
                    None => cluster.objects.push(object.clone()),
                }
            }
            Self::Remove(index) => {
                let all = cluster.objects.iter().enumerate().filter(|(_, object)| object["kind"] != "Node");
                let places: Vec<usize> = all.map(|(place, _)| place).collect();
                if !places.is_empty() {
                    cluster.objects.remove(*index.get(&places));
                }
            }
            Self::Configure(config) => cluster.config.clone_from(config),
            Self::Hear(namespace) => {
                if !cluster.unheard.remove(*namespace) {
                    cluster.unheard.insert((*namespace).to_owned());
                }
            }
        }
    }
}

fn identity(object: &Value) -> [&Value; 3] {
    [&object["kind"], &object["metadata"]["namespace"], &object["metadata"]["name"]]
}

pub fn change() -> impl Strategy<Value = Change> {
    let named = |prefix: &'static str, policy: BoxedStrategy<Value>| {
        (policy, 0..4u8).prop_map(move |(mut policy, number)| {
            policy["metadata"]["name"] = format!("{prefix}{number}").into();
            policy
        })
    };
    let one_of = |all: BoxedStrategy<Vec<Value>>| {
        (all, any::<Index>()).prop_filter_map("there is none", |(all, index)| {
            (!all.is_empty()).then(|| all[index.index(all.len())].clone())
        })
    };
    let pod = (0..PODS.len()).prop_flat_map(|place| objects::pod(Extent::Whole, place));
    let namespace = select(&NAMESPACES[..]).prop_flat_map(objects::namespace);
    let object = prop_oneof![
        4 => named("p", network_policy::policy(Extent::Whole).boxed()),
        3 => named("c", cluster_policy::policy(Extent::Whole).boxed()),
        3 => pod.prop_filter_map("no pod", |pod| pod),
        3 => namespace.prop_filter_map("no namespace", |namespace| namespace),
        1 => one_of(objects::tenants().boxed()),
        1 => one_of(objects::nodes(Extent::Whole).boxed()),
    ];
    prop_oneof![
        12 => object.prop_map(Change::Put),
        4 => any::<Index>().prop_map(Change::Remove),
        1 => objects::config().prop_map(Change::Configure),
        1 => select(&NAMESPACES[..]).prop_map(Change::Hear),
    ]
}

//! One object of a cluster at a time, as it is watched: to a value of the model, whatever the cluster holds.

use ipnet::IpNet;
use policy::model::{
    CapsuleTenant, ClusterNetworkPolicy, EndpointSlice, InvalidPolicy, Namespace, NetworkPolicy, Node, Pod, Service,
    World,
};
use serde_json::Value;

use super::convert::{self, Report, Source};
use super::{IngestError, Kind, Manifest, ObjectId, Place};

/// What an object is to policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    Namespace(Namespace),
    Node(Node),
    Tenant(CapsuleTenant),
    Pod(Pod),
    Service(Service),
    EndpointSlice(EndpointSlice),
    ServiceCidr {
        name: String,
        ranges: Vec<IpNet>,
    },
    NetworkPolicy(NetworkPolicy),
    /// What isolates in the place of a NetworkPolicy that is not understood.
    InvalidPolicy(InvalidPolicy),
    ClusterNetworkPolicy(ClusterNetworkPolicy),
}

/// An object in which something is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// What stands in for it, failing closed: an InvalidPolicy, a Service or EndpointSlice that leads to nobody knows
    /// whom. None: it is as if it were not there, which is never a privilege: pods of a Namespace that is not known,
    /// addresses in a pod range that no known pod has and namespaces of a Tenant that is not known are foreign to
    /// everybody.
    pub stand_in: Option<Live>,
    /// Each with its field: a few, the last of which counts the others.
    pub errors: Vec<IngestError>,
}

/// Converts an object as an API server gives it. `Ok(None)`: it has no part in policy (a pod that has ended, a kind
/// that no cluster is watched for).
///
/// Nothing is filled in that only files leave out: a pod without addresses has none, and no namespace is `default`.
///
/// # Errors
/// All that is not understood, with what stands in for the object.
pub fn convert_live(kind: Kind, object: Value) -> Result<Option<Live>, Box<Rejected>> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let id = ObjectId { kind, namespace: text("namespace"), name: text("name") };
    let place = Place { file: "cluster".to_owned(), document: 1, item: None };
    let manifest = Manifest { id, place, value: object };
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut report = Report::new(&manifest, Source::Cluster, &mut errors, &mut warnings);
    let converted = convert_kind(&mut report, kind);
    let found = report.found();
    let more = found - errors.len();
    if let Some(last) = errors.last_mut().filter(|_| more > 0) {
        last.problem = format!("{} (and {more} more problems)", last.problem);
    }
    if errors.is_empty() { Ok(converted) } else { Err(Box::new(Rejected { stand_in: converted, errors })) }
}

/// One object, or what stands in for it.
pub(super) fn convert_kind(report: &mut Report<'_>, kind: Kind) -> Option<Live> {
    match kind {
        Kind::NetworkPolicy => Some(match convert::network_policy(report) {
            Ok(policy) => Live::NetworkPolicy(policy),
            Err(invalid) => Live::InvalidPolicy(invalid),
        }),
        Kind::ClusterNetworkPolicy => Some(Live::ClusterNetworkPolicy(convert::cluster_network_policy(report))),
        // All that is known of a node is good to know: what it says of its pod ranges makes pods unknown, not known.
        Kind::Node => convert::node(report).map(|(node, _)| Live::Node(node)),
        Kind::Namespace => report.whole(convert::namespace).map(Live::Namespace),
        Kind::Tenant => report.whole(convert::tenant).map(Live::Tenant),
        Kind::Pod if report.is_ended() => None,
        Kind::Pod => report.whole(convert::pod).map(Live::Pod),
        Kind::Service => Some(Live::Service(convert::live_service(report))),
        Kind::EndpointSlice => Some(Live::EndpointSlice(convert::live_endpoint_slice(report))),
        Kind::ServiceCidr => {
            let ranges = convert::service_cidr(report)?;
            Some(Live::ServiceCidr { name: report.name().to_owned(), ranges })
        }
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::ReplicaSet | Kind::Job | Kind::CronJob => None,
    }
}

impl Live {
    /// Puts the object into a world, in the place of the one that had its name.
    pub fn put_into(self, world: &mut World) {
        match self {
            Self::Namespace(it) => drop(world.namespaces.insert(it.name.clone(), it)),
            Self::Node(it) => drop(world.nodes.insert(it.name.clone(), it)),
            Self::Tenant(it) => drop(world.tenants.insert(it.name.clone(), it)),
            Self::Pod(it) => drop(world.pods.insert(it.key(), it)),
            Self::Service(it) => drop(world.services.insert((it.namespace.clone(), it.name.clone()), it)),
            Self::EndpointSlice(it) => {
                world.endpoint_slices.insert((it.namespace.clone(), it.name.clone()), it);
            }
            Self::ServiceCidr { name, ranges } => drop(world.service_cidrs.insert(name, ranges)),
            Self::NetworkPolicy(it) => {
                let key = (it.namespace.clone(), it.name.clone());
                world.invalid_policies.remove(&key);
                world.network_policies.insert(key, it);
            }
            Self::InvalidPolicy(it) => {
                let key = (it.namespace.clone(), it.name.clone());
                world.network_policies.remove(&key);
                world.invalid_policies.insert(key, it);
            }
            Self::ClusterNetworkPolicy(it) => {
                world.cluster_network_policies.insert(it.name.clone(), it);
            }
        }
    }
}

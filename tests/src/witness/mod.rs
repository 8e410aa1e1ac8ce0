//! A second opinion on policy: random clusters as an API server would hand them out, and a naive evaluator that reads
//! them with the API's own words and shares no code with ingest, compiler and `decide`.

mod canonical;
mod enforced;
pub mod naive;
pub mod random;

use std::collections::BTreeSet;
use std::fmt;

use agent::ingest::{Assigned, Kind, Manifest, Manifests, ObjectId, Place, convert_live};
use policy::model::{Config, World};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde_json::Value;

pub use canonical::Canonical;
pub use enforced::{Enforced, LocalPod, Probe, flows, words};

/// The node that packets are looked at.
pub const NODE: &str = "lab";

/// Objects of a cluster, and a node agent's configuration. [`fmt::Debug`] shows both as YAML, which `bulkhead` reads.
#[derive(Clone, PartialEq)]
pub struct Cluster {
    pub objects: Vec<Value>,
    /// CONTRACT.md §2.
    pub config: Value,
    /// Namespaces that the agent has not heard of yet, though it knows pods in them.
    pub unheard: BTreeSet<String>,
}

impl Cluster {
    /// The world as the agent sees it: policies as they are watched, which may hold what nobody understands.
    ///
    /// # Panics
    /// Where ingest refuses an object that is no policy.
    #[must_use]
    pub fn world(&self) -> World {
        let (policies, others): (Vec<&Value>, Vec<&Value>) = self.objects.iter().partition(|object| is_policy(object));
        let others: Manifests = (1..).zip(others).map(manifest).collect::<Vec<Manifest>>().into();
        let loaded = others.world(&Assigned::default()).unwrap_or_else(|errors| panic!("{errors}\n{self:?}"));
        let mut world = loaded.world;
        world.namespaces.retain(|name, _| !self.unheard.contains(name));
        for policy in policies {
            let live = convert_live(kind(policy), policy.clone()).unwrap_or_else(|rejected| rejected.stand_in);
            live.expect("a policy that is not understood has a stand-in").put_into(&mut world);
        }
        world
    }

    /// # Panics
    /// Where an object has no name.
    #[must_use]
    pub fn manifests(&self) -> Manifests {
        let manifests: Vec<Manifest> = (1..).zip(&self.objects).map(manifest).collect();
        manifests.into()
    }

    /// # Panics
    /// Where the configuration is refused.
    #[must_use]
    pub fn config(&self) -> Config {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), self.config.to_string()).expect("to write it");
        agent::config::read(file.path()).expect("a configuration").policy
    }
}

fn kind(value: &Value) -> Kind {
    Kind::ALL.into_iter().find(|kind| value["kind"] == kind.name()).expect("a known kind")
}

fn is_policy(object: &Value) -> bool {
    matches!(kind(object), Kind::NetworkPolicy | Kind::ClusterNetworkPolicy)
}

fn manifest((document, value): (usize, &Value)) -> Manifest {
    let metadata = &value["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Manifest {
        id: ObjectId { kind: kind(value), namespace: text(&metadata["namespace"]), name: text(&metadata["name"]) },
        place: Place { file: "a random world".to_owned(), document, item: None },
        value: value.clone(),
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yaml = |value: &Value| serde_yaml_ng::to_string(value).unwrap_or_else(|error| error.to_string());
        writeln!(f, "# configuration\n{}# not heard of: {:?}", yaml(&self.config), self.unheard)?;
        self.objects.iter().try_for_each(|object| write!(f, "---\n{}", yaml(object)))
    }
}

/// Tries `test` on as many random values as the environment variable says, or else `otherwise`: how many that were.
///
/// # Panics
/// With the smallest value on which `test` fails.
pub fn check<S: Strategy>(
    variable: &str,
    otherwise: u32,
    values: &S,
    test: impl Fn(S::Value) -> TestCaseResult,
) -> u32 {
    let cases = std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number of random cases"));
    let config =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() };
    if let Err(failure) = TestRunner::new(config).run(values, test) {
        panic!("{failure}");
    }
    cases
}

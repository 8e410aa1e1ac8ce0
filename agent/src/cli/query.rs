//! Which flows are asked about, where all of them are meant.

use std::net::IpAddr;

use policy::ask::{FlowPort, MatrixQuery};

#[derive(Debug, clap::Args)]
pub struct QueryArgs {
    /// Port to ask about: tcp/80, udp/53, sctp/7777, icmp; may be repeated [default: every port that a container
    /// declares or a policy names, and one that none does]
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<FlowPort>,
    /// Address outside the cluster to ask about, as source and as destination; may be repeated
    #[arg(long = "external", value_name = "IP")]
    externals: Vec<IpAddr>,
    /// Only flows with a pod of this namespace at one end or both
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
}

impl QueryArgs {
    pub fn query(&self) -> MatrixQuery {
        let Self { ports, externals, namespace } = self;
        MatrixQuery { ports: ports.clone(), externals: externals.clone(), namespace: namespace.clone() }
    }
}

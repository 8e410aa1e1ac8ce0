//! Which cluster, and as whom: a kubeconfig or the pod's own service account.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::traffic::{Meter, Traffic};

/// A dead connection is given up after this long: the API server sends every watch a bookmark each minute.
const SILENCE: Duration = Duration::from_secs(150);

/// Where the cluster is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// A kubeconfig; `None`: those of `KUBECONFIG`, `~/.kube/config`, or the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; `None`: its current one.
    pub context: Option<String>,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    pub(super) traffic: Arc<Traffic>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads the configuration. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// No cluster is configured, or the configuration cannot be used.
    pub async fn new(access: &Access) -> anyhow::Result<Self> {
        let mut config = config(access).await?;
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        let builder = ClientBuilder::try_from(config).context("the kubeconfig cannot be used")?;
        let traffic = Arc::new(Traffic::new());
        Ok(Self { client: builder.with_layer(&Meter(Arc::clone(&traffic))).build(), traffic })
    }

    /// For what is asked besides the watched resources.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }
}

async fn config(access: &Access) -> anyhow::Result<Config> {
    const REMEDY: &str = "name a kubeconfig with --kubeconfig or KUBECONFIG, and a context in it with --context";
    if access == &Access::default() {
        return Config::infer().await.with_context(|| format!("no cluster is configured: {REMEDY}"));
    }
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let config = match &access.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("the kubeconfig {} cannot be read", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        None => Config::from_kubeconfig(&options).await,
    };
    config.with_context(|| format!("the kubeconfig cannot be used: {REMEDY}"))
}

//! What the tests on a real kernel share.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

pub mod agent_process;
pub mod api_server;
pub mod cluster;
pub mod copy;
pub mod counters;
pub mod crowd;
pub mod daemon;
pub mod datapath;
pub mod etcd;
pub mod following;
pub mod found;
pub mod frames;
pub mod host;
pub mod hostile;
pub mod inside;
pub mod kube_proxy;
pub mod lab;
pub mod live;
pub mod load;
pub mod measured;
pub mod netns;
pub mod oracle;
pub mod random;
pub mod scene;
pub mod told_api;
pub mod twin;
pub mod until;
pub mod wire;
pub mod witness;
pub mod yaml;

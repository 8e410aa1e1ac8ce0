//! Services on real veths, with the rewriting of a real node: each address that leads to a pod, called from a pod.
#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

mod after_dnat;
mod at_veth;
mod scene;

//! Two policies that nobody has put in an order.

use super::subject::{Subject, cluster_name_of, warning};
use super::{LintFinding, LintRule};

const NAME: &str = "priority-tie";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "ClusterNetworkPolicies of one tier with the same priority: the API leaves their order open, here the name decides.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let policies = subject.cluster_policies();
    let ties = policies.windows(2).filter(|pair| (pair[0].tier, pair[0].priority) == (pair[1].tier, pair[1].priority));
    ties.map(|pair| {
        let message = format!(
            "has the priority {} of {}, so their names decide which is asked first",
            pair[1].priority,
            cluster_name_of(pair[0])
        );
        warning(NAME, cluster_name_of(pair[1]), "spec.priority", message, "give each a priority of its own")
    })
    .collect()
}

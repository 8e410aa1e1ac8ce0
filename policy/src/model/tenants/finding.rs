//! What somebody should look at in the marks of tenancy.

use std::fmt;

use super::namespaces::ISOLATION_ANNOTATION;
use crate::model::told;

/// A text that nobody has checked, as a finding quotes it.
pub(super) fn quoted(text: &str) -> String {
    /// What Kubernetes allows for a name.
    const LONGEST: usize = 253;
    told(text, LONGEST).into_owned()
}

/// One sentence: the object, the field and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The annotation of an object (`tenant/NAME` or `namespace/NAME`) names no mode; it counts as `strict`.
    UnknownMode { object: String, value: String },
    /// A namespace in quarantine, and why.
    Quarantine { namespace: String, reason: QuarantineReason },
}

/// How a namespace's label and ownerReferences disagree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuarantineReason {
    LabelWithoutReference { tenant: String },
    ReferenceWithoutLabel { tenant: String },
    SeveralReferences { count: usize },
    OtherName { label: String, reference: String },
    NoSuchTenant { tenant: String },
    WrongUid { tenant: String },
    TenantWithoutUid { tenant: String },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownMode { object, value } => write!(
                f,
                "{object}: annotation {ISOLATION_ANNOTATION}: \"{value}\" names no mode and counts as strict; write \
                 off, audit, baseline or strict"
            ),
            Self::Quarantine { namespace, reason } => {
                write!(f, "namespace/{namespace}: in quarantine, because {reason}")
            }
        }
    }
}

impl fmt::Display for QuarantineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LabelWithoutReference { tenant } => {
                write!(
                    f,
                    "its label names the Tenant {tenant} but no ownerReference does; add the reference or remove the label"
                )
            }
            Self::ReferenceWithoutLabel { tenant } => {
                write!(
                    f,
                    "an ownerReference names the Tenant {tenant} but its label does not; add the label or remove the reference"
                )
            }
            Self::SeveralReferences { count } => {
                write!(f, "it has {count} ownerReferences to Tenants; leave the one of its tenant")
            }
            Self::OtherName { label, reference } => {
                write!(f, "its label names the Tenant {label} and its ownerReference {reference}; make both name one")
            }
            Self::NoSuchTenant { tenant } => {
                write!(f, "no Tenant has the name {tenant}; create it or remove label and ownerReference")
            }
            Self::WrongUid { tenant } => {
                write!(
                    f,
                    "its ownerReference has not the uid of the Tenant {tenant}; set it to the Tenant's metadata.uid"
                )
            }
            Self::TenantWithoutUid { tenant } => {
                write!(
                    f,
                    "its ownerReference names the Tenant {tenant}, which has no uid; give the Tenant one or remove the reference"
                )
            }
        }
    }
}

//! Cipher suites, groups, signatures and key schedules, on aws-lc-rs.

pub(crate) mod group;
pub(crate) mod prf;
pub(crate) mod schedule;
pub(crate) mod secret;
pub(crate) mod signature;
pub(crate) mod suite;

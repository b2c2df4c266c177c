//! The programs of the workspace that chores run.

use std::path::PathBuf;

use crate::step;

/// The programs that the end-to-end tests run.
const E2E: &[&str] = &["columba-server", "columba-e2e-peer", "columba-e2e-ice", "columba-e2e-dtls"];

/// The programs that attacks need.
const ATTACKS: &[&str] = &["columba-server", "columba-e2e-attacker"];

/// The profile that programs are built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Release,
    Debug,
}

impl Profile {
    /// The file of a program, from the folder of the project.
    pub(crate) fn program(self, name: &str) -> String {
        let folder = match self {
            Self::Release => "release",
            Self::Debug => "debug",
        };
        format!("target/{folder}/{name}")
    }

    /// The whole path of `columba`, beside which the end-to-end tests find the other programs.
    pub(crate) fn columba(self) -> PathBuf {
        step::top().join(self.program("columba"))
    }

    pub(crate) fn build_e2e(self) -> Result<(), String> {
        self.build(E2E)
    }

    pub(crate) fn build_attacks(self) -> Result<(), String> {
        self.build(ATTACKS)
    }

    fn build(self, packages: &[&str]) -> Result<(), String> {
        match self {
            Self::Release => {
                let named = packages.iter().flat_map(|package| ["--package", package]);
                step::run("cargo", &["build", "--release"].into_iter().chain(named).collect::<Vec<_>>())
            }
            // With the dependencies that the Rust tests have built: with others' features, which is
            // what a choice of packages would mean, all would be built again.
            Self::Debug => step::run("cargo", &["build", "--workspace", "--bins", "--tests"]),
        }
    }
}

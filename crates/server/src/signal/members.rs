//! Those whom this server has given TURN credentials, as long as they are members.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use columba_signal::PeerId;

/// The members that have TURN credentials of this server. Bounded by the memberships that the relay
/// allows.
///
/// The username of a credential is `expiry:PEER.RUN`. `RUN` names this run of the program, so that
/// credentials from elsewhere (another server or service with the same secret, or an earlier run)
/// are told apart: of their users it is not known whether they are still members, and they may
/// allocate until their credentials expire.
#[derive(Debug)]
pub(crate) struct Members {
    run: String,
    present: Mutex<BTreeSet<PeerId>>,
}

impl Members {
    /// No members yet.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn new() -> io::Result<Self> {
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let run = random.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Self { run, present: Mutex::default() })
    }

    /// A name for the credentials of a member, which is one from now on.
    pub(super) fn name(&self, peer: PeerId) -> String {
        self.present().insert(peer);
        format!("{peer}.{}", self.run)
    }

    /// The membership has ended.
    pub(super) fn forget(&self, peer: PeerId) {
        self.present().remove(&peer);
    }

    /// Returns whether the user with this name may make an allocation.
    pub(crate) fn admits(&self, username: &str) -> bool {
        let name = username.split_once(':').and_then(|(_, name)| name.split_once('.'));
        match name {
            Some((peer, run)) if run == self.run => {
                peer.parse().is_ok_and(|peer| self.present().contains(&peer))
            }
            _ => true,
        }
    }

    fn present(&self) -> MutexGuard<'_, BTreeSet<PeerId>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_may_allocate_until_they_leave() {
        let members = Members::new().unwrap();
        let peer: PeerId = "0123456789abcdef".parse().unwrap();
        let username = format!("1790000000:{}", members.name(peer));
        assert!(members.admits(&username));
        members.forget(peer);
        assert!(!members.admits(&username));
        members.name(peer);
        assert!(members.admits(&username), "it has come back");
    }

    #[test]
    fn users_of_others_are_not_known_and_may_allocate() {
        let (ours, other) = (Members::new().unwrap(), Members::new().unwrap());
        let peer: PeerId = "0123456789abcdef".parse().unwrap();
        for name in ["1790000000", "1790000000:ada", "1790000000:ada.lovelace"] {
            assert!(ours.admits(name), "{name}");
        }
        assert!(ours.admits(&format!("1790000000:{}", other.name(peer))));
    }
}

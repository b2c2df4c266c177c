//! The progress of gathering, and the candidate pool's.

use crate::event::{CandidateError, GatheringState};

/// Errors of a pool that are kept, at most: one for each server at some addresses.
pub(super) const MAX_ERRORS: usize = 64;

/// The progress of gathering.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) state: GatheringState,
    pub(super) pool: Pool,
}

/// The state of the pool.
#[derive(Debug)]
pub(super) enum Pool {
    /// Nothing was gathered yet.
    Untouched,
    /// Candidates are gathered and not announced yet. Errors are reported with them: at most
    /// [`MAX_ERRORS`], later ones are dropped.
    Filled(Vec<CandidateError>),
    /// Gathering was asked for: from now on candidates are announced at once.
    Announced,
}

impl Gathering {
    pub(super) fn new() -> Self {
        Self { state: GatheringState::New, pool: Pool::Untouched }
    }

    /// Returns whether candidates are gathered and not announced.
    pub(super) fn is_pooling(&self) -> bool {
        matches!(self.pool, Pool::Filled(_))
    }
}

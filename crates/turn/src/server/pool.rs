//! Two token buckets that an answer must fit both: one filled by time alone, one filled by a share
//! of what comes in.

/// The rates and bounds of a [`Pool`].
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolLimit {
    /// By time, in bytes a second.
    pub(super) bytes_per_second: u32,
    /// The most of that at once, in bytes.
    pub(super) burst: u32,
    /// The share of the bytes that come in, in percent.
    pub(super) share_percent: u32,
    /// The addition to that share by time, in bytes a second.
    pub(super) floor_bytes_per_second: u32,
    /// The most of the share at once, in bytes.
    pub(super) share_burst: u32,
}

/// The two buckets, in thousandths of a byte, so that a slow rate loses nothing to rounding in a
/// millisecond.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pool {
    /// Milliseconds since the start when it was last filled.
    at: u64,
    by_time: u64,
    by_share: u64,
}

impl Pool {
    pub(super) fn full(limit: &PoolLimit) -> Self {
        Self { at: 0, by_time: thousandths(limit.burst), by_share: thousandths(limit.share_burst) }
    }

    /// Fills both by the time that has passed.
    pub(super) fn refill(&mut self, ms: u64, limit: &PoolLimit) {
        let passed = ms.saturating_sub(self.at);
        if passed > 0 {
            let grown = |tokens: u64, rate: u32, burst: u32| {
                tokens.saturating_add(u64::from(rate).saturating_mul(passed)).min(thousandths(burst))
            };
            self.by_time = grown(self.by_time, limit.bytes_per_second, limit.burst);
            self.by_share = grown(self.by_share, limit.floor_bytes_per_second, limit.share_burst);
            self.at = ms;
        }
    }

    /// Fills the second one by the share of a message of `len` bytes.
    pub(super) fn add_share(&mut self, len: usize, limit: &PoolLimit) {
        let share = len as u64 * u64::from(limit.share_percent) * 10;
        self.by_share = (self.by_share + share).min(thousandths(limit.share_burst));
    }

    pub(super) fn has(&self, len: usize) -> bool {
        self.by_time.min(self.by_share) >= len as u64 * 1000
    }

    /// Takes an answer that fits.
    pub(super) fn take(&mut self, len: usize) {
        self.by_time = self.by_time.saturating_sub(len as u64 * 1000);
        self.by_share = self.by_share.saturating_sub(len as u64 * 1000);
    }

    /// The level of the emptier bucket, where `full` is a full one.
    pub(super) fn level(&self, full: u64, limit: &PoolLimit) -> u64 {
        let of = |tokens: u64, burst: u32| {
            let (tokens, burst) = (u128::from(tokens), u128::from(thousandths(burst)).max(1));
            (tokens * u128::from(full) / burst) as u64
        };
        of(self.by_time, limit.burst).min(of(self.by_share, limit.share_burst))
    }
}

fn thousandths(bytes: u32) -> u64 {
    u64::from(bytes) * 1000
}

//! The memory of a transfer.

use tikv_jemalloc_ctl::{Access as _, AsName as _};

/// Milliseconds after which memory that is free goes back to the system. Pieces come and go by a
/// gigabyte in a few seconds: the ten that are usual would keep all that any thread ever needed.
const DECAY: isize = 100;

/// Settings of the allocator: the arena that is there already, and those of threads to come.
const SETTINGS: [&[u8]; 2] = [b"arena.0.dirty_decay_ms\0", b"arenas.dirty_decay_ms\0"];

/// Keeps less of the memory that is free. To be called before threads are started.
pub(super) fn keep_less() {
    for setting in SETTINGS {
        if let Err(error) = setting.name().write(DECAY) {
            tracing::debug!(%error, "the allocator keeps free memory for longer");
        }
    }
}

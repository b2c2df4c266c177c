//! The claim of handles on their connection.

use std::sync::Arc;

use crate::shared::Shared;

/// Shared by all handles to a connection and to its data channels; closes the connection when the
/// last of them is dropped.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

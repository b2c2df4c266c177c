//! The bodies of the fuzz targets, over random bytes.

mod common;

#[path = "../../../fuzz/bodies/dtls.rs"]
mod bodies;

use proptest::prelude::*;

proptest! {
    #[test]
    fn anything_is_survived(data in prop::collection::vec(any::<u8>(), 0..600)) {
        bodies::records(&data, common::start());
        bodies::messages(&data, common::start());
        bodies::whole(&data, common::start());
    }
}

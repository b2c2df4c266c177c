//! Records of a connected association: no allocation for any, and little memory for all.

mod common;

use std::time::Duration;

use columba_dtls::Versions;
use common::{Pair, configs};

#[test]
fn records_are_sealed_and_opened_without_an_allocation() {
    for versions in [Versions::Only12, Versions::Only13] {
        let both = configs().map(|mut config| {
            config.versions = versions;
            config
        });
        let mut pair = Pair::new(both, 1);
        assert!(pair.connect(Duration::from_secs(1)));
        pair.assert_open();
        let (now, [client, server]) = (pair.now, &mut pair.sides);
        let mut buf = vec![7; 64 * 1300];
        let mut exchange = || {
            let records = client.seal_batch(&mut buf, 0, std::iter::repeat_n(1200, 50)).unwrap();
            let size = records.len() / 50;
            for datagram in buf[records].chunks_mut(size) {
                server.handle_input(now, datagram);
                assert_eq!(server.read(datagram).map(<[u8]>::len), Some(1200));
                assert_eq!(server.read(datagram), None);
            }
        };
        exchange();
        let info = allocation_counter::measure(exchange);
        assert_eq!(info.count_total, 0, "{versions:?}");
    }
}

#[test]
fn idle_association_takes_little_memory() {
    for versions in [Versions::Only12, Versions::Only13] {
        let both = configs().map(|mut config| {
            config.versions = versions;
            config
        });
        // At once, and when the last copies of the handshake are gone.
        for idle in [5, 300] {
            let mut pair = None;
            let info = allocation_counter::measure(|| {
                let mut made = Pair::new(both.clone(), 1);
                assert!(made.connect(Duration::from_secs(1)));
                made.assert_open();
                made.run(Duration::from_secs(idle));
                made.packets = [Vec::new(), Vec::new()];
                pair = Some(made);
            });
            let inline = size_of::<columba_dtls::Association>() as i64;
            let each = info.bytes_current / 2 + inline;
            println!("{versions:?}: {each} bytes after {idle} s");
            assert!(each <= 4096, "{versions:?}: {each} bytes each after {idle} s");
        }
    }
}

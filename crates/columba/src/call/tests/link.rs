//! The order of what one connection brings.

use columba_peer::{Configuration, DataChannelInit, SessionDescription};

use super::super::link::{Link, LinkEvent};
use super::super::options::CallMedia;
use super::soon;
use crate::Event;

/// Two links whose connection is made; the callee's events are not read yet.
async fn connect() -> (Link, Link) {
    let make =
        |is_polite| Link::new(Configuration::default(), None, &CallMedia::default(), is_polite).unwrap();
    let (mut caller, callee) = (make(false), make(true));
    let offer = caller.connection.set_local_description(None).await.unwrap();
    callee.connection.set_remote_description(offer).await.unwrap();
    let answer: SessionDescription = callee.connection.set_local_description(None).await.unwrap();
    caller.connection.set_remote_description(answer).await.unwrap();
    soon("the caller's own channel is open", async {
        loop {
            match caller.next().await {
                LinkEvent::DataOpen => return,
                LinkEvent::Event(Event::IceCandidate(Some(candidate))) => {
                    callee.connection.add_ice_candidate(candidate.init).await.unwrap();
                }
                _ => {}
            }
        }
    })
    .await;
    (caller, callee)
}

#[tokio::test]
async fn own_channel_is_open_before_others_arrive_and_before_its_messages() {
    for _ in 0..8 {
        let (caller, mut callee) = connect().await;
        soon("sending", caller.data.send("a text")).await.unwrap();
        let _other = caller.connection.create_data_channel("other", DataChannelInit::default()).unwrap();
        soon("both have arrived", async {
            while callee.connection.stats().data_channels_opened < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let mut order = Vec::new();
        while order.len() < 3 {
            match soon("an event", callee.next()).await {
                LinkEvent::DataOpen => order.push("open"),
                LinkEvent::Event(Event::DataChannel(_)) => order.push("other"),
                LinkEvent::Data(_) => order.push("text"),
                _ => {}
            }
        }
        assert_eq!(order[0], "open", "{order:?}");
    }
}

//! Two peer connections in one process.

use columba::{
    Configuration, DataChannel, DataChannelInit, Event, Events, Path, PeerConnection, PeerConnectionState,
};
use tokio::sync::mpsc;

use super::soon;

/// One side: the connection and its events. Its candidates go to the other side.
pub struct Side {
    pub connection: PeerConnection,
    pub events: mpsc::UnboundedReceiver<Event>,
}

impl Side {
    /// Waits until the connection has this state.
    pub async fn reaches(&mut self, state: PeerConnectionState) {
        loop {
            match soon("a state", self.events.recv()).await {
                Some(Event::ConnectionState(now)) if now == state => return,
                Some(_) => {}
                None => panic!("the events ended before {state:?}"),
            }
        }
    }

    /// Waits for a channel of the other side.
    pub async fn channel(&mut self) -> DataChannel {
        loop {
            match soon("a channel", self.events.recv()).await {
                Some(Event::DataChannel(channel)) => return channel,
                Some(_) => {}
                None => panic!("the events ended"),
            }
        }
    }
}

/// Gives one side's candidates to the other, and returns all of its events.
pub fn forward(mut from: Events, to: PeerConnection) -> mpsc::UnboundedReceiver<Event> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = from.recv().await {
            if let Event::IceCandidate(Some(candidate)) = &event {
                // The other side may be closed by now.
                let _ = to.add_ice_candidate(candidate.init.clone()).await;
            }
            let _ = sender.send(event);
        }
    });
    receiver
}

/// A caller with a channel, and a callee; descriptions are exchanged.
pub async fn pair() -> (Side, Side, DataChannel) {
    pair_of(Configuration::default()).await
}

pub async fn pair_of(configuration: Configuration) -> (Side, Side, DataChannel) {
    let (caller, caller_events) = PeerConnection::new(configuration.clone()).unwrap();
    let (callee, callee_events) = PeerConnection::new(configuration).unwrap();
    let channel = caller.create_data_channel("a channel", DataChannelInit::default()).unwrap();
    let offer = caller.set_local_description(None).await.unwrap();
    callee.set_remote_description(offer).await.unwrap();
    let answer = callee.set_local_description(None).await.unwrap();
    caller.set_remote_description(answer).await.unwrap();
    let caller_told = forward(caller_events, callee.clone());
    let callee_told = forward(callee_events, caller.clone());
    let caller = Side { connection: caller, events: caller_told };
    (caller, Side { connection: callee, events: callee_told }, channel)
}

/// The path of the selected pair.
pub fn selected_path(connection: &PeerConnection) -> Path {
    let ice = &connection.stats().transports[0].ice;
    let pair = ice.pairs.iter().find(|pair| Some(pair.id) == ice.transport.selected_pair).unwrap();
    pair.path.unwrap()
}

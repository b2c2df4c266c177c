//! The way of a command of media into a session of the call page.

use columba::call::{Call, CallEvents, CallMedia, CallOptions};
use columba::signaling::{SignalingChannel, SignalingOptions};

use crate::chat::link::{self, SessionLink};
use crate::chat::{failure, screen};
use crate::failure::Failure;

/// The session that a command enters.
pub(crate) struct Entrance<'a> {
    /// The link, as it was given.
    pub(crate) link: &'a str,
    /// The server's join key, if it was given.
    pub(crate) join_key: Option<&'a str>,
    /// Others are waited for if the session is empty.
    pub(crate) waits: bool,
    pub(crate) media: CallMedia,
}

impl Entrance<'_> {
    /// Enters the session.
    pub(crate) async fn enter(self) -> Result<(Call, CallEvents), Failure> {
        let link = SessionLink::parse(self.link)?;
        let url = link.signaling();
        let mut signaling = match &link.session {
            Some(session) => SignalingOptions::join(url, session.clone()),
            None => SignalingOptions::create(url),
        };
        signaling.join_key = match self.join_key.filter(|key| !key.is_empty()) {
            Some(key) => Some(link::join_key(key)?),
            None => link.key.clone(),
        };
        let (channel, events) = SignalingChannel::open(signaling).await.map_err(|error| failure(&error))?;
        match channel.session() {
            Some(session) if link.session.is_none() => {
                screen::note(&format!("This is a new session: {}", link.to(&session)));
            }
            _ if channel.peers().is_empty() && !self.waits => {
                channel.close().await;
                let hint = "check the link, or wait for others with --wait";
                return Err(Failure::new(format!("There is no such session, because it is empty; {hint}.")));
            }
            _ => {}
        }
        let options = CallOptions { media: self.media, ..CallOptions::default() };
        Call::over(channel, events, options).map_err(|error| failure(&error))
    }
}

/// Returns the runtime of a command.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("The system gives no threads ({error}).")))
}

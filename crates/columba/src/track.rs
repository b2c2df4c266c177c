//! Tracks and streams as objects: `MediaStreamTrack` and `MediaStream` (W3C Media Capture and
//! Streams §4), without the media itself.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use columba_peer::{Track, TrackKind};
use tokio::sync::Notify;

/// Events of a track or stream that wait at most; then the oldest is forgotten.
const MAX_EVENTS: usize = 64;

/// The number of objects that were named.
static NAMED: AtomicU64 = AtomicU64::new(0);

/// `MediaStreamTrackState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackState {
    /// Its source has media, or will have again.
    Live,
    /// For good.
    Ended,
}

/// An event of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackChange {
    /// `mute`: the source has no media for now.
    Mute,
    /// `unmute`: it has media again.
    Unmute,
    /// `ended`: the source has ended. [`MediaStreamTrack::stop`] fires none.
    Ended,
}

/// An event of a stream, by the other side's doing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StreamChange {
    /// `addtrack`.
    Added(MediaStreamTrack),
    /// `removetrack`.
    Removed(MediaStreamTrack),
}

/// A queue of events with those who wait for them.
#[derive(Debug)]
struct Changes<T> {
    waiting: Mutex<VecDeque<T>>,
    changed: Notify,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), changed: Notify::new() }
    }
}

impl<T> Changes<T> {
    fn push(&self, change: T) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() == MAX_EVENTS {
            waiting.pop_front();
        }
        waiting.push_back(change);
        drop(waiting);
        self.changed.notify_waiters();
    }

    fn pop(&self) -> Option<T> {
        lock(&self.waiting).pop_front()
    }

    async fn next(&self) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(change) = self.pop() {
                return change;
            }
            changed.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns an identifier that nothing else in this program has.
fn identifier(kind: &str) -> String {
    format!("{kind}-{}", NAMED.fetch_add(1, Ordering::Relaxed))
}

/// The source of tracks: a camera, a file, the other side. What it has to give goes out through
/// [`RtpSender::send_frame`](crate::RtpSender::send_frame); its tracks tell whether that is wanted.
#[derive(Debug)]
pub struct TrackSource {
    kind: TrackKind,
    label: String,
    state: Arc<Mutex<SourceState>>,
}

#[derive(Debug)]
struct SourceState {
    muted: bool,
    ended: bool,
    tracks: Vec<Weak<TrackInner>>,
}

/// A track: the W3C's `MediaStreamTrack`. Clones of the handle are the same track;
/// [`duplicate`](Self::duplicate) is the W3C's `clone`.
///
/// ```
/// use columba::{TrackChange, TrackKind, TrackSource, TrackState};
///
/// let camera = TrackSource::new(TrackKind::Video, "front camera");
/// let (track, second) = (camera.track(), camera.track().duplicate());
/// second.set_enabled(false);
/// assert!(track.is_enabled() && track.id() != second.id());
///
/// camera.set_muted(true);
/// camera.set_muted(true);
/// assert_eq!((track.try_next_change(), track.try_next_change()), (Some(TrackChange::Mute), None));
///
/// track.stop();
/// assert_eq!((track.ready_state(), second.ready_state()), (TrackState::Ended, TrackState::Live));
/// assert!(!camera.is_enabled(), "the one that is live is disabled");
/// ```
#[derive(Clone, Debug)]
pub struct MediaStreamTrack {
    inner: Arc<TrackInner>,
}

#[derive(Debug)]
struct TrackInner {
    id: String,
    kind: TrackKind,
    label: String,
    enabled: AtomicBool,
    ended: AtomicBool,
    source: Arc<Mutex<SourceState>>,
    changes: Changes<TrackChange>,
}

impl TrackSource {
    /// Creates a source; `label` is the name that its tracks have.
    #[must_use]
    pub fn new(kind: TrackKind, label: impl Into<String>) -> Self {
        let state = SourceState { muted: false, ended: false, tracks: Vec::new() };
        Self { kind, label: label.into(), state: Arc::new(Mutex::new(state)) }
    }

    /// Returns a new track of it.
    #[must_use]
    pub fn track(&self) -> MediaStreamTrack {
        self.named(identifier(self.kind.as_str()))
    }

    pub(crate) fn named(&self, id: String) -> MediaStreamTrack {
        MediaStreamTrack::of(id, self.kind, self.label.clone(), true, &self.state)
    }

    /// Mutes its tracks, or no longer: `mute` and `unmute`, if they were not so already. The source
    /// gives silence and blackness meanwhile, or nothing.
    pub fn set_muted(&self, muted: bool) {
        let mut state = lock(&self.state);
        if std::mem::replace(&mut state.muted, muted) != muted {
            let change = if muted { TrackChange::Mute } else { TrackChange::Unmute };
            state.for_each_live(|track| track.changes.push(change));
        }
    }

    /// Ends it: its tracks end, with `ended`.
    pub fn end(&self) {
        let mut state = lock(&self.state);
        if !std::mem::replace(&mut state.ended, true) {
            state.for_each_live(|track| {
                track.ended.store(true, Ordering::Relaxed);
                track.changes.push(TrackChange::Ended);
            });
        }
    }

    /// Returns whether a track of it is live and enabled: else its content is not to be
    /// sent, but silence and blackness.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        let mut enabled = false;
        lock(&self.state).for_each_live(|track| enabled |= track.enabled.load(Ordering::Relaxed));
        enabled
    }

    /// Returns whether a track of it is live: a source without one is to be stopped.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let mut live = false;
        lock(&self.state).for_each_live(|_| live = true);
        live
    }
}

impl SourceState {
    fn for_each_live(&mut self, mut act: impl FnMut(&TrackInner)) {
        self.tracks.retain(|track| match track.upgrade() {
            Some(track) => {
                if !track.ended.load(Ordering::Relaxed) {
                    act(&track);
                }
                true
            }
            None => false,
        });
    }
}

impl MediaStreamTrack {
    fn of(
        id: String,
        kind: TrackKind,
        label: String,
        enabled: bool,
        source: &Arc<Mutex<SourceState>>,
    ) -> Self {
        let mut state = lock(source);
        let inner = Arc::new(TrackInner {
            id,
            kind,
            label,
            enabled: AtomicBool::new(enabled),
            ended: AtomicBool::new(state.ended),
            source: Arc::clone(source),
            changes: Changes::default(),
        });
        state.tracks.retain(|track| track.strong_count() > 0);
        state.tracks.push(Arc::downgrade(&inner));
        drop(state);
        Self { inner }
    }

    /// `id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// `kind`.
    #[must_use]
    pub fn kind(&self) -> TrackKind {
        self.inner.kind
    }

    /// `label`: the name of its source.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.inner.label
    }

    /// `enabled`: false while the application wants silence or blackness of it.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.enabled.load(Ordering::Relaxed)
    }

    /// Sets `enabled`. The source is the one to act by it.
    pub fn set_enabled(&self, enabled: bool) {
        self.inner.enabled.store(enabled, Ordering::Relaxed);
    }

    /// `muted`: the source has no media for now.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        lock(&self.inner.source).muted
    }

    /// `readyState`.
    #[must_use]
    pub fn ready_state(&self) -> TrackState {
        if self.inner.ended.load(Ordering::Relaxed) { TrackState::Ended } else { TrackState::Live }
    }

    /// The W3C's `clone`: another track of the same source, with another identifier, enabled as
    /// this one is, and ended if it has.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let TrackInner { kind, label, source, .. } = &*self.inner;
        let id = identifier(kind.as_str());
        let track = Self::of(id, *kind, label.clone(), self.is_enabled(), source);
        if self.ready_state() == TrackState::Ended {
            track.stop();
        }
        track
    }

    /// `stop`: it ends, without an event. The source goes on for its other tracks.
    pub fn stop(&self) {
        self.inner.ended.store(true, Ordering::Relaxed);
    }

    /// Waits for the next event.
    pub async fn next_change(&self) -> TrackChange {
        self.inner.changes.next().await
    }

    /// Returns the next event, if one waits.
    #[must_use]
    pub fn try_next_change(&self) -> Option<TrackChange> {
        self.inner.changes.pop()
    }
}

impl PartialEq for MediaStreamTrack {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for MediaStreamTrack {}

impl From<&MediaStreamTrack> for Track {
    fn from(track: &MediaStreamTrack) -> Self {
        Self { id: track.id().to_owned(), kind: track.kind() }
    }
}

impl From<MediaStreamTrack> for Track {
    fn from(track: MediaStreamTrack) -> Self {
        Self::from(&track)
    }
}

/// A stream: the W3C's `MediaStream`, a set of tracks that belong together. Clones of the handle
/// are the same stream; [`duplicate`](Self::duplicate) is the W3C's `clone`.
#[derive(Clone, Debug)]
pub struct MediaStream {
    inner: Arc<StreamInner>,
}

#[derive(Debug)]
struct StreamInner {
    id: String,
    tracks: Mutex<Vec<MediaStreamTrack>>,
    changes: Changes<StreamChange>,
}

impl MediaStream {
    /// Creates a stream of tracks.
    #[must_use]
    pub fn new(tracks: impl IntoIterator<Item = MediaStreamTrack>) -> Self {
        let stream = Self::named(identifier("stream"));
        tracks.into_iter().for_each(|track| stream.add_track(track));
        stream
    }

    fn named(id: String) -> Self {
        let inner = StreamInner { id, tracks: Mutex::default(), changes: Changes::default() };
        Self { inner: Arc::new(inner) }
    }

    /// `id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// `active`: a track of it is live.
    #[must_use]
    pub fn is_active(&self) -> bool {
        lock(&self.inner.tracks).iter().any(|track| track.ready_state() == TrackState::Live)
    }

    /// `getTracks`.
    #[must_use]
    pub fn tracks(&self) -> Vec<MediaStreamTrack> {
        lock(&self.inner.tracks).clone()
    }

    /// `getAudioTracks` and `getVideoTracks`.
    #[must_use]
    pub fn tracks_of(&self, kind: TrackKind) -> Vec<MediaStreamTrack> {
        lock(&self.inner.tracks).iter().filter(|track| track.kind() == kind).cloned().collect()
    }

    /// `getTrackById`.
    #[must_use]
    pub fn track_by_id(&self, id: &str) -> Option<MediaStreamTrack> {
        lock(&self.inner.tracks).iter().find(|track| track.id() == id).cloned()
    }

    /// `addTrack`: fires no event.
    pub fn add_track(&self, track: MediaStreamTrack) {
        let mut tracks = lock(&self.inner.tracks);
        if !tracks.contains(&track) {
            tracks.push(track);
        }
    }

    /// `removeTrack`: fires no event.
    pub fn remove_track(&self, track: &MediaStreamTrack) {
        lock(&self.inner.tracks).retain(|one| one != track);
    }

    /// The W3C's `clone`: another stream, of clones of the tracks.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::new(self.tracks().iter().map(MediaStreamTrack::duplicate))
    }

    /// Waits for the next event: the other side adds tracks and removes them.
    pub async fn next_change(&self) -> StreamChange {
        self.inner.changes.next().await
    }

    /// Returns the next event, if one waits.
    #[must_use]
    pub fn try_next_change(&self) -> Option<StreamChange> {
        self.inner.changes.pop()
    }
}

impl PartialEq for MediaStream {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for MediaStream {}

/// The tracks and streams of the other side's, as the events of the peer have them.
#[derive(Debug, Default)]
pub(crate) struct RemoteMedia {
    tracks: Vec<(columba_peer::TransceiverId, TrackSource, MediaStreamTrack)>,
    streams: Vec<MediaStream>,
}

impl RemoteMedia {
    /// Takes an event of the peer over, before the application is told of it.
    pub(crate) fn handle(&mut self, event: &columba_peer::Event) {
        use columba_peer::Event;
        match event {
            Event::Track { transceiver, track, streams } => {
                let object = self.track(*transceiver, track, true);
                for id in streams {
                    let stream = self.stream(id);
                    if !stream.tracks().contains(&object) {
                        stream.add_track(object.clone());
                        stream.inner.changes.push(StreamChange::Added(object.clone()));
                    }
                }
            }
            Event::TrackMuted(id, _) => self.with_source(*id, |source| source.set_muted(true)),
            Event::TrackUnmuted(id, _) => self.with_source(*id, |source| source.set_muted(false)),
            Event::TrackEnded(id, _) => {
                self.with_source(*id, TrackSource::end);
                self.tracks.retain(|(one, ..)| one != id);
            }
            Event::TrackRemoved(id, _, stream) => {
                let found = self.tracks.iter().find(|(one, ..)| one == id);
                let stream = self.streams.iter().find(|one| one.id() == stream);
                if let (Some((_, _, track)), Some(stream)) = (found, stream) {
                    stream.remove_track(track);
                    stream.inner.changes.push(StreamChange::Removed(track.clone()));
                }
                self.streams.retain(|stream| !lock(&stream.inner.tracks).is_empty());
            }
            _ => {}
        }
    }

    /// Returns the object of a receiver's track, which is muted until its first packet comes.
    pub(crate) fn track(
        &mut self,
        id: columba_peer::TransceiverId,
        track: &Track,
        muted: bool,
    ) -> MediaStreamTrack {
        if let Some((_, _, known)) = self.tracks.iter().find(|(one, ..)| *one == id) {
            return known.clone();
        }
        let source = TrackSource::new(track.kind, format!("remote {}", track.kind));
        source.set_muted(muted);
        let object = source.named(track.id.clone());
        self.tracks.push((id, source, object.clone()));
        object
    }

    /// Returns the object of a stream.
    pub(crate) fn stream(&mut self, id: &str) -> MediaStream {
        if let Some(known) = self.streams.iter().find(|stream| stream.id() == id) {
            return known.clone();
        }
        let stream = MediaStream::named(id.to_owned());
        self.streams.push(stream.clone());
        stream
    }

    /// Ends all: the connection is closed.
    pub(crate) fn end(&mut self) {
        for (_, source, track) in self.tracks.drain(..) {
            // W3C `close` ends tracks, and fires no events.
            track.stop();
            drop(source);
        }
        self.streams.clear();
    }

    fn with_source(&self, id: columba_peer::TransceiverId, act: impl FnOnce(&TrackSource)) {
        if let Some((_, source, _)) = self.tracks.iter().find(|(one, ..)| *one == id) {
            act(source);
        }
    }
}

//! The estimate of a path, and the allowance of those who send on it.

use std::time::{Duration, Instant};

use columba_rtp::congestion::{
    ArrivalClock, ArrivalRecorder, Class, CongestionRecorder, DelayEstimator, Estimator, EstimatorLimits,
    FlowPriority, Pacer, PacketResult, SentPackets,
};
use columba_rtp::rtcp::{CompoundWriter, CongestionControlFeedback, TransportFeedback};
use columba_rtp::{SequenceNumber, Ssrc};
use columba_sctp::{Budget, Fates};

use crate::data::Priority;

/// The estimate to begin with, in bits per second.
const START: u64 = 1_000_000;

/// The rate where the other side tells of no arrivals.
const UNKNOWN: u64 = 5_000_000;

/// The round trip before it is measured.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);

/// The time until the path is tried first, between two tries, and that one takes.
const FIRST_PROBE: Duration = Duration::from_secs(2);
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const PROBE_LASTS: Duration = Duration::from_millis(600);

/// The part of the estimate from which it shows by itself what the path carries.
const USED: f64 = 0.7;

/// The time between two transport-wide reports of this side's.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);

/// The time for which data keeps to its share after the last packet of media: on a path without
/// media SCTP's controller, which does not wait for the delay to tell, is the better one.
const MEDIA_LASTS: Duration = Duration::from_secs(2);

/// The time for which media leaves room for data that has waited.
const DATA_LASTS: Duration = Duration::from_secs(1);

/// The time that pictures may wait for the path before data lets them go first, and the one from
/// which it does no longer.
const BEHIND: Duration = Duration::from_millis(40);
const HOPELESS: Duration = Duration::from_secs(1);

/// The part of their share that pictures are told beside data: the rest is for headers, and for
/// catching up.
const HEADROOM: f64 = 0.93;

/// Bytes that the record of DTLS adds to a packet of data.
const RECORD: usize = 37;

/// A path, as all that leaves on it sees it.
#[derive(Debug)]
pub(super) struct MediaPath {
    /// Made with the first packet that is numbered.
    sent: Option<Box<SentPackets>>,
    estimator: DelayEstimator,
    pub(super) pacer: Pacer,
    /// Made with the first number that arrives.
    arrivals: Option<Box<ArrivalRecorder>>,
    /// The same for numbers of streams (RFC 8888).
    stream_arrivals: Option<Box<CongestionRecorder>>,
    /// The bits per second that are wanted, and whether pictures are sent at all.
    wanted: (u64, bool),
    /// The time until which the path is tried, and the one from which it is again.
    probing_until: Option<Instant>,
    next_probe: Instant,
    epoch: Instant,
    next_feedback: Option<Instant>,
    pub(super) round_trip: Duration,
    /// The receiver's estimate (REMB), where it makes one.
    pub(super) remb: Option<u64>,
    /// The other side tells of arrivals.
    is_told: bool,
    last_media: Option<Instant>,
    /// The priority of the data that waited last, and when.
    data: Option<(FlowPriority, Instant)>,
    /// Reports of RFC 8888, sent and received.
    pub(super) ccfb_messages: [u64; 2],
    /// The sum of the weights of the pictures that are sent.
    pictures: f64,
    /// The class of the data that waits now, which may be a lower one.
    turn: Option<Class>,
}

/// The share of data in what a path carries; `None` where nothing limits it.
#[derive(Debug, Default)]
pub(crate) struct DataBudget<'a> {
    path: Option<(&'a mut MediaPath, Class)>,
    is_refused: bool,
}

impl DataBudget<'_> {
    /// Gives its turn up, if something else has held data back. Returns whether it had one.
    pub(crate) fn forgoes(self) -> bool {
        let Some((path, class)) = self.path.filter(|_| !self.is_refused) else { return false };
        let had = path.pacer.next_class() == Some(class);
        path.pacer.set_waiting(class, false);
        had
    }
}

impl Budget for DataBudget<'_> {
    fn available(&mut self, now: Instant) -> usize {
        let Some((path, class)) = &mut self.path else { return usize::MAX };
        let available = path.pacer.available(now, *class);
        self.is_refused = available == 0;
        available
    }

    fn consumed(&mut self, now: Instant, bytes: usize) {
        if let Some((path, class)) = &mut self.path {
            path.pacer.sent(now, *class, bytes + RECORD);
        }
    }

    fn next_opening(&self, now: Instant) -> Option<Instant> {
        self.path.as_ref().and_then(|(path, class)| path.pacer.next_opening(now, *class))
    }
}

/// Returns a priority as the pacer knows it.
pub(super) const fn flow_priority(priority: Priority) -> FlowPriority {
    match priority {
        Priority::VeryLow => FlowPriority::VeryLow,
        Priority::Low => FlowPriority::Low,
        Priority::Medium => FlowPriority::Medium,
        Priority::High => FlowPriority::High,
    }
}

impl MediaPath {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sent: None,
            estimator: DelayEstimator::new(EstimatorLimits { start: START, ..EstimatorLimits::default() }),
            pacer: Pacer::new(now, UNKNOWN),
            arrivals: None,
            stream_arrivals: None,
            wanted: (0, false),
            probing_until: None,
            next_probe: now + FIRST_PROBE,
            epoch: now,
            next_feedback: None,
            round_trip: FIRST_ROUND_TRIP,
            remb: None,
            is_told: false,
            last_media: None,
            data: None,
            ccfb_messages: [0; 2],
            pictures: 0.0,
            turn: None,
        }
    }

    /// Sets whether it is agreed that the other side tells of arrivals.
    pub(super) fn set_told(&mut self, now: Instant, is_told: bool) {
        self.is_told = is_told;
        self.update(now);
    }

    /// Returns the bits per second that may be sent.
    pub(super) fn bits_per_second(&self) -> u64 {
        if self.is_told { self.estimator.bits_per_second() } else { self.remb.unwrap_or(UNKNOWN) }
    }

    /// Returns the estimate, where the other side tells of arrivals, and media runs.
    pub(super) fn available(&self) -> Option<u64> {
        (self.is_told && self.last_media.is_some()).then(|| self.estimator.bits_per_second())
    }

    /// Returns whether the allowance counts for data, too: media shares the path, and the model
    /// knows what it carries.
    fn limits_data(&self, now: Instant) -> bool {
        self.is_told && self.last_media.is_some_and(|at| now.saturating_duration_since(at) < MEDIA_LASTS)
    }

    /// Says whether data waits, and of which priority, and the bytes of pictures that wait.
    pub(super) fn note_data(&mut self, now: Instant, waiting: Option<Priority>, pictures: usize) {
        let waiting = waiting.filter(|_| self.limits_data(now)).map(flow_priority);
        self.data = waiting.map(|priority| (priority, now)).or(self.data);
        // Where pictures have fallen behind, data lets them catch up. An encoder that does not keep
        // to its rate never would.
        let behind = pictures as f64 * 8.0 / self.bits_per_second().max(1) as f64;
        let lets_go = (BEHIND.as_secs_f64()..HOPELESS.as_secs_f64()).contains(&behind);
        let turn = waiting.map(|one| if lets_go { Class::Probe } else { Class::Data(one) });
        if let Some(other) = self.turn.filter(|other| Some(*other) != turn) {
            self.pacer.set_waiting(other, false);
        }
        if let Some(class) = turn {
            self.pacer.set_waiting(class, true);
        }
        self.turn = turn;
    }

    /// Takes the weights of the pictures that are sent, of each priority.
    pub(super) fn set_weights(&mut self, weights: [(FlowPriority, f64); 4]) {
        self.pictures = weights.iter().map(|(_, weight)| weight).sum();
        for (priority, weight) in weights {
            self.pacer.set_video_weight(priority, weight);
        }
    }

    /// Returns the budget of data.
    pub(super) fn data_budget(&mut self) -> DataBudget<'_> {
        let class = self.turn;
        DataBudget { path: class.map(|class| (self, class)), is_refused: false }
    }

    /// The fates of data are known.
    pub(super) fn handle_fates(&mut self, now: Instant, fates: &Fates) {
        let Some(sent) = fates.newest else { return };
        let arrival = now.saturating_duration_since(self.epoch);
        let result = |bytes, arrival| PacketResult { sent, bytes, arrival, marked: false };
        let results = [result(fates.acknowledged, Some(arrival)), result(fates.lost, None)];
        let told = if fates.lost > 0 { &results[..] } else { &results[..1] };
        self.estimator.handle_feedback(now, ArrivalClock::Acknowledgement, told);
        self.update(now);
    }

    /// Returns the bits per second that pictures may have beside data that waits.
    pub(super) fn bits_beside_data(&self, now: Instant) -> u64 {
        let rate = self.bits_per_second();
        let waited = |at| now.saturating_duration_since(at) < DATA_LASTS;
        match self.data.filter(|(_, at)| waited(*at)) {
            Some((priority, _)) => {
                let share = 1.0 - Pacer::share_of_data(priority, self.pictures);
                (rate as f64 * HEADROOM * share) as u64
            }
            None => rate,
        }
    }

    /// Gives the estimate to the pacer.
    pub(super) fn update(&mut self, now: Instant) {
        let rate = self.bits_per_second();
        self.pacer.set_rate(now, rate);
    }

    /// Returns the number of the next packet that is numbered.
    pub(super) fn next_number(&mut self) -> SequenceNumber {
        self.sent.get_or_insert_default().next_number()
    }

    /// A packet has left; `number` if it is numbered.
    pub(super) fn handle_sent(
        &mut self,
        now: Instant,
        stream: (Ssrc, SequenceNumber),
        bytes: usize,
        is_numbered: bool,
    ) {
        self.last_media = Some(now);
        if is_numbered {
            self.sent.get_or_insert_default().handle_sent(now, stream.0, stream.1, bytes);
            self.estimator.handle_sent(now, bytes);
        }
    }

    pub(super) fn handle_feedback(&mut self, now: Instant, feedback: &TransportFeedback<'_>) {
        let Some(sent) = &mut self.sent else { return };
        let results = sent.handle_transport_feedback(feedback);
        self.estimator.handle_feedback(now, ArrivalClock::Receiver, results);
        self.update(now);
    }

    pub(super) fn handle_congestion_feedback(
        &mut self,
        now: Instant,
        feedback: &CongestionControlFeedback<'_>,
    ) {
        self.ccfb_messages[1] += 1;
        let Some(sent) = &mut self.sent else { return };
        let results = sent.handle_congestion_feedback(feedback);
        self.estimator.handle_feedback(now, ArrivalClock::Receiver, results);
        self.update(now);
    }

    /// Takes the bits per second that are wanted, and whether pictures are sent.
    pub(super) const fn want(&mut self, bits_per_second: u64, has_pictures: bool) {
        self.wanted = (bits_per_second, has_pictures);
    }

    /// Returns whether packets are to be sent that only try the path.
    pub(super) fn is_probing(&self, now: Instant) -> bool {
        self.probing_until.is_some_and(|until| now < until)
    }

    pub(super) fn end_probe(&mut self) {
        self.probing_until = None;
        self.pacer.set_waiting(Class::Probe, false);
    }

    /// Tries the path, if more is wanted than it is known to carry, and too little is sent for it
    /// to show.
    fn begin_probe(&mut self, now: Instant) {
        self.next_probe = now + PROBE_INTERVAL;
        let rate = self.estimator.bits_per_second();
        let (wanted, has_pictures) = self.wanted;
        let is_idle = self.last_media.is_none_or(|at| now.saturating_duration_since(at) > MEDIA_LASTS);
        let is_used = self.estimator.used_bits_per_second(now) as f64 > USED * rate as f64;
        if self.is_told && has_pictures && !is_idle && !is_used && rate < wanted {
            self.probing_until = Some(now + PROBE_LASTS);
            self.pacer.set_waiting(Class::Probe, true);
        }
    }

    pub(super) fn handle_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
        self.estimator.handle_round_trip(round_trip);
    }

    pub(super) fn handle_path_change(&mut self, now: Instant) {
        self.estimator.handle_path_change(now);
        self.update(now);
    }

    /// Takes the transport-wide number of a packet that has arrived.
    pub(super) fn handle_arrival(&mut self, received_at: Instant, number: SequenceNumber) {
        let epoch = self.epoch;
        let arrivals = self.arrivals.get_or_insert_with(|| Box::new(ArrivalRecorder::new(epoch)));
        arrivals.handle_packet(received_at, number);
        self.next_feedback.get_or_insert(received_at + FEEDBACK_INTERVAL);
    }

    /// Takes the number of a stream's packet that has arrived.
    pub(super) fn handle_stream_arrival(&mut self, received_at: Instant, ssrc: Ssrc, number: SequenceNumber) {
        let epoch = self.epoch;
        let arrivals = self.stream_arrivals.get_or_insert_with(|| Box::new(CongestionRecorder::new(epoch)));
        arrivals.handle_packet(received_at, ssrc, number, 0);
        self.next_feedback.get_or_insert(received_at + FEEDBACK_INTERVAL);
    }

    /// Returns true if a report on arrivals is to be sent now.
    pub(super) fn has_feedback(&self, now: Instant) -> bool {
        self.next_feedback.is_some_and(|at| at <= now)
    }

    /// Writes a report on arrivals; false if there is no more to report.
    pub(super) fn write_feedback(
        &mut self,
        now: Instant,
        writer: &mut CompoundWriter<'_>,
        sender: Ssrc,
        media: Ssrc,
    ) -> bool {
        let wide =
            self.arrivals.as_mut().is_some_and(|arrivals| arrivals.write_feedback(writer, sender, media));
        let streams = self.stream_arrivals.as_mut().filter(|_| !wide);
        let is_of_streams = streams.is_some_and(|one| one.write_feedback(now, writer, sender));
        self.ccfb_messages[0] += u64::from(is_of_streams);
        let written = wide || is_of_streams;
        if !written {
            self.next_feedback = None;
        }
        written
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.estimator.poll_timeout().is_some_and(|at| at <= now) {
            self.estimator.handle_timeout(now);
            self.update(now);
        }
        if self.probing_until.is_some_and(|until| until <= now) {
            self.end_probe();
        }
        if self.next_probe <= now {
            self.begin_probe(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let estimator = self.estimator.poll_timeout().filter(|_| self.is_told);
        let probe = Some(self.next_probe).filter(|_| self.is_told && self.wanted.1);
        [estimator, self.next_feedback, self.probing_until, probe].into_iter().flatten().min()
    }
}

//! Opus and telephone events.

use std::fmt::Write;

use super::{FormatParameters, Writer, flag, numeric};
use crate::attributes::Fmtp;
use crate::error::Expected;
use crate::scan::number;

/// Hertz of the highest sampling rate of Opus, and the default of both rates.
const OPUS_RATE: u32 = 48_000;

/// The events that a receiver without parameters takes: the keys of a telephone (RFC 4733 §2.4.1).
const DEFAULT_EVENTS: (u8, u8) = (0, 15);

/// The parameters of Opus (RFC 7587 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusParameters {
    /// `maxplaybackrate`: the highest sampling rate that the receiver can play, in hertz. Default
    /// 48,000.
    pub max_playback_rate: u32,
    /// `sprop-maxcapturerate`: the highest sampling rate that the sender has, in hertz. Default
    /// 48,000.
    pub max_capture_rate: u32,
    /// `minptime`: the shortest length of a packet that the receiver takes, in milliseconds.
    pub min_ptime: Option<u32>,
    /// `maxaveragebitrate`: the highest average bitrate that the receiver takes, in bits per
    /// second.
    pub max_average_bitrate: Option<u32>,
    /// `stereo`: the receiver prefers stereo.
    pub stereo: bool,
    /// `sprop-stereo`: the sender is likely to send stereo.
    pub sends_stereo: bool,
    /// `cbr`: the receiver prefers a constant bitrate.
    pub cbr: bool,
    /// `useinbandfec`: the receiver can use forward error correction inside of Opus.
    pub use_in_band_fec: bool,
    /// `usedtx`: the receiver prefers that nothing is sent during silence.
    pub use_dtx: bool,
}

impl Default for OpusParameters {
    fn default() -> Self {
        Self {
            max_playback_rate: OPUS_RATE,
            max_capture_rate: OPUS_RATE,
            min_ptime: None,
            max_average_bitrate: None,
            stereo: false,
            sends_stereo: false,
            cbr: false,
            use_in_band_fec: false,
            use_dtx: false,
        }
    }
}

impl FormatParameters for OpusParameters {
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected> {
        let rate = |name| Ok(numeric(fmtp, name, "a sampling rate in hertz")?.unwrap_or(OPUS_RATE));
        Ok(Self {
            max_playback_rate: rate("maxplaybackrate")?,
            max_capture_rate: rate("sprop-maxcapturerate")?,
            min_ptime: numeric(fmtp, "minptime", "milliseconds")?,
            max_average_bitrate: numeric(fmtp, "maxaveragebitrate", "bits per second")?,
            stereo: flag(fmtp, "stereo", "stereo to be 0 or 1")?,
            sends_stereo: flag(fmtp, "sprop-stereo", "sprop-stereo to be 0 or 1")?,
            cbr: flag(fmtp, "cbr", "cbr to be 0 or 1")?,
            use_in_band_fec: flag(fmtp, "useinbandfec", "useinbandfec to be 0 or 1")?,
            use_dtx: flag(fmtp, "usedtx", "usedtx to be 0 or 1")?,
        })
    }

    fn parameters(&self) -> String {
        let mut out = Writer::default();
        let other = |rate: u32| (rate != OPUS_RATE).then_some(rate);
        out.add_some("minptime", self.min_ptime);
        out.add_flag("useinbandfec", self.use_in_band_fec);
        out.add_flag("usedtx", self.use_dtx);
        out.add_flag("stereo", self.stereo);
        out.add_flag("sprop-stereo", self.sends_stereo);
        out.add_flag("cbr", self.cbr);
        out.add_some("maxaveragebitrate", self.max_average_bitrate);
        out.add_some("maxplaybackrate", other(self.max_playback_rate));
        out.add_some("sprop-maxcapturerate", other(self.max_capture_rate));
        out.0
    }
}

/// The parameters of `telephone-event` (RFC 4733 §2.4.1): the events that the receiver takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelephoneEventParameters {
    /// Ranges of events, first and last; both are the same for a single event.
    pub events: Vec<(u8, u8)>,
}

impl Default for TelephoneEventParameters {
    fn default() -> Self {
        Self { events: vec![DEFAULT_EVENTS] }
    }
}

impl TelephoneEventParameters {
    /// Returns whether the receiver takes an event.
    pub fn includes(&self, event: u8) -> bool {
        self.events.iter().any(|(first, last)| (*first..=*last).contains(&event))
    }
}

impl FormatParameters for TelephoneEventParameters {
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected> {
        let Some((list, _)) = fmtp.and_then(|fmtp| fmtp.iter().next()) else { return Ok(Self::default()) };
        let range = |text: &str| {
            let text = text.trim_ascii();
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = (number::<u8>(first)?, number::<u8>(last)?);
            (range.0 <= range.1).then_some(range)
        };
        let events: Option<Vec<_>> = list.split(',').map(range).collect();
        events.map(|events| Self { events }).ok_or(Expected("events from 0 to 255, and ranges of them"))
    }

    fn parameters(&self) -> String {
        let mut out = String::new();
        for (first, last) in &self.events {
            let separator = if out.is_empty() { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = match first == last {
                true => write!(out, "{separator}{first}"),
                false => write!(out, "{separator}{first}-{last}"),
            };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fmtp(parameters: &str) -> Fmtp {
        Fmtp { format: "111".to_owned(), parameters: parameters.to_owned() }
    }

    /// The example of RFC 7587 §7.
    #[test]
    fn opus_of_the_rfc() {
        let text = "maxplaybackrate=16000; sprop-maxcapturerate=16000;maxaveragebitrate=20000; stereo=1; useinbandfec=1; usedtx=0";
        let opus = OpusParameters::read(Some(&fmtp(text))).unwrap();
        assert_eq!((opus.max_playback_rate, opus.max_capture_rate), (16_000, 16_000));
        assert_eq!(opus.max_average_bitrate, Some(20_000));
        assert!(opus.stereo && opus.use_in_band_fec && !opus.use_dtx && !opus.cbr);
        assert_eq!(OpusParameters::read(opus.to_fmtp(111).as_ref()), Ok(opus));
    }

    #[test]
    fn opus_of_browsers_and_without_parameters() {
        let chromium = fmtp("minptime=10;useinbandfec=1");
        let opus = OpusParameters::read(Some(&chromium)).unwrap();
        assert_eq!((opus.min_ptime, opus.use_in_band_fec), (Some(10), true));
        assert_eq!(opus.to_fmtp(111), Some(chromium));
        let plain = OpusParameters::read(None).unwrap();
        assert_eq!((plain, plain.to_fmtp(111)), (OpusParameters::default(), None));
        for wrong in ["stereo=2", "maxplaybackrate=x", "minptime=-1"] {
            assert!(OpusParameters::read(Some(&fmtp(wrong))).is_err(), "{wrong}");
        }
    }

    #[test]
    fn telephone_events_are_ranges() {
        let read = |text: &str| TelephoneEventParameters::read(Some(&fmtp(text)));
        let events = read("0-15,66,70").unwrap();
        assert_eq!(events.events, [(0, 15), (66, 66), (70, 70)]);
        assert!(events.includes(9) && events.includes(66) && !events.includes(67));
        assert_eq!(events.parameters(), "0-15,66,70");
        assert_eq!(TelephoneEventParameters::read(None), Ok(TelephoneEventParameters::default()));
        for wrong in ["15-0", "x", "0-256", "1,,2"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

//! Formats that repair losses of others: retransmission, redundancy, forward error correction.

use super::{FormatParameters, Writer, numeric};
use crate::attributes::{Fmtp, PayloadType};
use crate::error::Expected;
use crate::scan::write_joined;

/// The parameters of `rtx` (RFC 4588 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtxParameters {
    /// `apt`: the payload type that is retransmitted.
    pub payload_type: u8,
    /// `rtx-time`: milliseconds for which the sender keeps packets.
    pub time: Option<u32>,
}

impl RtxParameters {
    /// The parameters for a payload type.
    pub fn new(payload_type: u8) -> Self {
        Self { payload_type, time: None }
    }
}

impl FormatParameters for RtxParameters {
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected> {
        let payload_type = fmtp.and_then(Fmtp::retransmits).ok_or(Expected("apt=<payload type>"))?;
        Ok(Self { payload_type, time: numeric(fmtp, "rtx-time", "milliseconds")? })
    }

    fn parameters(&self) -> String {
        let mut out = Writer::default();
        out.add("apt", self.payload_type);
        out.add_some("rtx-time", self.time);
        out.0
    }
}

/// The parameters of `red` (RFC 2198 §5): payload types, the primary one first. Empty for video,
/// where browsers write none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedParameters {
    /// The payload types of a packet's blocks.
    pub payload_types: Vec<u8>,
}

impl FormatParameters for RedParameters {
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected> {
        let list = fmtp.map(|fmtp| fmtp.parameters.trim_ascii()).filter(|list| !list.is_empty());
        let Some(list) = list else { return Ok(Self::default()) };
        let payload_types: Option<Vec<_>> =
            list.split('/').map(|text| PayloadType::parse(text).map(PayloadType::get)).collect();
        let payload_types = payload_types.ok_or(Expected("payload types between slashes"))?;
        Ok(Self { payload_types })
    }

    fn parameters(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = write_joined(&mut out, "/", &self.payload_types);
        out
    }
}

/// The parameters of `flexfec` and `flexfec-03` (RFC 8627 §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlexFecParameters {
    /// `repair-window`: microseconds that source and repair packets of a block span at most.
    pub repair_window: u64,
}

impl FormatParameters for FlexFecParameters {
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected> {
        let expected = "repair-window=<microseconds>";
        numeric(fmtp, "repair-window", expected)?
            .map(|repair_window| Self { repair_window })
            .ok_or(Expected(expected))
    }

    fn parameters(&self) -> String {
        let mut out = Writer::default();
        out.add("repair-window", self.repair_window);
        out.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fmtp(parameters: &str) -> Fmtp {
        Fmtp { format: "97".to_owned(), parameters: parameters.to_owned() }
    }

    #[test]
    fn what_is_repaired_is_named() {
        let rtx = RtxParameters::read(Some(&fmtp("apt=96;rtx-time=3000"))).unwrap();
        assert_eq!((rtx.payload_type, rtx.time), (96, Some(3000)));
        assert_eq!(rtx.parameters(), "apt=96;rtx-time=3000");
        assert_eq!(RtxParameters::new(96).to_fmtp(97), Some(fmtp("apt=96")));
        for wrong in ["", "apt=128", "apt=96;rtx-time=x"] {
            assert!(RtxParameters::read(Some(&fmtp(wrong))).is_err(), "{wrong}");
        }
        assert!(RtxParameters::read(None).is_err());

        let red = RedParameters::read(Some(&fmtp("111/111"))).unwrap();
        assert_eq!((red.payload_types.as_slice(), red.parameters().as_str()), (&[111, 111][..], "111/111"));
        assert_eq!(RedParameters::read(None).unwrap().to_fmtp(118), None);
        assert!(RedParameters::read(Some(&fmtp("111/x"))).is_err());

        let flexfec = FlexFecParameters::read(Some(&fmtp("repair-window=10000000"))).unwrap();
        assert_eq!(flexfec.parameters(), "repair-window=10000000");
        assert!(FlexFecParameters::read(None).is_err());
    }
}

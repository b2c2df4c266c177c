//! VP8, VP9 and AV1.

use super::{FormatParameters, Writer, numeric};
use crate::attributes::Fmtp;
use crate::error::Expected;

/// The `level-idx` of a receiver that names none (AV1 RTP payload format, §7.2.1): level 3.1.
const DEFAULT_AV1_LEVEL: u8 = 5;

/// The parameters of VP8 (RFC 7741 §6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp8Parameters {
    /// `max-fr`: frames per second that the receiver can decode.
    pub max_frame_rate: Option<u32>,
    /// `max-fs`: the largest frame that the receiver can decode, in macroblocks.
    pub max_frame_size: Option<u32>,
}

impl FormatParameters for Vp8Parameters {
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected> {
        Ok(Self {
            max_frame_rate: numeric(fmtp, "max-fr", "frames per second")?,
            max_frame_size: numeric(fmtp, "max-fs", "macroblocks")?,
        })
    }

    fn parameters(&self) -> String {
        let mut out = Writer::default();
        out.add_some("max-fr", self.max_frame_rate);
        out.add_some("max-fs", self.max_frame_size);
        out.0
    }
}

/// The parameters of VP9 (RFC 9628 §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp9Parameters {
    /// `profile-id`: the bitstream's profile, 0 to 3. Default 0. Two sides must have the same.
    pub profile: u8,
    /// `max-fr`: frames per second that the receiver can decode.
    pub max_frame_rate: Option<u32>,
    /// `max-fs`: the largest frame that the receiver can decode, in macroblocks.
    pub max_frame_size: Option<u32>,
}

impl FormatParameters for Vp9Parameters {
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected> {
        let profile = numeric(fmtp, "profile-id", "a profile from 0 to 3")?.unwrap_or(0);
        if profile > 3 {
            return Err(Expected("a profile from 0 to 3"));
        }
        let Vp8Parameters { max_frame_rate, max_frame_size } = Vp8Parameters::read(fmtp)?;
        Ok(Self { profile, max_frame_rate, max_frame_size })
    }

    fn parameters(&self) -> String {
        let mut out = Writer::default();
        // Browsers write the profile always.
        out.add("profile-id", self.profile);
        out.add_some("max-fr", self.max_frame_rate);
        out.add_some("max-fs", self.max_frame_size);
        out.0
    }
}

/// The parameters of AV1 (RTP payload format for AV1, §7.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Av1Parameters {
    /// `profile`: 0 (main), 1 (high) or 2 (professional). Default 0. Two sides must have the same.
    pub profile: u8,
    /// `level-idx`: the highest level that the receiver can decode, 0 to 31. Default 5, level 3.1.
    pub level: u8,
    /// `tier`: 0 (main) or 1 (high). Default 0.
    pub tier: u8,
}

impl Default for Av1Parameters {
    fn default() -> Self {
        Self { profile: 0, level: DEFAULT_AV1_LEVEL, tier: 0 }
    }
}

impl FormatParameters for Av1Parameters {
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected> {
        let bounded = |name, highest: u8, default: u8, expected| match numeric::<u8>(fmtp, name, expected)? {
            Some(value) if value > highest => Err(Expected(expected)),
            value => Ok(value.unwrap_or(default)),
        };
        Ok(Self {
            profile: bounded("profile", 2, 0, "a profile from 0 to 2")?,
            level: bounded("level-idx", 31, DEFAULT_AV1_LEVEL, "a level from 0 to 31")?,
            tier: bounded("tier", 1, 0, "tier 0 or 1")?,
        })
    }

    fn parameters(&self) -> String {
        let mut out = Writer::default();
        out.add("level-idx", self.level);
        out.add("profile", self.profile);
        out.add("tier", self.tier);
        out.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fmtp(parameters: &str) -> Fmtp {
        Fmtp { format: "96".to_owned(), parameters: parameters.to_owned() }
    }

    #[test]
    fn limits_of_vp8_and_profiles_of_vp9() {
        let firefox = fmtp("max-fs=12288;max-fr=60");
        let vp8 = Vp8Parameters::read(Some(&firefox)).unwrap();
        assert_eq!((vp8.max_frame_rate, vp8.max_frame_size), (Some(60), Some(12_288)));
        assert_eq!(vp8.parameters(), "max-fr=60;max-fs=12288");
        assert_eq!(Vp8Parameters::default().to_fmtp(96), None);
        assert_eq!(Vp9Parameters::read(None).unwrap().profile, 0);
        let vp9 = Vp9Parameters::read(Some(&fmtp("profile-id=2"))).unwrap();
        assert_eq!((vp9.profile, vp9.parameters().as_str()), (2, "profile-id=2"));
        assert!(Vp9Parameters::read(Some(&fmtp("profile-id=4"))).is_err());
        assert!(Vp8Parameters::read(Some(&fmtp("max-fr=fast"))).is_err());
    }

    #[test]
    fn av1_has_defaults() {
        // Firefox writes no parameters, Chromium all of them.
        let chromium = fmtp("level-idx=5;profile=0;tier=0");
        assert_eq!(Av1Parameters::read(None), Av1Parameters::read(Some(&chromium)));
        assert_eq!(Av1Parameters::default().to_fmtp(96), Some(chromium));
        for wrong in ["profile=3", "level-idx=32", "tier=2", "tier=x"] {
            assert!(Av1Parameters::read(Some(&fmtp(wrong))).is_err(), "{wrong}");
        }
    }
}

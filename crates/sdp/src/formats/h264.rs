//! H.264: profiles, levels, packetization (RFC 6184 §8.1).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{FormatParameters, Writer, flag, numeric};
use crate::attributes::Fmtp;
use crate::error::Expected;

/// `profile_idc` of the profiles (ITU-T H.264 annex A).
const BASELINE: u8 = 66;
const MAIN: u8 = 77;
const EXTENDED: u8 = 88;
const HIGH: u8 = 100;
const HIGH_10: u8 = 110;
const HIGH_422: u8 = 122;
const HIGH_444: u8 = 244;

/// `constraint_set3_flag`, which makes level 1.1 of the first three profiles level 1b.
const CONSTRAINT_SET_3: u8 = 0x10;

/// `level_idc` of level 1.1 and, in the High profiles, of level 1b.
const LEVEL_1_1: u8 = 11;
const LEVEL_1_B: u8 = 9;

/// A profile of H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum H264Profile {
    /// The part of Baseline that Main can decode too, which all of WebRTC speaks (RFC 7742 §6.2).
    ConstrainedBaseline,
    /// Baseline with reordered slices and redundant pictures.
    Baseline,
    /// Main.
    Main,
    /// Extended.
    Extended,
    /// High without interlacing and B-frames.
    ConstrainedHigh,
    /// High.
    High,
    /// High 10.
    High10,
    /// High 4:2:2.
    High422,
    /// High 4:4:4 Predictive.
    High444,
    /// Another profile, by its `profile_idc` and its constraints.
    Other(u8, u8),
}

/// A level of H.264: the limits of rate and size. Level 1b lies between 1 and 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct H264Level {
    /// Ten times the number of the level.
    number: u8,
    is_1b: bool,
}

impl H264Level {
    /// A level by ten times its number: 31 for level 3.1.
    pub fn new(number: u8) -> Self {
        Self { number, is_1b: false }
    }

    /// Level 1b.
    pub fn level_1b() -> Self {
        Self { number: 10, is_1b: true }
    }
}

impl PartialOrd for H264Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for H264Level {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.number, self.is_1b).cmp(&(other.number, other.is_1b))
    }
}

/// `profile-level-id`: three bytes in hexadecimal digits (RFC 6184 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProfileLevelId {
    /// `profile_idc`.
    pub profile_idc: u8,
    /// `profile-iop`: the constraints.
    pub profile_iop: u8,
    /// `level_idc`.
    pub level_idc: u8,
}

impl ProfileLevelId {
    /// Baseline at level 1: the meaning of an absent parameter (RFC 6184 §8.1).
    pub const DEFAULT: Self = Self { profile_idc: BASELINE, profile_iop: 0, level_idc: 10 };

    /// Returns the profile. Different values can name the same one (RFC 6184 table 5).
    pub fn profile(self) -> H264Profile {
        let Self { profile_idc, profile_iop: iop, .. } = self;
        let is = |mask: u8, value: u8| iop & mask == value;
        match profile_idc {
            BASELINE if is(0x4f, 0x40) => H264Profile::ConstrainedBaseline,
            MAIN if is(0x8f, 0x80) => H264Profile::ConstrainedBaseline,
            EXTENDED if is(0xcf, 0xc0) => H264Profile::ConstrainedBaseline,
            BASELINE if is(0x4f, 0x00) => H264Profile::Baseline,
            EXTENDED if is(0xcf, 0x80) => H264Profile::Baseline,
            MAIN if is(0xaf, 0x00) => H264Profile::Main,
            EXTENDED if is(0xcf, 0x00) => H264Profile::Extended,
            HIGH if iop == 0x00 => H264Profile::High,
            HIGH if iop == 0x0c => H264Profile::ConstrainedHigh,
            HIGH_10 if iop == 0x00 => H264Profile::High10,
            HIGH_422 if iop == 0x00 => H264Profile::High422,
            HIGH_444 if iop == 0x00 => H264Profile::High444,
            _ => H264Profile::Other(profile_idc, iop),
        }
    }

    /// Returns the level.
    pub fn level(self) -> H264Level {
        let has_flag = matches!(self.profile_idc, BASELINE | MAIN | EXTENDED);
        match self.level_idc {
            LEVEL_1_1 if has_flag && self.profile_iop & CONSTRAINT_SET_3 != 0 => H264Level::level_1b(),
            LEVEL_1_B if !has_flag => H264Level::level_1b(),
            number => H264Level::new(number),
        }
    }

    /// Returns the same profile, written in the same way, at another level.
    #[must_use]
    pub fn at_level(self, level: H264Level) -> Self {
        let has_flag = matches!(self.profile_idc, BASELINE | MAIN | EXTENDED);
        let iop = if has_flag { self.profile_iop & !CONSTRAINT_SET_3 } else { self.profile_iop };
        let (profile_iop, level_idc) = match (level.is_1b, has_flag) {
            (false, _) => (iop, level.number),
            (true, true) => (iop | CONSTRAINT_SET_3, LEVEL_1_1),
            (true, false) => (iop, LEVEL_1_B),
        };
        Self { profile_iop, level_idc, ..self }
    }
}

impl FromStr for ProfileLevelId {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let is_hex = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bytes = is_hex.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        let [_, profile_idc, profile_iop, level_idc] =
            bytes.ok_or(Expected("profile-level-id to be six hexadecimal digits"))?.to_be_bytes();
        Ok(Self { profile_idc, profile_iop, level_idc })
    }
}

impl fmt::Display for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.profile_idc, self.profile_iop, self.level_idc)
    }
}

/// The parameters of H.264 (RFC 6184 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H264Parameters {
    /// `profile-level-id`. Both sides must have the same profile.
    pub profile_level_id: ProfileLevelId,
    /// `packetization-mode`: 0 to 2. Default 0. Both sides must have the same.
    pub packetization_mode: u8,
    /// `level-asymmetry-allowed`: the levels of both directions may differ. Default false.
    pub level_asymmetry_allowed: bool,
}

impl H264Parameters {
    /// Parameters of a profile and level.
    pub fn new(profile_level_id: ProfileLevelId, packetization_mode: u8) -> Self {
        Self { profile_level_id, packetization_mode, level_asymmetry_allowed: true }
    }

    /// Returns whether the two are the same configuration: packetization mode and profile (RFC 6184
    /// §8.2.2).
    pub fn matches(&self, other: &Self) -> bool {
        self.packetization_mode == other.packetization_mode
            && self.profile_level_id.profile() == other.profile_level_id.profile()
    }

    /// Returns the parameters of the answer to an offer that matches: the level that this side can
    /// receive, if both sides allow that levels differ, else the lower one (RFC 6184 §8.2.2).
    #[must_use]
    pub fn answer(&self, offer: &Self) -> Self {
        let level_asymmetry_allowed = self.level_asymmetry_allowed && offer.level_asymmetry_allowed;
        let own = self.profile_level_id.level();
        let level = if level_asymmetry_allowed { own } else { own.min(offer.profile_level_id.level()) };
        let profile_level_id = offer.profile_level_id.at_level(level);
        Self { profile_level_id, level_asymmetry_allowed, ..*self }
    }
}

impl FormatParameters for H264Parameters {
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected> {
        let expected = "packetization-mode from 0 to 2";
        let packetization_mode = numeric(fmtp, "packetization-mode", expected)?.unwrap_or(0);
        if packetization_mode > 2 {
            return Err(Expected(expected));
        }
        let id = fmtp.and_then(|fmtp| fmtp.get("profile-level-id"));
        Ok(Self {
            profile_level_id: id.map_or(Ok(ProfileLevelId::DEFAULT), str::parse)?,
            packetization_mode,
            level_asymmetry_allowed: flag(
                fmtp,
                "level-asymmetry-allowed",
                "level-asymmetry-allowed to be 0 or 1",
            )?,
        })
    }

    fn parameters(&self) -> String {
        // Browsers write all three, and Firefox needs the profile.
        let mut out = Writer::default();
        out.add_flag("level-asymmetry-allowed", self.level_asymmetry_allowed);
        out.add("packetization-mode", self.packetization_mode);
        out.add("profile-level-id", self.profile_level_id);
        out.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ProfileLevelId {
        text.parse().unwrap()
    }

    #[test]
    fn profiles_have_several_notations() {
        use H264Profile as Profile;
        for (text, profile) in [
            ("42e01f", Profile::ConstrainedBaseline),
            ("42C02A", Profile::ConstrainedBaseline),
            ("4de01f", Profile::ConstrainedBaseline),
            ("58f01f", Profile::ConstrainedBaseline),
            ("42001f", Profile::Baseline),
            ("42a01e", Profile::Baseline),
            ("58a01f", Profile::Baseline),
            ("4d001f", Profile::Main),
            ("4d401f", Profile::Main),
            ("640c1f", Profile::ConstrainedHigh),
            ("64001f", Profile::High),
            ("f4001f", Profile::High444),
            ("640fff", Profile::Other(100, 15)),
        ] {
            assert_eq!(id(text).profile(), profile, "{text}");
            assert_eq!(id(text).to_string(), text.to_ascii_lowercase());
        }
        for wrong in ["", "42e01", "42e01g", "42e01f0", "+42e01"] {
            assert!(wrong.parse::<ProfileLevelId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn level_1b_lies_between_1_and_1_1() {
        let (one, one_b, one_one) = (id("42e00a").level(), id("42f00b").level(), id("42e00b").level());
        assert_eq!((one_b, id("640009").level()), (H264Level::level_1b(), H264Level::level_1b()));
        assert!(one < one_b && one_b < one_one);
        assert_eq!(id("42e01f").at_level(one_b), id("42f00b"));
        assert_eq!(id("42f00b").at_level(H264Level::new(31)), id("42e01f"));
        assert_eq!(id("64001f").at_level(one_b), id("640009"));
    }

    #[test]
    fn answer_takes_the_lower_level_unless_both_allow_asymmetry() {
        let own = H264Parameters::new(id("42e01f"), 1);
        let offer = H264Parameters { level_asymmetry_allowed: false, ..H264Parameters::new(id("4d8014"), 1) };
        assert!(own.matches(&offer));
        let answer = own.answer(&offer);
        assert_eq!((answer.profile_level_id, answer.level_asymmetry_allowed), (id("4d8014"), false));
        let offer = H264Parameters { level_asymmetry_allowed: true, ..offer };
        assert_eq!(own.answer(&offer).profile_level_id, id("4d801f"));
        for other in [H264Parameters::new(id("42e01f"), 0), H264Parameters::new(id("64001f"), 1)] {
            assert!(!own.matches(&other), "{other:?}");
        }
    }

    #[test]
    fn parameters_are_read_and_written() {
        let text = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
        let fmtp = Fmtp { format: "102".to_owned(), parameters: text.to_owned() };
        let read = H264Parameters::read(Some(&fmtp)).unwrap();
        assert_eq!(read, H264Parameters::new(id("42e01f"), 1));
        assert_eq!(read.to_fmtp(102), Some(fmtp));
        let plain = H264Parameters::read(None).unwrap();
        assert_eq!((plain.profile_level_id.profile(), plain.packetization_mode), (H264Profile::Baseline, 0));
        assert_eq!(H264Parameters::read(plain.to_fmtp(1).as_ref()), Ok(plain));
        for wrong in ["packetization-mode=3", "profile-level-id=x", "level-asymmetry-allowed=yes"] {
            let fmtp = Fmtp { format: "1".to_owned(), parameters: wrong.to_owned() };
            assert!(H264Parameters::read(Some(&fmtp)).is_err(), "{wrong}");
        }
    }
}

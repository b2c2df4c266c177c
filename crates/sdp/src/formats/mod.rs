//! The parameters of formats (`a=fmtp`), typed by codec.
//!
//! ```
//! use columba_sdp::attributes::Fmtp;
//! use columba_sdp::formats::{FormatParameters, H264Parameters, H264Profile};
//!
//! let parameters = [("packetization-mode", Some("1")), ("profile-level-id", Some("42e01f"))];
//! let fmtp = Fmtp::new("102", parameters);
//! let h264 = H264Parameters::read(Some(&fmtp))?;
//! assert_eq!(h264.profile_level_id.profile(), H264Profile::ConstrainedBaseline);
//! assert_eq!(h264.packetization_mode, 1);
//! assert_eq!(h264.to_fmtp(102), Some(fmtp));
//! # Ok::<(), columba_sdp::Expected>(())
//! ```

mod audio;
mod h264;
mod repair;
mod video;

pub use audio::{OpusParameters, TelephoneEventParameters};
pub use h264::{H264Level, H264Parameters, H264Profile, ProfileLevelId};
pub use repair::{FlexFecParameters, RedParameters, RtxParameters};
pub use video::{Av1Parameters, Vp8Parameters, Vp9Parameters};

use std::fmt::Write;
use std::str::FromStr;

use crate::attributes::Fmtp;
use crate::error::Expected;
use crate::scan::number;

/// The parameters of one codec.
///
/// Parameters that are not there have the defaults of the codec's RFC, and unknown ones are passed
/// over (RFC 6838 §4.3).
pub trait FormatParameters: Sized {
    /// Reads the parameters of a codec; `None` if its section has no `a=fmtp` for it.
    ///
    /// # Errors
    /// [`Expected`] says what the codec's RFC asks for, if a value does not follow it.
    fn read(fmtp: Option<&Fmtp>) -> Result<Self, Expected>;

    /// Writes the parameters; those that have the codec's defaults are left out where the RFC does
    /// not ask for them.
    fn parameters(&self) -> String;

    /// Returns the line for a payload type; `None` if there is nothing to say.
    fn to_fmtp(&self, payload_type: u8) -> Option<Fmtp> {
        let parameters = self.parameters();
        (!parameters.is_empty()).then(|| Fmtp { format: payload_type.to_string(), parameters })
    }
}

/// Returns a parameter that is a number, if it is there.
fn numeric<N: FromStr>(
    fmtp: Option<&Fmtp>,
    name: &str,
    expected: &'static str,
) -> Result<Option<N>, Expected> {
    let value = fmtp.and_then(|fmtp| fmtp.get(name));
    value.map(|value| number(value).ok_or(Expected(expected))).transpose()
}

/// Returns a parameter that is 0 or 1; false if it is not there.
fn flag(fmtp: Option<&Fmtp>, name: &str, expected: &'static str) -> Result<bool, Expected> {
    match fmtp.and_then(|fmtp| fmtp.get(name)) {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(Expected(expected)),
    }
}

/// Parameters that are being written, between semicolons.
#[derive(Default)]
struct Writer(String);

impl Writer {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let separator = if self.0.is_empty() { "" } else { ";" };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{separator}{name}={value}");
    }

    fn add_some(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn add_flag(&mut self, name: &str, value: bool) {
        if value {
            self.add(name, 1);
        }
    }
}

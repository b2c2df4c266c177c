//! Header extensions (RFC 8285): their two forms, and a type for each that WebRTC uses.

mod dependency;
mod layers;
mod values;

pub use dependency::{
    DecodeTargetIndication, DependencyDescriptor, FrameTemplate, RawDependencyDescriptor, TemplateStructure,
};
pub use layers::{SpatialLayer, VideoLayersAllocation};
pub use values::{
    AbsCaptureTime, AbsSendTime, AudioLevel, CsrcAudioLevels, Mid, PlayoutDelay, RepairedRid, Rid, Rotation,
    TransportSequenceNumber, VideoOrientation,
};

/// The form in which the extensions of a packet are written (RFC 8285 §4.2, §4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtensionForm {
    /// Numbers 1 to 14, values of 1 to 16 bytes.
    #[default]
    OneByte,
    /// Numbers 1 to 255, values of 0 to 255 bytes; both sides have negotiated it.
    TwoByte,
}

impl ExtensionForm {
    /// Returns the value of the field "defined by profile".
    pub(crate) const fn profile(self) -> u16 {
        match self {
            Self::OneByte => 0xBEDE,
            Self::TwoByte => 0x1000,
        }
    }
}

/// A header extension that can be read from its value and written.
#[expect(clippy::len_without_is_empty, reason = "the length is that of the written form")]
pub trait HeaderExtension<'a>: Sized {
    /// The name by which it is negotiated.
    const URI: &'static str;

    /// Reads the value; `None` if it is not valid.
    fn read(value: &'a [u8]) -> Option<Self>;

    /// Returns the length of the value.
    fn len(&self) -> usize;

    /// Writes the value into a buffer of just its length.
    fn write(&self, value: &mut [u8]);
}

/// The extensions of a packet: numbers and values, in the order of the packet.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    data: &'a [u8],
    form: Option<ExtensionForm>,
}

impl<'a> Extensions<'a> {
    pub(crate) const fn new(profile: u16, data: &'a [u8]) -> Self {
        let form = match profile {
            0xBEDE => Some(ExtensionForm::OneByte),
            // The lower four bits are for the application (RFC 8285 §4.3).
            0x1000..=0x100F => Some(ExtensionForm::TwoByte),
            _ => None,
        };
        Self { data, form }
    }

    /// Returns the form in which they are written; `None` if there are none of RFC 8285.
    #[must_use]
    pub const fn form(&self) -> Option<ExtensionForm> {
        self.form
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let form = self.form?;
        loop {
            let (&head, rest) = self.data.split_first()?;
            if head == 0 {
                self.data = rest;
                continue;
            }
            let (id, len, rest) = match form {
                // A number of 15 ends all processing (RFC 8285 §4.2).
                ExtensionForm::OneByte if head >> 4 == 15 => (0, usize::MAX, rest),
                // Number 0 with a length: padding is a byte of zeros only, so that it is skipped.
                ExtensionForm::OneByte => (head >> 4, usize::from(head & 0x0F) + 1, rest),
                ExtensionForm::TwoByte => {
                    let (&len, rest) = rest.split_first()?;
                    (head, usize::from(len), rest)
                }
            };
            let Some((value, rest)) = rest.split_at_checked(len) else {
                self.data = &[];
                return None;
            };
            self.data = rest;
            if id != 0 {
                return Some((id, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(profile: u16, data: &[u8]) -> Vec<(u8, Vec<u8>)> {
        Extensions::new(profile, data).map(|(id, value)| (id, value.to_vec())).collect()
    }

    /// RFC 8285 §4.2 and §4.3 show these two packets.
    #[test]
    fn examples_of_the_rfc_are_read() {
        let one = [0x10, 0xAA, 0x21, 0xBB, 0xBB, 0, 0, 0x33, 1, 2, 3, 4];
        assert_eq!(all(0xBEDE, &one), [(1, vec![0xAA]), (2, vec![0xBB, 0xBB]), (3, vec![1, 2, 3, 4])]);
        let two = [1, 0, 2, 1, 0xBB, 0, 3, 4, 1, 2, 3, 4];
        assert_eq!(all(0x1000, &two), [(1, vec![]), (2, vec![0xBB]), (3, vec![1, 2, 3, 4])]);
    }

    #[test]
    fn damaged_extensions_end_the_list() {
        assert_eq!(all(0xBEDE, &[0x10, 1, 0xF0, 2, 0x20, 3]), [(1, vec![1])]);
        assert_eq!(all(0xBEDE, &[0x10, 1, 0x23, 2]), [(1, vec![1])]);
        assert_eq!(all(0xBEDE, &[0x01, 7, 7, 0x10, 1]), [(1, vec![1])]);
        assert_eq!(all(0x1000, &[5, 9, 1]), []);
        assert_eq!(all(0x1000, &[5]), []);
        assert_eq!(all(0x2000, &[0x10, 1]), []);
    }
}

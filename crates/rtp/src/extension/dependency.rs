//! The dependency descriptor: which frames a frame needs, without looking into the codec (RTP
//! payload format for AV1, appendix A).

use super::HeaderExtension;
use crate::bits::{BitReader, BitWriter};
use crate::bytes_at::be16;
use crate::error::{ParseError, WriteError};

/// Frames that a frame refers to at most; AV1 has seven references.
const MAX_DIFFERENCES: usize = 8;
/// Decode targets at most.
const MAX_TARGETS: usize = 32;
/// Templates at most: they are named by 6 bits.
const MAX_TEMPLATES: usize = 64;

/// The place of a frame in a decode target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DecodeTargetIndication {
    /// The frame is not part of it.
    #[default]
    NotPresent,
    /// No later frame of it needs the frame.
    Discardable,
    /// All later frames of it can be decoded from here on.
    Switch,
    /// Later frames may need it.
    Required,
}

impl DecodeTargetIndication {
    const fn of_bits(bits: u32) -> Self {
        match bits {
            0 => Self::NotPresent,
            1 => Self::Discardable,
            2 => Self::Switch,
            _ => Self::Required,
        }
    }
}

/// The layers and dependencies that many frames have alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameTemplate {
    /// The spatial layer.
    pub spatial: u8,
    /// The temporal layer.
    pub temporal: u8,
    /// The place in each decode target.
    pub indications: Vec<DecodeTargetIndication>,
    /// The distances, 1 to 16, to the frames that the frame refers to.
    pub differences: Vec<u8>,
    /// The distance, up to 15, to the previous frame of each chain.
    pub chains: Vec<u8>,
}

/// All templates of a video, sent with a key frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateStructure {
    /// The number of the first template.
    pub id_offset: u8,
    /// The number of decode targets, 1 to 32.
    pub targets: u8,
    /// The templates, ordered by spatial layer and then by temporal layer.
    pub templates: Vec<FrameTemplate>,
    /// For each decode target the chain that protects it; empty without chains.
    pub protected_by: Vec<u8>,
    /// The number of chains.
    pub chains: u8,
    /// For each spatial layer width and height in pixels, 1 to 65,536; empty if they are not told.
    pub resolutions: Vec<(u32, u32)>,
}

impl TemplateStructure {
    /// Returns the template with a number.
    #[must_use]
    pub fn template(&self, id: u8) -> Option<&FrameTemplate> {
        self.templates.get(usize::from(id.wrapping_sub(self.id_offset) & 63))
    }

    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let id_offset = bits.bits(6)? as u8;
        let targets = bits.bits(5)? as u8 + 1;
        let mut templates = Vec::new();
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            if templates.len() == MAX_TEMPLATES {
                return None;
            }
            templates.push(FrameTemplate { spatial, temporal, ..FrameTemplate::default() });
            match bits.bits(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => break,
            }
        }
        if spatial > 3 || templates.iter().any(|template| template.temporal > 7) {
            return None;
        }
        for template in &mut templates {
            for _ in 0..targets {
                template.indications.push(DecodeTargetIndication::of_bits(bits.bits(2)?));
            }
        }
        for template in &mut templates {
            while bits.flag()? {
                template.differences.push(bits.bits(4)? as u8 + 1);
            }
            if template.differences.len() > MAX_DIFFERENCES {
                return None;
            }
        }
        let chains = bits.non_symmetric(u32::from(targets) + 1)? as u8;
        let mut protected_by = Vec::new();
        if chains > 0 {
            for _ in 0..targets {
                protected_by.push(bits.non_symmetric(u32::from(chains))? as u8);
            }
            for template in &mut templates {
                for _ in 0..chains {
                    template.chains.push(bits.bits(4)? as u8);
                }
            }
        }
        let mut resolutions = Vec::new();
        if bits.flag()? {
            for _ in 0..=spatial {
                resolutions.push((bits.bits(16)? + 1, bits.bits(16)? + 1));
            }
        }
        Some(Self { id_offset, targets, templates, protected_by, chains, resolutions })
    }

    fn write(&self, bits: &mut BitWriter<'_>) {
        bits.bits(u32::from(self.id_offset), 6);
        bits.bits(u32::from(self.targets) - 1, 5);
        for pair in self.templates.windows(2) {
            let next = match () {
                () if pair[1].spatial > pair[0].spatial => 2,
                () if pair[1].temporal > pair[0].temporal => 1,
                () => 0,
            };
            bits.bits(next, 2);
        }
        bits.bits(3, 2);
        for indication in self.templates.iter().flat_map(|template| &template.indications) {
            bits.bits(*indication as u32, 2);
        }
        for template in &self.templates {
            for difference in &template.differences {
                bits.flag(true);
                bits.bits(u32::from(*difference) - 1, 4);
            }
            bits.flag(false);
        }
        bits.non_symmetric(u32::from(self.chains), u32::from(self.targets) + 1);
        for chain in &self.protected_by {
            bits.non_symmetric(u32::from(*chain), u32::from(self.chains));
        }
        for difference in self.templates.iter().flat_map(|template| &template.chains) {
            bits.bits(u32::from(*difference), 4);
        }
        bits.flag(!self.resolutions.is_empty());
        for (width, height) in &self.resolutions {
            bits.bits(width - 1, 16);
            bits.bits(height - 1, 16);
        }
    }

    /// Returns whether all parts have the lengths and ranges that the form can express.
    fn is_valid(&self) -> bool {
        let targets = usize::from(self.targets);
        let chains = usize::from(self.chains);
        let template = |one: &FrameTemplate| {
            one.indications.len() == targets
                && one.chains.len() == chains
                && one.chains.iter().all(|chain| *chain < 16)
                && one.differences.len() <= MAX_DIFFERENCES
                && one.differences.iter().all(|difference| (1..=16).contains(difference))
        };
        let follows = |pair: &[FrameTemplate]| {
            let (from, to) = (&pair[0], &pair[1]);
            (to.spatial == from.spatial && (from.temporal..=from.temporal + 1).contains(&to.temporal))
                || (to.spatial == from.spatial + 1 && to.temporal == 0)
        };
        let first = self.templates.first();
        let last = self.templates.last().map_or(0, |last| usize::from(last.spatial));
        self.id_offset < 64
            && (1..=MAX_TARGETS).contains(&targets)
            && chains <= targets
            && self.protected_by.len() == if chains > 0 { targets } else { 0 }
            && self.protected_by.iter().all(|chain| *chain < self.chains)
            && self.templates.len() <= MAX_TEMPLATES
            && first.is_some_and(|first| first.spatial == 0 && first.temporal == 0)
            && self.templates.windows(2).all(follows)
            && last <= 3
            && self.templates.iter().all(template)
            && (self.resolutions.is_empty() || self.resolutions.len() == last + 1)
            && self
                .resolutions
                .iter()
                .all(|size| (1..=65_536).contains(&size.0) && (1..=65_536).contains(&size.1))
    }
}

/// A list without memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    fn new() -> Self {
        Self { items: [T::default(); N], len: 0 }
    }

    fn push(&mut self, item: T) -> Option<()> {
        *self.items.get_mut(self.len)? = item;
        self.len += 1;
        Some(())
    }

    fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }
}

/// The descriptor of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// The packet is the first of its frame.
    pub start_of_frame: bool,
    /// The packet is the last of its frame.
    pub end_of_frame: bool,
    /// The number of the template, 0 to 63.
    pub template_id: u8,
    /// The number of the frame, which wraps.
    pub frame_number: u16,
    /// The templates that hold from this frame on; key frames have them.
    pub structure: Option<Box<TemplateStructure>>,
    /// The decode targets that are being sent, a bit for each.
    pub active_targets: Option<u32>,
    indications: Option<List<DecodeTargetIndication, MAX_TARGETS>>,
    differences: Option<List<u16, MAX_DIFFERENCES>>,
    chains: Option<List<u8, MAX_TARGETS>>,
}

impl DependencyDescriptor {
    /// Returns the descriptor of a frame that is just as its template says.
    #[must_use]
    pub const fn new(template_id: u8, frame_number: u16) -> Self {
        Self {
            start_of_frame: true,
            end_of_frame: true,
            template_id: template_id & 63,
            frame_number,
            structure: None,
            active_targets: None,
            indications: None,
            differences: None,
            chains: None,
        }
    }

    /// Returns the same with other distances to the frames that it refers to, than the template's.
    /// `None` if there are more than 8, or one is not within 1 to 4,096.
    #[must_use]
    pub fn with_differences(mut self, differences: &[u16]) -> Option<Self> {
        let mut list = List::new();
        for difference in differences {
            (1..=4096).contains(difference).then_some(())?;
            list.push(*difference)?;
        }
        self.differences = Some(list);
        Some(self)
    }

    /// Returns the place in each decode target, if it is not the template's.
    #[must_use]
    pub fn indications(&self) -> Option<&[DecodeTargetIndication]> {
        self.indications.as_ref().map(List::as_slice)
    }

    /// Returns the distances to the frames that the frame refers to, if they are not the
    /// template's.
    #[must_use]
    pub fn differences(&self) -> Option<&[u16]> {
        self.differences.as_ref().map(List::as_slice)
    }

    /// Returns the distance to the previous frame of each chain, if it is not the template's.
    #[must_use]
    pub fn chains(&self) -> Option<&[u8]> {
        self.chains.as_ref().map(List::as_slice)
    }

    /// Reads a descriptor by the templates that were sent last, unless it brings its own.
    ///
    /// # Errors
    ///
    /// It is cut off, its template is not known, or it has more references than eight.
    pub fn read(value: &[u8], known: Option<&TemplateStructure>) -> Result<Self, ParseError> {
        let raw =
            RawDependencyDescriptor::read(value).ok_or(ParseError::truncated("dependency descriptor", 0))?;
        let mut descriptor = Self::new(value[0] & 63, raw.frame_number());
        descriptor.start_of_frame = raw.start_of_frame();
        descriptor.end_of_frame = raw.end_of_frame();
        let invalid = || ParseError::invalid("dependency descriptor", 3);
        if value.len() > 3 {
            let mut bits = BitReader::new(&value[3..]);
            descriptor.read_extended(&mut bits, known).ok_or_else(invalid)?;
        }
        let structure = descriptor.structure.as_deref().or(known);
        if let Some(structure) = structure
            && structure.template(descriptor.template_id).is_none()
        {
            return Err(ParseError::invalid("template of the dependency descriptor", 0));
        }
        Ok(descriptor)
    }

    fn read_extended(&mut self, bits: &mut BitReader<'_>, known: Option<&TemplateStructure>) -> Option<()> {
        let [structure, active, indications, differences, chains] = {
            let flags = bits.bits(5)?;
            [16, 8, 4, 2, 1].map(|mask| flags & mask != 0)
        };
        if structure {
            self.structure = Some(Box::new(TemplateStructure::read(bits)?));
        }
        let known = self.structure.as_deref().or(known);
        if active {
            self.active_targets = Some(bits.bits(usize::from(known?.targets))?);
        }
        if indications {
            let mut list = List::new();
            for _ in 0..known?.targets {
                list.push(DecodeTargetIndication::of_bits(bits.bits(2)?))?;
            }
            self.indications = Some(list);
        }
        if differences {
            let mut list = List::new();
            loop {
                let size = bits.bits(2)? as usize;
                if size == 0 {
                    break;
                }
                list.push(bits.bits(4 * size)? as u16 + 1)?;
            }
            self.differences = Some(list);
        }
        if chains {
            let mut list = List::new();
            for _ in 0..known?.chains {
                list.push(bits.bits(8)? as u8)?;
            }
            self.chains = Some(list);
        }
        Some(())
    }

    /// Writes the descriptor, and returns its length. `known` are the templates sent last, unless
    /// it brings its own.
    ///
    /// # Errors
    ///
    /// The buffer is too small (255 bytes are always enough, if it can be sent at all), the
    /// structure cannot be expressed, or targets are told without one.
    pub fn encode(&self, known: Option<&TemplateStructure>, buffer: &mut [u8]) -> Result<usize, WriteError> {
        let range = WriteError::OutOfRange { what: "dependency descriptor" };
        if self.structure.as_ref().is_some_and(|structure| !structure.is_valid()) {
            return Err(range);
        }
        let known = self.structure.as_deref().or(known);
        let room = buffer.len();
        let mut bits = BitWriter::new(buffer);
        bits.flag(self.start_of_frame);
        bits.flag(self.end_of_frame);
        bits.bits(u32::from(self.template_id), 6);
        bits.bits(u32::from(self.frame_number), 16);
        let flags = [
            self.structure.is_some(),
            self.active_targets.is_some(),
            self.indications.is_some(),
            self.differences.is_some(),
            self.chains.is_some(),
        ];
        if flags.contains(&true) {
            flags.iter().for_each(|flag| bits.flag(*flag));
        }
        if let Some(structure) = &self.structure {
            structure.write(&mut bits);
        }
        if let Some(active) = self.active_targets {
            bits.bits(active, usize::from(known.ok_or(range)?.targets));
        }
        for indication in self.indications().unwrap_or_default() {
            bits.bits(*indication as u32, 2);
        }
        if let Some(differences) = self.differences() {
            for difference in differences {
                let value = u32::from(*difference) - 1;
                let size = 1 + (value > 0xF) as usize + (value > 0xFF) as usize;
                bits.bits(size as u32, 2);
                bits.bits(value, 4 * size);
            }
            bits.bits(0, 2);
        }
        for difference in self.chains().unwrap_or_default() {
            bits.bits(u32::from(*difference), 8);
        }
        let len = bits.finish();
        if len > room { Err(WriteError::no_room("dependency descriptor", len)) } else { Ok(len) }
    }
}

/// The bytes of a dependency descriptor, for those who pass it on, and what can be read without its
/// templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawDependencyDescriptor<'a>(&'a [u8]);

impl<'a> RawDependencyDescriptor<'a> {
    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Returns true in the first packet of a frame.
    #[must_use]
    pub const fn start_of_frame(&self) -> bool {
        self.0[0] & 0x80 != 0
    }

    /// Returns true in the last packet of a frame.
    #[must_use]
    pub const fn end_of_frame(&self) -> bool {
        self.0[0] & 0x40 != 0
    }

    /// Returns the number of the frame, which wraps.
    #[must_use]
    pub fn frame_number(&self) -> u16 {
        be16(self.0, 1)
    }

    /// Returns true if it brings templates, as key frames do.
    #[must_use]
    pub fn has_structure(&self) -> bool {
        self.0.get(3).is_some_and(|byte| byte & 0x80 != 0)
    }
}

impl<'a> HeaderExtension<'a> for RawDependencyDescriptor<'a> {
    const URI: &'static str =
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

    fn read(value: &'a [u8]) -> Option<Self> {
        (value.len() >= 3).then_some(Self(value))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn write(&self, value: &mut [u8]) {
        value.copy_from_slice(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DecodeTargetIndication::{Discardable, NotPresent, Required, Switch};

    /// Two temporal layers, as the specification's L1T2 has them.
    fn structure() -> TemplateStructure {
        let template = |temporal, indications: [_; 2], differences: &[u8], chain| FrameTemplate {
            spatial: 0,
            temporal,
            indications: indications.to_vec(),
            differences: differences.to_vec(),
            chains: vec![chain],
        };
        TemplateStructure {
            id_offset: 62,
            targets: 2,
            templates: vec![
                template(0, [Switch, Switch], &[], 0),
                template(0, [Switch, Required], &[2], 2),
                template(1, [NotPresent, Discardable], &[1], 1),
            ],
            protected_by: vec![0, 0],
            chains: 1,
            resolutions: vec![(640, 360)],
        }
    }

    fn round_trip(descriptor: &DependencyDescriptor, known: Option<&TemplateStructure>) -> usize {
        let mut buffer = [0xAA; 255];
        let len = descriptor.encode(known, &mut buffer).unwrap();
        assert_eq!(DependencyDescriptor::read(&buffer[..len], known).as_ref(), Ok(descriptor));
        assert_eq!(
            descriptor.encode(known, &mut [0; 2]),
            Err(WriteError::no_room("dependency descriptor", len))
        );
        for short in 3..len {
            let _ = DependencyDescriptor::read(&buffer[..short], known);
        }
        len
    }

    #[test]
    fn descriptors_are_read_as_they_were_written() {
        let structure = structure();
        assert_eq!(round_trip(&DependencyDescriptor::new(0, 65_535), Some(&structure)), 3);
        let mut key = DependencyDescriptor::new(62, 1);
        key.structure = Some(Box::new(structure.clone()));
        key.active_targets = Some(0b01);
        round_trip(&key, None);
        let custom = DependencyDescriptor::new(63, 2).with_differences(&[1, 17, 300, 4096]).unwrap();
        assert!(round_trip(&custom, Some(&structure)) > 3);
        assert_eq!(custom.differences(), Some(&[1, 17, 300, 4096][..]));
    }

    #[test]
    fn unknown_templates_and_damage_are_refused() {
        let structure = structure();
        assert!(DependencyDescriptor::read(&[0xC3, 0, 1], Some(&structure)).is_err());
        assert!(DependencyDescriptor::read(&[0xC0, 0], None).is_err());
        // Indications of its own, without templates to say how many.
        assert!(DependencyDescriptor::read(&[0xC0, 0, 1, 0x20], None).is_err());
        let mut broken = structure.clone();
        broken.templates[1].temporal = 3;
        let mut key = DependencyDescriptor::new(62, 1);
        key.structure = Some(Box::new(broken));
        assert!(key.encode(None, &mut [0; 255]).is_err());
    }
}

//! The bitrates of all layers of a video (libwebrtc's `video-layers-allocation00`).

use super::HeaderExtension;
use crate::bits::{leb128, leb128_len, put_leb128};
use crate::bytes_at::{be16, put16};

/// RTP streams, spatial layers of each, and temporal layers of those, at most.
const MAX: usize = 4;

/// One spatial layer that is being sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpatialLayer {
    /// The index of the RTP stream (of the encoding).
    pub stream: u8,
    /// The index of the spatial layer in it.
    pub spatial: u8,
    /// The temporal layers, 1 to 4.
    pub temporal_layers: u8,
    /// For each temporal layer the bitrate in kbit/s, lower layers included.
    pub kilobits: [u32; MAX],
    /// Width and height in pixels (1 to 65,536), and frames per second.
    pub resolution: Option<(u32, u32, u8)>,
}

/// The layers of all RTP streams of a source, and their bitrates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoLayersAllocation {
    /// The index of the stream in which it is sent.
    stream: u8,
    streams: u8,
    layers: [SpatialLayer; MAX * MAX],
    count: u8,
}

impl VideoLayersAllocation {
    /// Returns the allocation of `streams` RTP streams (1 to 4), sent in the stream of that index;
    /// the layers are in ascending order, all with a resolution or none. `None` if they are not.
    #[must_use]
    pub fn new(stream: u8, streams: u8, layers: &[SpatialLayer]) -> Option<Self> {
        let key = |layer: &SpatialLayer| (layer.stream, layer.spatial);
        let good = |layer: &SpatialLayer| {
            layer.stream < streams
                && usize::from(layer.spatial) < MAX
                && (1..=MAX).contains(&usize::from(layer.temporal_layers))
                && layer.resolution.is_some() == layers[0].resolution.is_some()
                && layer.resolution.is_none_or(|(width, height, _)| {
                    (1..=65_536).contains(&width) && (1..=65_536).contains(&height)
                })
        };
        let ascending = layers.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
        if !(1..=MAX).contains(&usize::from(streams)) || stream >= streams || !ascending {
            return None;
        }
        let mut all = [SpatialLayer::default(); MAX * MAX];
        all.get_mut(..layers.len())?.copy_from_slice(layers);
        let allocation = Self { stream, streams, layers: all, count: layers.len() as u8 };
        layers.iter().all(good).then_some(allocation)
    }

    /// Returns the index of the RTP stream in which it was sent.
    #[must_use]
    pub const fn stream(&self) -> u8 {
        self.stream
    }

    /// Returns the number of RTP streams.
    #[must_use]
    pub const fn streams(&self) -> u8 {
        self.streams
    }

    /// Returns the layers that are being sent, in ascending order.
    #[must_use]
    pub fn layers(&self) -> &[SpatialLayer] {
        &self.layers[..usize::from(self.count)]
    }

    fn mask(&self, stream: u8) -> u8 {
        let own = self.layers().iter().filter(|layer| layer.stream == stream);
        own.fold(0, |mask, layer| mask | (1 << layer.spatial))
    }

    /// Returns the mask that all streams have; 0 if they differ, or there is no layer.
    fn shared_mask(&self) -> u8 {
        let first = self.mask(0);
        if (1..self.streams).all(|stream| self.mask(stream) == first) { first } else { 0 }
    }
}

impl HeaderExtension<'_> for VideoLayersAllocation {
    const URI: &'static str = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00";

    fn read(value: &[u8]) -> Option<Self> {
        let (&head, mut rest) = value.split_first()?;
        if value == [0] {
            // No layer is active.
            return Self::new(0, 1, &[]);
        }
        let (stream, streams) = (head >> 6, ((head >> 4) & 3) + 1);
        let mut masks = [head & 0x0F; MAX];
        if head & 0x0F == 0 {
            let (own, after) = rest.split_at_checked(usize::from(streams).div_ceil(2))?;
            for (index, mask) in masks.iter_mut().enumerate().take(usize::from(streams)) {
                *mask = (own[index / 2] >> if index % 2 == 0 { 4 } else { 0 }) & 0x0F;
            }
            rest = after;
        }
        let mut layers = [SpatialLayer::default(); MAX * MAX];
        let mut count = 0;
        for index in 0..streams {
            for spatial in (0..MAX as u8).filter(|bit| masks[usize::from(index)] >> bit & 1 == 1) {
                layers[count] = SpatialLayer { stream: index, spatial, ..SpatialLayer::default() };
                count += 1;
            }
        }
        let layers = &mut layers[..count];
        let (temporal, mut rest) = rest.split_at_checked(count.div_ceil(4))?;
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.temporal_layers = (temporal[index / 4] >> (6 - 2 * (index % 4)) & 3) + 1;
        }
        for layer in &mut *layers {
            for rate in &mut layer.kilobits[..usize::from(layer.temporal_layers)] {
                let (value, len) = leb128(rest)?;
                *rate = u32::try_from(value).ok()?;
                rest = &rest[len..];
            }
        }
        if rest.len() == 5 * count {
            for (layer, bytes) in layers.iter_mut().zip(rest.chunks_exact(5)) {
                let size = |at| u32::from(be16(bytes, at)) + 1;
                layer.resolution = Some((size(0), size(2), bytes[4]));
            }
        }
        Self::new(stream, streams, layers)
    }

    fn len(&self) -> usize {
        if self.count == 0 {
            return 1;
        }
        let masks = if self.shared_mask() == 0 { usize::from(self.streams).div_ceil(2) } else { 0 };
        let rates = |layer: &SpatialLayer| -> usize {
            let rates = &layer.kilobits[..usize::from(layer.temporal_layers)];
            rates.iter().map(|rate| leb128_len(u64::from(*rate))).sum()
        };
        let each = |layer: &SpatialLayer| rates(layer) + if layer.resolution.is_some() { 5 } else { 0 };
        let layers: usize = self.layers().iter().map(each).sum();
        1 + masks + usize::from(self.count).div_ceil(4) + layers
    }

    fn write(&self, value: &mut [u8]) {
        value.fill(0);
        if self.count == 0 {
            return;
        }
        let shared = self.shared_mask();
        value[0] = (self.stream << 6) | ((self.streams - 1) << 4) | shared;
        let mut at = 1;
        if shared == 0 {
            for stream in 0..self.streams {
                let shift = if stream % 2 == 0 { 4 } else { 0 };
                value[at + usize::from(stream / 2)] |= self.mask(stream) << shift;
            }
            at += usize::from(self.streams).div_ceil(2);
        }
        for (index, layer) in self.layers().iter().enumerate() {
            value[at + index / 4] |= (layer.temporal_layers - 1) << (6 - 2 * (index % 4));
        }
        at += usize::from(self.count).div_ceil(4);
        for layer in self.layers() {
            for rate in &layer.kilobits[..usize::from(layer.temporal_layers)] {
                at += put_leb128(&mut value[at..], u64::from(*rate));
            }
        }
        for (width, height, rate) in self.layers().iter().filter_map(|layer| layer.resolution) {
            put16(value, at, (width - 1) as u16);
            put16(value, at + 2, (height - 1) as u16);
            value[at + 4] = rate;
            at += 5;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(stream: u8, spatial: u8, rates: &[u32], resolution: Option<(u32, u32, u8)>) -> SpatialLayer {
        let mut kilobits = [0; MAX];
        kilobits[..rates.len()].copy_from_slice(rates);
        SpatialLayer { stream, spatial, temporal_layers: rates.len() as u8, kilobits, resolution }
    }

    fn round_trip(allocation: VideoLayersAllocation) -> Vec<u8> {
        let mut value = vec![0xAA; allocation.len()];
        allocation.write(&mut value);
        assert_eq!(VideoLayersAllocation::read(&value), Some(allocation), "{value:?}");
        value
    }

    #[test]
    fn allocations_are_read_as_they_were_written() {
        let size = Some((320, 180, 30));
        let simulcast = [
            layer(0, 0, &[100, 150, 200], size),
            layer(1, 0, &[300, 400, 500], Some((640, 360, 30))),
            layer(2, 0, &[1000, 1400, 1700], Some((1280, 720, 30))),
        ];
        let value = round_trip(VideoLayersAllocation::new(1, 3, &simulcast).unwrap());
        assert_eq!(value[..2], [0b0110_0001, 0b1010_1000]);
        let uneven = [layer(0, 0, &[1], None), layer(0, 1, &[2], None), layer(1, 2, &[300], None)];
        let value = round_trip(VideoLayersAllocation::new(0, 2, &uneven).unwrap());
        assert_eq!(value[..2], [0b0001_0000, 0b0011_0100]);
        assert_eq!(round_trip(VideoLayersAllocation::new(0, 1, &[]).unwrap()), [0]);
    }

    #[test]
    fn damaged_allocations_are_refused() {
        for value in [&[][..], &[0x01], &[0x01, 0x00], &[0x01, 0, 0x80], &[0x00, 0x10]] {
            assert_eq!(VideoLayersAllocation::read(value), None, "{value:?}");
        }
        assert!(VideoLayersAllocation::new(0, 1, &[layer(1, 0, &[1], None)]).is_none());
        assert!(VideoLayersAllocation::new(1, 1, &[]).is_none());
    }
}

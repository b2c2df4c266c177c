//! A map from stream number to whatever: two loads a look-up, whether there is one stream or
//! 65,536.

use crate::serial::StreamId;

/// Values by stream number. Memory grows with the streams in use; numbers far apart cost 128 bytes
/// each.
#[derive(Debug)]
pub(crate) struct StreamTable<T> {
    /// By the upper bits of a number: for each of the lower bits one more than the place in
    /// `values`, or zero.
    pages: Vec<Option<Box<[u32; PAGE]>>>,
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for StreamTable<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), values: Vec::new(), free: Vec::new() }
    }
}

impl<T> StreamTable<T> {
    pub(crate) fn get(&self, id: StreamId) -> Option<&T> {
        self.values.get(self.place(id)?)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: StreamId) -> Option<&mut T> {
        let place = self.place(id)?;
        self.values.get_mut(place)?.as_mut()
    }

    /// The value of `id`, which is made if there is none.
    pub(crate) fn entry(&mut self, id: StreamId, make: impl FnOnce() -> T) -> &mut T {
        let place = self.place(id).unwrap_or_else(|| self.add(id));
        self.values[place].get_or_insert_with(make)
    }

    pub(crate) fn remove(&mut self, id: StreamId) -> Option<T> {
        let place = self.place(id)?;
        let (page, slot) = split(id);
        if let Some(Some(page)) = self.pages.get_mut(page) {
            page[slot] = 0;
        }
        self.free.push(place as u32);
        self.values[place].take()
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    /// The numbers in use, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.pages.iter().enumerate().flat_map(|(page, slots)| {
            let slots = slots.iter().flat_map(|slots| slots.iter().enumerate());
            slots
                .filter(|(_, place)| **place != 0)
                .map(move |(slot, _)| StreamId((page * PAGE + slot) as u16))
        })
    }

    #[cfg(test)]
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().flatten()
    }

    fn place(&self, id: StreamId) -> Option<usize> {
        let (page, slot) = split(id);
        let place = self.pages.get(page)?.as_ref()?[slot];
        Some(place.checked_sub(1)? as usize)
    }

    fn add(&mut self, id: StreamId) -> usize {
        let place = self.free.pop().map_or_else(
            || {
                self.values.push(None);
                self.values.len() - 1
            },
            |place| place as usize,
        );
        let (page, slot) = split(id);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page].get_or_insert_with(|| Box::new([0; PAGE]))[slot] = place as u32 + 1;
        place
    }
}

fn split(id: StreamId) -> (usize, usize) {
    (usize::from(id.0) / PAGE, usize::from(id.0) % PAGE)
}

/// The number of numbers that share a page.
const PAGE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_and_go() {
        let mut table = StreamTable::default();
        for id in [0, 7, 65_535, 31, 32] {
            *table.entry(StreamId(id), || 0) += u32::from(id);
        }
        assert_eq!(table.remove(StreamId(7)), Some(7));
        assert_eq!(table.get(StreamId(7)), None);
        assert_eq!(table.remove(StreamId(7)), None);
        assert_eq!(*table.entry(StreamId(8), || 1), 1);
        assert_eq!(table.get(StreamId(65_535)), Some(&65_535));
        assert_eq!((table.values().count(), table.len()), (5, 5));
        assert_eq!(table.values.len(), 5);
    }
}

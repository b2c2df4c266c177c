//! A map for few values.

/// A map from names to values, in the order of the names.
///
/// A node of a `BTreeMap` has room for eleven values, so that a map with one pair in it would cost
/// 5 kB. Here each value has an allocation of its own, and an empty map none. Names are given in
/// ascending order, so that insertion is cheap.
#[derive(Debug)]
pub(super) struct Map<K, V> {
    entries: Vec<(K, Box<V>)>,
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K: Copy + Ord, V> Map<K, V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.position(key).is_ok()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let position = self.position(key).ok()?;
        self.entries.get(position).map(|(_, value)| &**value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let position = self.position(key).ok()?;
        self.entries.get_mut(position).map(|(_, value)| &mut **value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.position(&key) {
            Ok(position) => *self.entries[position].1 = value,
            Err(position) => self.entries.insert(position, (key, Box::new(value))),
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let position = self.position(key).ok()?;
        let (_, value) = self.entries.remove(position);
        self.give_back();
        Some(*value)
    }

    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain_mut(|(key, value)| keeps(key, value));
        self.give_back();
    }

    pub(super) fn clear(&mut self) {
        self.entries = Vec::new();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.entries.iter().map(|(key, value)| (key, &**value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, &mut **value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.entries.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.entries.iter().map(|(_, value)| &**value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| &mut **value)
    }

    fn position(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(one, _)| one.cmp(key))
    }

    /// Gives back what a peak has left, but keeps some room for the next one.
    fn give_back(&mut self) {
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_replaced_and_removed_in_order_of_their_names() {
        let mut map = Map::default();
        for name in [3, 1, 2, 3] {
            map.insert(name, 10 * name);
        }
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&1, &10), (&2, &20), (&3, &30)]);
        *map.get_mut(&2).unwrap() += 1;
        assert_eq!((map.remove(&2), map.remove(&2), map.get(&1), map.len()), (Some(21), None, Some(&10), 2));
        map.values_mut().for_each(|value| *value += 1);
        map.retain(|name, _| *name == 3);
        assert!(map.contains_key(&3) && !map.contains_key(&1) && !map.is_empty());
        assert_eq!((map.keys().collect::<Vec<_>>(), map.values().collect::<Vec<_>>()), (vec![&3], vec![&31]));
    }

    #[test]
    fn memory_of_a_peak_is_given_back() {
        let mut map: Map<u32, u32> = (0..1000).fold(Map::default(), |mut map, name| {
            map.insert(name, name);
            map
        });
        map.retain(|name, _| *name < 2);
        assert!(map.entries.capacity() <= 8, "{}", map.entries.capacity());
        map.retain(|_, _| false);
        assert_eq!(map.entries.capacity(), 0);
    }
}

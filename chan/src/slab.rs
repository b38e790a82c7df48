//! Places for values that come and go: to put one in and to take it out by its place are O(1), and no other is moved.
//!
//! A free place names the next free one. The places of a burst are given back when the last value of it has gone.

/// The end of the list of free places; never a place.
const NONE: usize = usize::MAX;

/// Beyond this many places an empty slab gives its memory back.
const KEEP: usize = 64;

enum Place<T> {
    Free(usize),
    Full(T),
}

pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: usize,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { places: Vec::new(), free: NONE, len: 0 }
    }
}

impl<T> Slab<T> {
    /// Puts `v` in; gives its place, which is never `usize::MAX`.
    pub(crate) fn insert(&mut self, v: T) -> usize {
        self.len += 1;
        let i = self.free;
        match self.places.get_mut(i) {
            Some(place) => {
                if let Place::Free(next) = *place {
                    self.free = next;
                }
                *place = Place::Full(v);
                i
            }
            None => {
                self.places.push(Place::Full(v));
                self.places.len() - 1
            }
        }
    }

    /// Takes out what is at `i`.
    pub(crate) fn remove(&mut self, i: usize) -> Option<T> {
        let place = self.places.get_mut(i).filter(|p| matches!(p, Place::Full(_)))?;
        let Place::Full(v) = std::mem::replace(place, Place::Free(self.free)) else { return None };
        self.free = i;
        self.len -= 1;
        if self.len == 0 {
            self.free = NONE;
            if self.places.capacity() > KEEP {
                self.places = Vec::new();
            }
            self.places.clear();
        }
        Some(v)
    }

    /// All values.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.places.into_iter().filter_map(|p| match p {
            Place::Full(v) => Some(v),
            Place::Free(_) => None,
        })
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn places_are_used_again_and_given_back() {
        let mut s = Slab::default();
        for round in 0..3 {
            let all: Vec<usize> = (0..1000).map(|i| s.insert(i + round)).collect();
            assert!(s.places.len() == 1000 && s.len() == 1000);
            for (i, at) in all.iter().enumerate() {
                assert_eq!(s.remove(*at), Some(i + round));
                assert_eq!(s.remove(*at), None);
            }
            assert_eq!((s.len(), s.places.capacity()), (0, 0));
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(ops in proptest::collection::vec((any::<bool>(), 0usize..20), 0..300)) {
            let (mut s, mut model) = (Slab::default(), HashMap::new());
            for (n, (put, at)) in ops.into_iter().enumerate() {
                if put {
                    prop_assert!(model.insert(s.insert(n), n).is_none());
                } else {
                    prop_assert_eq!(s.remove(at), model.remove(&at));
                }
                prop_assert_eq!(s.len(), model.len());
            }
            let mut left: Vec<usize> = s.into_values().collect();
            let mut want: Vec<usize> = model.into_values().collect();
            left.sort_unstable();
            want.sort_unstable();
            prop_assert_eq!(left, want);
        }
    }
}

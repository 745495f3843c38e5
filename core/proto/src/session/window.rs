//! Values under numbers that grow, of which the oldest go first as a rule: a list with holes, in which adding and
//! removing are a step each, unlike in a tree.

use std::collections::VecDeque;

/// An empty window keeps room for so many values.
const KEPT: usize = 64;

#[derive(Debug)]
pub(crate) struct Window<T> {
    /// In the order of their numbers, which may wrap; the first is no hole.
    slots: VecDeque<(u32, Option<T>)>,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Window { slots: VecDeque::new() }
    }
}

impl<T> Window<T> {
    /// Adds a value under a number beyond all others.
    pub(crate) fn push(&mut self, number: u32, value: T) {
        self.slots.push_back((number, Some(value)));
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.slot(number)?.take();
        while self.slots.front().is_some_and(|(_, value)| value.is_none()) {
            self.slots.pop_front();
        }
        if self.slots.is_empty() && self.slots.capacity() > KEPT {
            self.slots = VecDeque::new();
        }
        value
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slot(number)?.as_mut()
    }

    fn slot(&mut self, number: u32) -> Option<&mut Option<T>> {
        let first = self.slots.front()?.0;
        let distance = number.wrapping_sub(first);
        let at = match distance {
            0 => 0,
            _ => self.slots.binary_search_by_key(&distance, |(number, _)| number.wrapping_sub(first)).ok()?,
        };
        self.slots.get_mut(at).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_removed_in_any_order_also_where_numbers_wrap() {
        for first in [0, 7, u32::MAX - 3] {
            let mut window = Window::default();
            let numbers: Vec<u32> = (0..10).map(|n: u32| first.wrapping_add(2 * n)).collect();
            numbers.iter().for_each(|number| window.push(*number, *number));
            assert_eq!(window.remove(first.wrapping_add(1)), None);
            for n in [3, 0, 9, 1, 2, 8, 4, 5, 7, 6] {
                assert_eq!(window.get_mut(numbers[n]), Some(&mut numbers[n].clone()));
                assert_eq!(window.remove(numbers[n]), Some(numbers[n]));
                assert_eq!(window.remove(numbers[n]), None);
            }
            assert!(window.slots.is_empty());
        }
    }
}

//! The queue of events, with the borders of the tasks in which the W3C has them happen.

use std::collections::VecDeque;

use crate::event::Event;

/// Events that wait, each with the number of its task.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    entries: VecDeque<(u32, Event)>,
    /// The number of the last task.
    last: u32,
    /// The number of the task whose event was taken last.
    taken: Option<u32>,
    open: Option<Open>,
}

/// A task that is under way.
#[derive(Debug, PartialEq)]
enum Open {
    /// It has no event yet.
    Empty,
    /// The next event belongs to it, too.
    Begun,
}

impl Tasks {
    /// Adds an event: to the task that is under way, else as a task of its own.
    pub(crate) fn push_back(&mut self, event: Event) {
        if self.open != Some(Open::Begun) {
            self.last = self.last.wrapping_add(1);
        }
        if self.open.is_some() {
            self.open = Some(Open::Begun);
        }
        self.entries.push_back((self.last, event));
    }

    /// Adds events that are a task each, whatever is under way.
    pub(crate) fn extend(&mut self, events: impl IntoIterator<Item = Event>) {
        let open = self.end();
        events.into_iter().for_each(|event| self.push_back(event));
        self.open = open.then_some(Open::Empty);
    }

    /// Begins a task: the events that follow belong to it until its [`end`](Self::end).
    pub(crate) fn begin(&mut self) {
        self.open = Some(Open::Empty);
    }

    /// Ends the task. Returns true if one was under way.
    pub(crate) fn end(&mut self) -> bool {
        self.open.take().is_some()
    }

    pub(crate) fn pop_front(&mut self) -> Option<Event> {
        let (task, event) = self.entries.pop_front()?;
        self.taken = Some(task);
        Some(event)
    }

    /// Returns true if the next event belongs to the same task as the one that was taken last.
    pub(crate) fn goes_on(&self) -> bool {
        self.taken.is_some() && self.entries.front().map(|(next, _)| *next) == self.taken
    }

    /// Removes events, and returns them.
    pub(crate) fn remove(&mut self, is_meant: impl Fn(&Event) -> bool) -> Vec<Event> {
        let (meant, others) =
            std::mem::take(&mut self.entries).into_iter().partition(|(_, one)| is_meant(one));
        self.entries = others;
        let meant: VecDeque<(u32, Event)> = meant;
        meant.into_iter().map(|(_, event)| event).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.entries = VecDeque::new();
    }

    /// Gives memory back, but for that of so many events.
    pub(crate) fn shrink_to(&mut self, events: usize) {
        if self.entries.capacity() > events {
            self.entries.shrink_to(events);
        }
    }
}

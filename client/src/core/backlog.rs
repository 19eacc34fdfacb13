//! Events that wait for the application to ask.

use super::event::Event;
use std::collections::VecDeque;

/// Bounded by weight. It takes what stands in one read even where that is past the bound; then nothing more is read until the application
/// has asked for events.
#[derive(Debug)]
pub(super) struct Backlog {
    events: VecDeque<Event>,
    weight: usize,
    limit: usize,
}

impl Backlog {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            events: VecDeque::new(),
            weight: 0,
            limit: limit.max(1),
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        self.weight += event.weight();
        self.events.push_back(event);
    }

    pub(super) fn take(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.weight -= event.weight();
        Some(event)
    }

    pub(super) fn take_all(&mut self) -> VecDeque<Event> {
        self.weight = 0;
        std::mem::take(&mut self.events)
    }

    pub(super) fn has_message(&self) -> bool {
        let mut events = self.events.iter();
        events.any(|event| matches!(event, Event::Message(_)))
    }

    pub(super) fn is_full(&self) -> bool {
        self.weight >= self.limit
    }
}

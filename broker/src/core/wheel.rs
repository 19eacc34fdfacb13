//! Many timers.

/// Slots of one level.
const SLOTS: usize = 64;
/// Bits of a tick that choose a slot.
const SLOT_BITS: u32 = 6;
/// Levels; ticks up to 2^60, all that a `u64` of milliseconds can name.
const LEVELS: usize = 11;
/// Bits of a millisecond that a tick leaves out.
const TICK_BITS: u32 = 4;
/// No entry.
const NONE: u32 = u32::MAX;
/// The list of those that were late already when they were set.
const LATE: usize = LEVELS * SLOTS;

/// Timers by the million: a hierarchical timing wheel. Setting and cancelling takes the same time however many there are; each timer moves to
/// a finer level ten times at most until it fires, those of a minute once.
///
/// Time is milliseconds since the broker's start, passed in; it never goes back. A timer never fires early, and at most
/// [`Wheel::RESOLUTION_MS`] late, besides what the caller comes late.
#[derive(Debug)]
pub struct Wheel<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: usize,
    /// The tick up to which all timers fired.
    elapsed: u64,
    /// For each level, which slots are not empty.
    occupied: [u64; LEVELS],
    /// The first entry of each slot; at the end those of [`LATE`].
    heads: [u32; LEVELS * SLOTS + 1],
}

/// Names a timer of one [`Wheel`] for all time: no other timer ever has the same.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

/// A timer, or a free place, where `item` is `None`. Those of a slot form a ring, so that the first fires first.
#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    next: u32,
    previous: u32,
    generation: u32,
    slot: u16,
    item: Option<T>,
}

impl<T> Wheel<T> {
    /// The longest that a timer fires late, milliseconds.
    pub const RESOLUTION_MS: u64 = 1 << TICK_BITS;

    /// Without timers.
    pub fn new(now_ms: u64) -> Self {
        Self {
            entries: Vec::new(),
            free: NONE,
            len: 0,
            elapsed: now_ms >> TICK_BITS,
            occupied: [0; LEVELS],
            heads: [NONE; LEVELS * SLOTS + 1],
        }
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. One whose time has come already fires at the next [`Self::advance`].
    pub fn insert(&mut self, deadline_ms: u64, item: T) -> TimerKey {
        // Rounded up, as a timer must not fire early.
        let tick = deadline_ms.div_ceil(Self::RESOLUTION_MS);
        let index = self.take_free(tick, item);
        self.link(index);
        self.len += 1;
        TimerKey {
            index,
            generation: self.entries[at(index)].generation,
        }
    }

    /// Takes a timer back, unless it fired or was cancelled.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get(at(key.index))?;
        if entry.generation != key.generation || entry.item.is_none() {
            return None;
        }
        self.unlink(key.index);
        self.give_free(key.index)
    }

    /// Moves what is due at `now_ms` to `out`, in the order of their ticks.
    ///
    /// Takes time for those due and for those that come near, none for empty time.
    pub fn advance(&mut self, now_ms: u64, out: &mut Vec<T>) {
        let now = now_ms >> TICK_BITS;
        self.fire(LATE, out);
        while let Some((level, slot, start)) = self.next_slot()
            && start <= now
        {
            self.elapsed = start;
            if level == 0 {
                self.fire(slot, out);
            } else {
                self.refine(level * SLOTS + slot);
                self.fire(LATE, out);
            }
        }
        self.elapsed = self.elapsed.max(now);
    }

    /// When to call [`Self::advance`] next, milliseconds; never after a timer is due by more than the resolution, but perhaps before one is.
    pub fn next_deadline(&self) -> Option<u64> {
        if self.heads[LATE] != NONE {
            return Some(self.elapsed << TICK_BITS);
        }
        let (_, _, start) = self.next_slot()?;
        Some(start.saturating_mul(Self::RESOLUTION_MS))
    }

    /// The first slot that holds something: its level, its place there, and the tick at which it begins.
    ///
    /// All of a level comes before anything of the next, as it differs from `elapsed` in lower bits only.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        let shift = SLOT_BITS * u32::try_from(level).expect("eleven levels");
        let above = self.elapsed >> shift >> SLOT_BITS << SLOT_BITS;
        let start = (above | u64::from(slot)) << shift;
        Some((level, slot as usize, start))
    }

    /// Moves all of a list to `out`.
    fn fire(&mut self, slot: usize, out: &mut Vec<T>) {
        while self.heads[slot] != NONE {
            let index = self.heads[slot];
            self.unlink(index);
            out.extend(self.give_free(index));
        }
    }

    /// Spreads a slot that has just begun over the finer levels.
    fn refine(&mut self, slot: usize) {
        while self.heads[slot] != NONE {
            let index = self.heads[slot];
            self.unlink(index);
            self.link(index);
        }
    }

    /// Hangs an entry at the end of the slot that its tick has, seen from `elapsed`.
    fn link(&mut self, index: u32) {
        let slot = self.slot_of(self.entries[at(index)].tick);
        if slot < LATE {
            self.occupied[slot / SLOTS] |= 1 << (slot % SLOTS);
        }
        let head = self.heads[slot];
        let (next, previous) = if head == NONE {
            self.heads[slot] = index;
            (index, index)
        } else {
            (head, self.entries[at(head)].previous)
        };
        let entry = &mut self.entries[at(index)];
        entry.slot = u16::try_from(slot).expect("eleven levels of 64 slots");
        (entry.next, entry.previous) = (next, previous);
        self.entries[at(previous)].next = index;
        self.entries[at(next)].previous = index;
    }

    fn unlink(&mut self, index: u32) {
        let Entry {
            next,
            previous,
            slot,
            ..
        } = self.entries[at(index)];
        self.entries[at(previous)].next = next;
        self.entries[at(next)].previous = previous;
        let slot = usize::from(slot);
        if next == index {
            self.heads[slot] = NONE;
            if slot < LATE {
                self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
            }
        } else if self.heads[slot] == index {
            self.heads[slot] = next;
        }
    }

    /// Which list a tick belongs to: the level is that of the highest bit in which it differs from `elapsed`.
    fn slot_of(&self, tick: u64) -> usize {
        if tick <= self.elapsed {
            return LATE;
        }
        let level = (tick ^ self.elapsed).ilog2() / SLOT_BITS;
        let slot = (tick >> (level * SLOT_BITS)) & 63;
        level as usize * SLOTS + slot as usize
    }

    fn take_free(&mut self, tick: u64, item: T) -> u32 {
        if self.free == NONE {
            let index = u32::try_from(self.entries.len()).expect("2^32 timers would be 128 GiB");
            self.entries.push(Entry {
                tick,
                next: NONE,
                previous: NONE,
                generation: 0,
                slot: 0,
                item: Some(item),
            });
            return index;
        }
        let index = self.free;
        let entry = &mut self.entries[at(index)];
        self.free = entry.next;
        (entry.tick, entry.item) = (tick, Some(item));
        index
    }

    /// Empties an entry that hangs nowhere. Its next timer is of the next generation; after the last one the place is not used again.
    fn give_free(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[at(index)];
        let item = entry.item.take();
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            entry.next = std::mem::replace(&mut self.free, index);
        }
        self.len -= 1;
        item
    }
}

#[inline]
fn at(index: u32) -> usize {
    index as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_MS: u64 = 3_600_000;
    const NOTHING: [u32; 0] = [];

    fn due(wheel: &mut Wheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut out = Vec::new();
        wheel.advance(now_ms, &mut out);
        out
    }

    #[test]
    fn a_timer_fires_once_when_its_time_has_come_and_not_before() {
        let mut wheel = Wheel::new(1000);
        wheel.insert(5000, 1);
        assert_eq!(due(&mut wheel, 4999), NOTHING);
        assert_eq!(due(&mut wheel, 5000 + Wheel::<u32>::RESOLUTION_MS), [1]);
        assert_eq!(due(&mut wheel, 10 * HOUR_MS), NOTHING);
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn a_timer_of_the_past_fires_at_once() {
        let mut wheel = Wheel::new(0);
        assert_eq!(due(&mut wheel, HOUR_MS), NOTHING);
        wheel.insert(10, 1);
        assert!(wheel.next_deadline().unwrap() <= HOUR_MS);
        assert_eq!(due(&mut wheel, HOUR_MS), [1]);
    }

    #[test]
    fn a_timer_of_136_years_fires() {
        // Session Expiry Interval and Message Expiry Interval are seconds in 32 bits (MQTT 5.0 §3.1.2.11.2, §3.3.2.3.3).
        let deadline = 1000 * u64::from(u32::MAX);
        let mut wheel = Wheel::new(0);
        wheel.insert(deadline, 1);
        let mut now = 0;
        let mut wakes = 0;
        while !wheel.is_empty() {
            assert!(now <= deadline);
            now = wheel.next_deadline().unwrap();
            wakes += 1;
            if due(&mut wheel, now) == [1] {
                assert!(now >= deadline);
            }
        }
        assert!(wakes < 10);
    }

    #[test]
    fn the_end_of_time_is_far_away() {
        let mut wheel = Wheel::new(0);
        wheel.insert(u64::MAX, 1);
        assert_eq!(due(&mut wheel, u64::MAX - 1), NOTHING);
        assert!(wheel.next_deadline().is_some());
    }

    #[test]
    fn a_cancelled_timer_does_not_fire_and_its_key_means_no_other() {
        let mut wheel = Wheel::new(0);
        let old = wheel.insert(100, 1);
        assert_eq!(wheel.cancel(old), Some(1));
        assert_eq!(wheel.cancel(old), None);
        let new = wheel.insert(100, 2);
        assert_ne!(old, new);
        assert_eq!(wheel.cancel(old), None);
        assert_eq!(due(&mut wheel, 200), [2]);
        assert_eq!(wheel.cancel(new), None);
    }

    #[test]
    fn a_place_without_generations_left_is_not_used_again() {
        let mut wheel = Wheel::new(0);
        let key = wheel.insert(100, 1);
        wheel.entries[at(key.index)].generation = u32::MAX;
        let last = TimerKey {
            generation: u32::MAX,
            ..key
        };
        assert_eq!(wheel.cancel(last), Some(1));
        let next = wheel.insert(100, 2);
        assert_ne!(next.index, key.index);
        assert_eq!(wheel.cancel(last), None);
    }

    #[test]
    fn timers_of_one_tick_fire_in_the_order_in_which_they_were_set() {
        let mut wheel = Wheel::new(0);
        for item in 0..100 {
            wheel.insert(70_000, item);
        }
        assert_eq!(due(&mut wheel, 80_000), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_timer_takes_32_bytes() {
        assert_eq!(size_of::<Entry<u32>>(), 32);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Cancel(usize),
        Advance(u64),
        AdvanceToNext,
    }

    fn step() -> impl Strategy<Value = Step> {
        let far = prop_oneof![0..100_u64, 0..100_000_u64, 0..10 * HOUR_MS, 0..1_u64 << 42];
        prop_oneof![
            4 => far.clone().prop_map(Step::Insert),
            1 => (0..100_usize).prop_map(Step::Cancel),
            1 => far.prop_map(Step::Advance),
            2 => Just(Step::AdvanceToNext),
        ]
    }

    proptest! {
        #[test]
        fn it_fires_what_a_list_of_deadlines_fires(steps in prop::collection::vec(step(), 1..200)) {
            let mut wheel = Wheel::new(0);
            let mut model: Vec<(u64, TimerKey, u32)> = Vec::new();
            let mut gone = Vec::new();
            let mut now = 0;
            for (item, step) in (0..).zip(steps) {
                match step {
                    Step::Insert(after) => {
                        model.push((now + after, wheel.insert(now + after, item), item));
                    }
                    Step::Cancel(which) if which < model.len() => {
                        let (_, key, item) = model.swap_remove(which);
                        prop_assert_eq!(wheel.cancel(key), Some(item));
                        gone.push(key);
                    }
                    Step::Cancel(_) => {}
                    Step::Advance(by) => now += by,
                    Step::AdvanceToNext => now = now.max(wheel.next_deadline().unwrap_or(now)),
                }
                for item in due(&mut wheel, now) {
                    let place = model.iter().position(|(_, _, other)| *other == item);
                    let (deadline, key, _) = model.swap_remove(place.unwrap());
                    prop_assert!(deadline <= now, "{} fired at {}", deadline, now);
                    gone.push(key);
                }
                prop_assert_eq!(wheel.len(), model.len());
                let first = model.iter().map(|(deadline, ..)| *deadline).min();
                if let Some(first) = first {
                    prop_assert!(first + Wheel::<u32>::RESOLUTION_MS > now, "{} did not fire at {}", first, now);
                    let next = wheel.next_deadline().unwrap();
                    prop_assert!(next > now && next < first + Wheel::<u32>::RESOLUTION_MS);
                } else {
                    prop_assert_eq!(wheel.next_deadline(), None);
                }
            }
            for key in gone {
                prop_assert_eq!(wheel.cancel(key), None);
            }
        }
    }
}
